import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune_cot.errors import UsageError
from finetune_cot.selection.ensemble import below_threshold, ensemble_scores, natural_threshold, top_k
from tests.selection.planted import additive, harmful, random_subsets


def test_scores_spelled_out() -> None:
    losses = np.array([[1.0, 2.0, 0.0], [3.0, 5.0, 0.0]])
    scores = ensemble_scores([(0, 1), (1,)], losses, target=1)
    assert scores[:2].tolist() == [2.0, 3.5]
    assert np.isnan(scores[2])
    assert ensemble_scores([(0, 1), (1,)], losses)[:2].tolist() == pytest.approx([1.0, (1 + 8 / 3) / 2])


@pytest.mark.parametrize("target", [None, 3])
def test_planted_harm_is_separated_whole_by_its_scores(target: int | None) -> None:
    bad = [2, 5, 6, 11]
    subsets = random_subsets(20, 7, 300)
    losses = additive(harmful(20, bad), noise=0.05)(subsets)
    scores = ensemble_scores(subsets, losses, target)
    good = tuple(task for task in range(20) if task not in bad)
    assert top_k(scores, 16) == good
    assert below_threshold(scores, natural_threshold(scores)) == good


@given(st.permutations(range(40)))
def test_scores_do_not_depend_on_the_order_of_subsets(order: list[int]) -> None:
    subsets = random_subsets(9, 4, 40)
    losses = np.random.default_rng(3).normal(size=(40, 9))
    shuffled = ensemble_scores([subsets[place] for place in order], losses[order])
    np.testing.assert_allclose(shuffled, ensemble_scores(subsets, losses))


@given(st.lists(st.sampled_from([0.0, 0.5, 1.0, 2.0]), min_size=2, max_size=12), st.data())
def test_top_k_and_threshold_take_the_lowest(scores: list[float], data: st.DataObject) -> None:
    number = data.draw(st.integers(1, len(scores)))
    chosen = top_k(np.array(scores), number)
    left = [score for task, score in enumerate(scores) if task not in chosen]
    assert len(chosen) == number
    assert max(scores[task] for task in chosen) <= min(left, default=np.inf)
    assert set(chosen) <= set(below_threshold(np.array(scores), max(scores[task] for task in chosen)))


def test_tasks_without_a_score_are_never_taken() -> None:
    scores = np.array([np.nan, 1.0, 0.5])
    assert top_k(scores, 2) == (1, 2)
    assert below_threshold(scores, 9.0) == (1, 2)
    with pytest.raises(UsageError, match="3 tasks cannot be selected from 2"):
        top_k(scores, 3)


def test_the_natural_threshold_lies_in_the_gap() -> None:
    assert natural_threshold(np.array([1.0, 1.1, 3.0, 1.05, np.nan, 3.2])) == pytest.approx(2.05)
    with pytest.raises(UsageError, match="all equal"):
        natural_threshold(np.ones(4))


def test_losses_of_other_subsets_are_refused() -> None:
    with pytest.raises(UsageError, match="2 losses cannot be those of 1 subsets"):
        ensemble_scores([(0,)], np.zeros((2, 3)))
