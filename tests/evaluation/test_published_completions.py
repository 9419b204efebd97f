from pathlib import Path

import pytest

from finetune_cot.artifacts.completions import Completion, read_completions
from finetune_cot.evaluation.checkers import check_completion
from finetune_cot.evaluation.scores import Score, score
from finetune_cot.prompts.templates import prompt_text
from finetune_cot.tasks.answer_formats import PUBLISHED_FORMATS


def _completions(shared_data: Path, dataset: str) -> tuple[Completion, ...]:
    folder = shared_data / "completion_data" / "B_text-davinci-002__C_zs_cot"
    return read_completions(folder / f"D_{dataset}.json").completions


def _score(completions: tuple[Completion, ...], dataset: str, checker: str) -> Score:
    answer_format = PUBLISHED_FORMATS[dataset]
    return score(check_completion(item, answer_format, "zs_cot", checker) for item in completions)


@pytest.mark.parametrize(
    ("dataset", "correct", "n"),
    [("multiarith", 472, 600), ("addsub", 282, 395), ("coin_flip", 457, 500), ("date_understanding", 249, 369)],
)
def test_published_accuracy_is_reproduced(shared_data: Path, dataset: str, correct: int, n: int) -> None:
    result = _score(_completions(shared_data, dataset), dataset, "published")
    assert (result.correct, result.n, result.ungradable) == (correct, n, 0)
    assert result.correct_format == n
    assert result.complete is None
