import shlex
from dataclasses import replace

from finetune_cot.artifacts.ids import CompletionId
from finetune_cot.cli.main import COMMANDS
from finetune_cot.reporting.absent import absent_table, left_out_table
from finetune_cot.reporting.findings import Findings, LeftOut, Repeated
from tests.reporting.made_up import measured, student_id


def missing(findings: Findings) -> list[str]:
    return [str(row[0].value) for row in absent_table(findings, []).rows]


def test_what_is_there_is_not_missing() -> None:
    base, student = measured(CompletionId("m", "zs_cot", "gsm8k"), 5), measured(student_id(), 7)
    assert "Accuracies: no completions are there" in missing(Findings())
    assert "A student beside the base models" in missing(Findings(measurements=(base,)))
    assert "Base models beside the students" in missing(Findings(measurements=(student,)))
    both = missing(Findings(measurements=(base, student)))
    assert not {"A student beside the base models", "Base models beside the students"} & set(both)
    assert any(told.startswith("Repeated inference") for told in both)
    repeated = replace(base, repeated=(Repeated(2, 1, 1, 1),))
    assert not any(told.startswith("Repeated") for told in missing(Findings(measurements=(repeated,))))


def test_every_command_exists() -> None:
    students = Findings(measurements=(measured(student_id(), 7),))
    left_out = [LeftOut(f"{folder}/x", "is torn") for folder in ("results", "checkpoints", "gradients")]
    made = [*absent_table(Findings(), []).rows, *absent_table(students, []).rows]
    for row in [*made, *left_out_table(left_out).rows]:
        words = shlex.split(str(row[-1].value))
        assert words[0] == "ftcot"
        assert words[1].rstrip(",") in COMMANDS


def test_studies_that_were_not_made_are_named_for_students() -> None:
    told = missing(Findings(measurements=(measured(student_id(), 7),)))
    assert {"How much another seed changes a student", "Accuracy by epoch"} <= set(told)
    runs = [measured(student_id("lora_run_1", epoch), 7) for epoch in (1, 2)]
    told = missing(Findings(measurements=(measured(student_id(), 7), *runs)))
    assert not {"How much another seed changes a student", "Accuracy by epoch"} & set(told)
