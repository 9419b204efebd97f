import numpy as np
import pytest

from finetune_cot.errors import UsageError
from finetune_cot.selection.affinity import group_tasks, similarity, task_affinity
from tests.selection.planted import additive, blocks, random_subsets


def test_affinity_spelled_out() -> None:
    losses = np.array([[1.0, 2.0, np.nan], [3.0, np.nan, 4.0]])
    affinity = task_affinity([(0, 1), (0, 2)], losses)
    np.testing.assert_equal(affinity, [[2, 1, 3], [2, 2, np.nan], [4, np.nan, 4]])


def test_a_loss_that_is_no_number_is_named_where_it_counts() -> None:
    with pytest.raises(UsageError, match="loss of task 1 in subset 0"):
        task_affinity([(0, 1)], np.array([[1.0, np.nan]]))


@pytest.mark.parametrize("number", [2, None])
@pytest.mark.parametrize("sizes", [(5, 5), (4, 8)])
def test_two_blocks_are_found(sizes: tuple[int, int], number: int | None) -> None:
    tasks = sum(sizes)
    subsets = random_subsets(tasks, tasks // 2, 300)
    losses = additive(blocks(sizes), noise=0.1)(subsets)
    losses = losses * np.linspace(0.5, 5, tasks)  # tasks whose losses differ in height and spread
    assert group_tasks(task_affinity(subsets, losses), number).tolist() == [0] * sizes[0] + [1] * sizes[1]


@pytest.mark.parametrize("number", [3, None])
def test_three_blocks_are_found(number: int | None) -> None:
    subsets = random_subsets(15, 6, 400)
    affinity = task_affinity(subsets, additive(blocks((4, 5, 6)), noise=0.1)(subsets))
    assert group_tasks(affinity, number).tolist() == [0] * 4 + [1] * 5 + [2] * 6


def test_similarity_is_symmetric_and_knows_nothing_of_units() -> None:
    affinity = np.random.default_rng(0).normal(size=(6, 6))
    similar = similarity(affinity)
    np.testing.assert_array_equal(similar, similar.T)
    assert (similar > 0).all()
    scale, level = np.linspace(1, 9, 6)[:, None], np.linspace(-3, 3, 6)[:, None]
    np.testing.assert_allclose(similarity(scale * affinity + level), similar)


def test_pairs_that_never_met_and_losses_that_never_differ() -> None:
    affinity = np.array([[1.0, np.nan, 2.0], [np.nan, 1.0, 1.0], [2.0, 1.0, 1.0]])
    assert np.isfinite(similarity(affinity)).all()
    assert np.isfinite(similarity(np.ones((4, 4)))).all()


def test_extreme_numbers_of_groups() -> None:
    affinity = np.random.default_rng(0).normal(size=(4, 4))
    assert group_tasks(affinity, 1).tolist() == [0, 0, 0, 0]
    assert group_tasks(affinity, 4).tolist() == [0, 1, 2, 3]
    assert group_tasks(affinity[:1, :1]).tolist() == [0]
    with pytest.raises(UsageError, match="4 tasks cannot be divided into 5 groups"):
        group_tasks(affinity, 5)
