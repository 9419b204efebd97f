from dataclasses import replace

from finetune_cot.artifacts.ids import CompletionId
from finetune_cot.artifacts.manifest import start
from finetune_cot.artifacts.students import Student
from finetune_cot.reporting.contrasts import (
    Origin,
    by_filter,
    by_split,
    contrast_chart,
    contrast_table,
    origin_of,
    origins,
)
from finetune_cot.reporting.findings import Made, Measurement, SplitScore
from finetune_cot.reporting.runs import entries
from tests.reporting.made_up import measured, student_id

SPLITS = (SplitScore("default", 10, True, 0.5, 0.1), SplitScore("template", 8, True, 0.25, 0.2))
KNOWN = {
    "plain": Origin("default", True),
    "template": Origin("template", True),
    "unfiltered": Origin("default", False),
}


def student(finetune_key: str, correct: int = 4) -> Measurement:
    return replace(measured(student_id(finetune_key=finetune_key), correct), by_split=SPLITS)


def test_students_stand_on_the_split_that_they_learned_from() -> None:
    rows = entries([student("plain"), student("template"), student("unfiltered"), student("unknown")])
    sides = by_split(rows, KNOWN)
    assert [(side.which, side.n, side.accuracy) for side in sides] == [
        ("default", 10, 0.5),
        ("template", 8, 0.25),
    ]


def test_base_models_stand_on_the_splits_that_they_answered_whole() -> None:
    base = replace(measured(CompletionId("m", "zs_cot", "gsm8k"), 5), by_split=SPLITS)
    assert [side.which for side in by_split(entries([base]), {})] == ["default", "template"]
    part = replace(base, by_split=(SPLITS[0], replace(SPLITS[1], is_whole=False)))
    assert by_split(entries([part]), {}) == []


def test_filtered_stands_against_unfiltered_of_the_same_split() -> None:
    rows = entries([student("plain", 6), student("unfiltered", 3), student("template")])
    sides = by_filter(rows, KNOWN)
    assert [(side.which, side.accuracy) for side in sides] == [("all", 0.3), ("right ones", 0.6)]
    first, _ = contrast_table("t", "kept", sides).rows
    assert [cell.text for cell in first][-2:] == ["10", "30.0 ± 14.5"]
    assert [bar.label for bar in contrast_chart("t", "T", sides).bars] == [
        "fine-tune-CoT (token), all",
        "fine-tune-CoT (token), right ones",
    ]


def test_origins_are_those_of_the_manifests() -> None:
    data = start("build-finetune-data", {"split_key": "template", "only_correct": False}).manifest()
    training = start("train", {"split_key": "default"}).manifest()
    found = origins(
        [Made("finetune_data/P_openai/F_a.jsonl", data, ""), Made("checkpoints/x_run_0", training, "")]
    )
    assert found == {"a": Origin("template", False), "checkpoints/x_run_0": Origin("default")}
    of = Student("m", "b", "lora", "lora", None, {"0": "checkpoints/x_run_0"}, 10)
    (entry,) = entries([measured(student_id(finetune_key="b"), 1, student=of)])
    assert origin_of(entry, found) == Origin("default")
