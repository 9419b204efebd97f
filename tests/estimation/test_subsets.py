import pytest

from finetune_cot.errors import UsageError
from finetune_cot.estimation.subsets import leave_one_out, random_subsets, subset_size


def test_subsets_differ_have_one_size_and_begin_longer_lists() -> None:
    subsets = random_subsets(10, 4, 100, seed=3)
    assert len(set(subsets)) == 100
    assert all(subset == tuple(sorted(set(subset))) and len(subset) == 4 for subset in subsets)
    assert random_subsets(10, 4, 30, seed=3) == subsets[:30]
    assert random_subsets(10, 4, 30, seed=4) != subsets[:30]


def test_every_subset_can_be_drawn_and_no_more() -> None:
    assert len(set(random_subsets(5, 2, 10, seed=0))) == 10
    with pytest.raises(UsageError, match="5 tasks have only 10 of 2; give at most 10"):
        random_subsets(5, 2, 11, seed=0)


def test_each_task_is_drawn_equally_often() -> None:
    subsets = random_subsets(20, 10, 2000, seed=1)
    counts = [sum(task in subset for subset in subsets) for task in range(20)]
    assert min(counts) > 900
    assert max(counts) < 1100


def test_leave_one_out_spelled_out() -> None:
    assert leave_one_out(3) == [(1, 2), (0, 2), (0, 1)]
    with pytest.raises(UsageError):
        leave_one_out(1)


@pytest.mark.parametrize(
    ("text", "size"), [("3", 3), ("0.5", 5), ("1", 1), ("1.0", 10), ("0.01", 1), ("10", 10)]
)
def test_a_size_is_a_count_or_a_share(text: str, size: int) -> None:
    assert subset_size(text, 10) == size


@pytest.mark.parametrize("text", ["0", "1.5", "abc", "11", "-1", "nan", "inf", "", "0.0"])
def test_no_size(text: str) -> None:
    with pytest.raises(UsageError, match=r"--subset-size: .* is neither"):
        subset_size(text, 10)
