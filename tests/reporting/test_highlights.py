from dataclasses import replace

import pytest

from finetune_cot.artifacts.ids import CompletionId
from finetune_cot.reporting.findings import DatasetFacts, Findings, LeftOut, Measurement, TrainingRun
from finetune_cot.reporting.highlights import Summary, summary
from finetune_cot.reporting.runs import entries
from finetune_cot.training.settings import EpochLosses
from tests.reporting.made_up import measured, student_id

BASE = CompletionId("m", "zs_cot", "gsm8k")


def told(*measurements: Measurement, **others: object) -> Summary:
    findings = Findings(measurements=measurements, **others)  # type: ignore[arg-type]
    return summary(findings, entries(measurements), [])


def test_a_student_stands_beside_its_base_model_on_the_same_questions() -> None:
    assert told(measured(BASE, 2), measured(student_id(), 8)).found == (
        "gsm8k: 20.0 % ± 12.6 of the answers right before fine-tuning, 80.0 % ± 12.6 after"
        " (n = 10 questions): +60.0 points, more than chance explains (+3.4 standard errors)."
        " m; before by zero-shot-CoT, after by fine-tune-CoT (token).",
    )


@pytest.mark.parametrize(("before", "after", "chance"), [(5, 5, True), (5, 6, True), (0, 10, False)])
def test_a_gain_is_told_apart_from_chance_also_where_all_are_right(
    before: int, after: int, chance: bool
) -> None:
    (found,) = told(measured(BASE, before), measured(student_id(), after)).found
    assert ("which chance may explain" in found) == chance
    assert ("more than chance explains" in found) != chance


def test_other_questions_are_not_compared() -> None:
    other = replace(measured(BASE, 2), answered=frozenset({77}))
    (found,) = told(other, measured(student_id(), 8)).found
    assert "80.0 % ± 12.6 of the answers right after fine-tuning (n = 10 questions)" in found
    assert "before it was not measured on the same questions" in found


def test_base_models_alone_are_told_of_beside_what_guessing_gives() -> None:
    facts = DatasetFacts("gsm8k", 1, 10, None, None, 0.25, None)
    assert told(measured(BASE, 2), datasets=(facts,)).found == (
        "gsm8k: 20.0 % ± 12.6 of the answers right (n = 10 questions): m by zero-shot-CoT, not fine-tuned."
        " Guessing would give 25.0 %.",
    )


def test_the_best_of_several_students_is_called_so() -> None:
    students = [measured(student_id(key), right) for key, right in (("a", 3), ("b", 4))]
    assert "40.0 % ± 15.5 of the answers right" in told(*students).found[0]
    assert "the best of 2 students" in told(*students).found[0]


def test_how_far_to_trust_it_follows_from_n_and_from_what_failed() -> None:
    few = told(measured(BASE, 1, n=1)).trust
    assert len(few) == 1
    assert "n = 1, may well be equal if they differ by less than 100 points" in few[0]
    diverged = TrainingRun("t", 0, (EpochLosses(1, 1, float("nan"), None),))
    many = told(
        measured(student_id(), 40, n=50),
        training_runs=(diverged,),
        left_out=(LeftOut("file", "is torn"),),
    ).trust
    assert "n = 50, may well be equal if they differ by less than 20 points" in many[0]
    assert many[1].startswith("Every student was trained once")
    assert "1 of 1 trainings diverged" in many[2]
    assert many[3] == "Not used, for reasons that the section Left out tells: 1."


def test_the_next_commands_are_named() -> None:
    commands = [command for _, command in told(measured(BASE, 2)).next]
    assert commands[0].startswith("ftcot train")
    assert len(commands) == 3


def test_all_or_none_right_is_told_without_an_error_of_nothing() -> None:
    (found,) = told(measured(BASE, 0), measured(student_id(), 10)).found
    assert "0 % (none) of the answers right before fine-tuning, 100 % (all) after (n = 10 questions)" in found
