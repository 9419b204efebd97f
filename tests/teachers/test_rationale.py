"""The data set's own rationales: the template's own rule finds the right answer in each."""

from pathlib import Path

import pytest

from finetune_cot.artifacts.completions import Completion
from finetune_cot.errors import UsageError
from finetune_cot.evaluation.checkers import check_completion
from finetune_cot.tasks.procedural.registry import bundled_dataset
from finetune_cot.tasks.reasoning import load_dataset
from finetune_cot.tasks.sample import Dataset, Sample
from finetune_cot.teachers.protocol import Failure, Recipe, TeachRequest
from finetune_cot.teachers.rationale import RationaleTeacher, clean_rationale

RECIPES = [Recipe("zs_cot"), Recipe("fs_cot")]


def teach(dataset: Dataset, recipe: Recipe) -> list[Completion | Failure]:
    few_shot = dict.fromkeys(dataset.tasks, "Q: 1 + 1?\nA: The answer is 2.")
    recipe = Recipe(recipe.template, few_shot=few_shot)
    requests = [TeachRequest(sample, 0) for sample in dataset.samples]
    return [answer for batch in RationaleTeacher().teach(requests, recipe, ()) for answer in batch]


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.template)
def test_every_bundled_rationale_is_right(recipe: Recipe) -> None:
    dataset = bundled_dataset("bundled")
    assert all(_is_right(completion, dataset, recipe.template) for completion in teach(dataset, recipe))


@pytest.mark.parametrize("key", ["gsm8k", "aqua", "strategy_qa"])
def test_every_published_rationale_is_right(key: str, shared_data: Path) -> None:
    dataset = load_dataset(key, shared_data)
    assert all(_is_right(completion, dataset, "zs_cot") for completion in teach(dataset, Recipe("zs_cot")))


def test_the_two_steps_of_a_rationale() -> None:
    sample = Sample(3, "How many?", "1,000", "sums", "500 + 500 = <<500+500=1000>>1000.\nDone. ")
    [[completion]] = RationaleTeacher().teach([TeachRequest(sample, 0)], Recipe("zs_cot"), ())
    question = "Q: How many?\nA: Let's think step by step."
    assert completion == Completion(
        sample_index=3,
        completion_index=0,
        question="How many?",
        answer="1,000",
        prompt=f"{question} 500 + 500 = 1000.\nDone.\nTherefore, the answer is",
        completion=" 1,000",
        reasoning_prompt=question,
        reasoning_completion=" 500 + 500 = 1000.\nDone.",
        finish_reason="stop",
        reasoning_finish_reason="stop",
    )


def test_marks_of_the_calculator_go() -> None:
    assert clean_rationale(" 48/2 = <<48/2=24>>24 and $<<0.2*50=10>>10. ") == "48/2 = 24 and $10."
    assert clean_rationale("3 < 4 << 5") == "3 < 4 << 5"


@pytest.mark.parametrize("rationale", [None, "", " <<1=1>> "])
def test_a_sample_without_rationale_fails(rationale: str | None) -> None:
    sample = Sample(3, "How many?", "1", "sums", rationale)
    [[answer]] = RationaleTeacher().teach([TeachRequest(sample, 0)], Recipe("zs_cot"), ())
    assert answer == Failure((3, 0), "the data set has no rationale for this sample")


def test_what_a_data_set_cannot_give() -> None:
    sample = Sample(3, "How many?", "1", "sums", "1.")
    with pytest.raises(UsageError, match="zs has no place for a rationale"):
        next(RationaleTeacher().teach([TeachRequest(sample, 0)], Recipe("zs"), ()))
    with pytest.raises(UsageError, match="one rationale for each question"):
        next(RationaleTeacher().teach([TeachRequest(sample, 1)], Recipe("zs_cot"), ()))


def _is_right(completion: Completion | Failure, dataset: Dataset, template: str) -> bool:
    assert isinstance(completion, Completion)
    answer_format = dataset.answer_formats[dataset.sample(completion.sample_index).task]
    return check_completion(completion, answer_format, template).correct
