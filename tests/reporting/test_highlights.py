from dataclasses import replace

from finetune_cot.artifacts.ids import CompletionId
from finetune_cot.reporting.highlights import highlights
from finetune_cot.reporting.runs import entries
from tests.reporting.made_up import measured, student_id

BASE = CompletionId("m", "zs_cot", "gsm8k")


def test_a_student_stands_beside_its_base_model_on_the_same_questions() -> None:
    rows = entries([measured(BASE, 2), measured(student_id(), 8)])
    assert highlights(rows, []) == [
        "gsm8k: m after fine-tuning is right in 80.0 % ± 12.6 (n = 10);"
        " before, by zero-shot-CoT, in 20.0 % ± 12.6 (n = 10), a difference of +3.4 standard errors."
    ]


def test_other_questions_are_not_compared() -> None:
    other = replace(measured(BASE, 2), answered=frozenset({77}))
    (told,) = highlights(entries([other, measured(student_id(), 8)]), [])
    assert told.endswith("its base model was not measured on the same questions.")


def test_base_models_alone_are_told_of() -> None:
    assert highlights(entries([measured(BASE, 2)]), []) == [
        "gsm8k: m by zero-shot-CoT is right in 20.0 % ± 12.6 (n = 10)."
    ]
