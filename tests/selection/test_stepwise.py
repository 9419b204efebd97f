from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from jaxtyping import Float
from numpy import ndarray

from finetune_cot.errors import UsageError
from finetune_cot.selection.stepwise import forward_stepwise
from finetune_cot.selection.subsets import Subset
from tests.selection.planted import additive, blocks, harmful


@pytest.mark.parametrize("target", [None, 0, 4])
def test_tasks_that_harm_are_never_taken_and_all_others_are(target: int | None) -> None:
    found = forward_stepwise(additive(harmful(8, bad=[1, 4])), 8, target)
    assert found.selected == (0, 2, 3, 5, 6, 7)
    assert sorted(found.order) == list(found.selected)
    assert found.losses == pytest.approx([2 - 0.1 * step for step in range(1, 7)])
    assert all(later < sooner for sooner, later in pairwise(found.losses))
    assert found.scores == pytest.approx([-0.1, 0.2, -0.1, -0.1, 0.2, -0.1, -0.1, -0.1])


def test_a_target_takes_its_own_block() -> None:
    assert forward_stepwise(additive(blocks([3, 4])), 7, target=5).selected == (3, 4, 5, 6)


def test_it_stops_at_the_limit_and_where_too_little_is_gained() -> None:
    effects = np.tile(-np.array([0.1, 0.4, 0.02, 0.2]), (4, 1))
    assert forward_stepwise(additive(effects), 4, max_tasks=2).order == (1, 3)
    assert forward_stepwise(additive(effects), 4, min_gain=0.05).order == (1, 3, 0)
    assert forward_stepwise(additive(effects), 4).order == (1, 3, 0, 2)
    forced = forward_stepwise(additive(harmful(3, bad=[0, 1, 2])), 3, max_tasks=2, min_gain=-np.inf)
    assert forced.order == (0, 1)
    assert forced.losses == pytest.approx([2.2, 2.4])
    found = forward_stepwise(additive(np.zeros((4, 4))), 4)
    assert found.order == (0,)
    np.testing.assert_equal(found.scores, [np.nan, 0, 0, 0])


def test_given_tasks_stay_and_are_counted() -> None:
    found = forward_stepwise(additive(harmful(5, bad=[1])), 5, given=(1,), max_tasks=3)
    assert 1 in found.selected
    assert len(found.selected) == 3
    assert len(found.order) == 2
    assert found.scores == pytest.approx([-0.1, 0.2, -0.1, -0.1, -0.1])


def test_every_step_is_one_call_of_sorted_subsets() -> None:
    calls: list[list[Subset]] = []
    losses = additive(harmful(4, bad=[]))

    def estimate(subsets: Sequence[Subset]) -> Float[ndarray, "subsets tasks"]:
        calls.append(list(subsets))
        return losses(subsets)

    forward_stepwise(estimate, 4, given=(2,))
    assert [len(call) for call in calls] == [1, 3, 2, 1, 4]
    assert all(list(subset) == sorted(set(subset)) for call in calls for subset in call)


def test_what_cannot_be_selected_from() -> None:
    with pytest.raises(UsageError, match="no finite number"):
        forward_stepwise(lambda subsets: np.full((len(subsets), 3), np.nan), 3)
    with pytest.raises(UsageError, match="room for one"):
        forward_stepwise(additive(harmful(3, bad=[])), 3, max_tasks=0)
