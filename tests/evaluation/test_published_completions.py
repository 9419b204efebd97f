from pathlib import Path

import pytest

from finetune_cot.artifacts.completions import Completion, read_completions
from finetune_cot.evaluation.checkers import check_completion
from finetune_cot.evaluation.scores import Score, score
from finetune_cot.tasks.answer_formats import PUBLISHED_FORMATS
from finetune_cot.tasks.reasoning import load_dataset


def _completions(shared_data: Path, dataset: str) -> tuple[Completion, ...]:
    folder = shared_data / "completion_data" / "B_text-davinci-002__C_zs_cot"
    return read_completions(folder / f"D_{dataset}.json").completions


def _score(completions: tuple[Completion, ...], dataset: str, checker: str) -> Score:
    answer_format = PUBLISHED_FORMATS[dataset]
    return score(check_completion(item, answer_format, "zs_cot", checker) for item in completions)


@pytest.mark.parametrize(
    ("dataset", "correct", "n"),
    [
        ("multiarith", 472, 600),
        ("addsub", 282, 395),
        ("coin_flip", 457, 500),
        ("date_understanding", 249, 369),
    ],
)
def test_published_accuracy_is_reproduced(shared_data: Path, dataset: str, correct: int, n: int) -> None:
    result = _score(_completions(shared_data, dataset), dataset, "published")
    assert (result.correct, result.n, result.ungradable) == (correct, n, 0)
    assert result.correct_format == n
    assert result.complete is None


@pytest.mark.parametrize(
    ("dataset", "least"),
    [("multiarith", 472), ("addsub", 282), ("coin_flip", 457), ("date_understanding", 249)],
)
@pytest.mark.parametrize("checker", ["robust", "math-verify"])
def test_forgiving_checkers_find_no_fewer(shared_data: Path, dataset: str, least: int, checker: str) -> None:
    assert _score(_completions(shared_data, dataset), dataset, checker).correct >= least


@pytest.mark.parametrize("dataset", PUBLISHED_FORMATS)
@pytest.mark.parametrize("checker", ["published", "robust"])
def test_every_published_answer_can_be_read(shared_data: Path, dataset: str, checker: str) -> None:
    samples = load_dataset(dataset, shared_data).samples
    verdicts = [
        check_completion(
            Completion(sample.sample_index, 0, sample.question, sample.answer, "", f"--> {sample.answer}"),
            PUBLISHED_FORMATS[dataset],
            "ft_cot_token",
            checker,
        )
        for sample in samples
    ]
    result = score(verdicts)
    assert (result.ungradable, result.correct, result.correct_format) == (0, len(samples), len(samples))
