import numpy as np
import pytest

from finetune_cot.errors import UsageError
from finetune_cot.selection.leave_one_out import leave_one_out, leave_one_out_subsets
from tests.selection.planted import additive, harmful


def test_subsets_spelled_out() -> None:
    assert leave_one_out_subsets((1, 3, 4)) == [(1, 3, 4), (3, 4), (1, 4), (1, 3)]
    with pytest.raises(UsageError, match="must leave another"):
        leave_one_out_subsets((1,))


@pytest.mark.parametrize("target", [None, 2])
def test_additive_effects_are_found_exactly(target: int | None) -> None:
    effects = np.random.default_rng(0).normal(size=(6, 6))
    found = leave_one_out(additive(effects), (0, 1, 2, 3, 4, 5), target)
    of_target = effects.mean(axis=0) if target is None else effects[target]
    np.testing.assert_allclose(found.scores, of_target)
    assert found.whole_loss == pytest.approx(2 + of_target.sum())


def test_helpful_tasks_are_those_that_do_no_harm() -> None:
    found = leave_one_out(additive(harmful(7, bad=[0, 3])), (0, 1, 2, 3, 5))
    assert found.helpful == (1, 2, 5)
    assert np.isnan(found.scores[[4, 6]]).all()
