import numpy as np
import pytest

from finetune_cot.errors import UsageError
from finetune_cot.selection.subsets import indicators, target_losses


def test_indicators_spelled_out() -> None:
    assert indicators([(0, 2), (), (1,)], 3).tolist() == [[1, 0, 1], [0, 0, 0], [0, 1, 0]]
    with pytest.raises(UsageError, match="subset 1 holds task 3, but there are 3"):
        indicators([(0,), (3,)], 3)


def test_the_target_is_a_task_or_the_mean() -> None:
    losses = np.array([[1.0, 3.0], [2.0, np.nan]])
    assert target_losses(losses, 0).tolist() == [1, 2]
    assert target_losses(losses[:1], None).tolist() == [2]
    with pytest.raises(UsageError, match="mean over the tasks: the loss of subset 1 is no finite number"):
        target_losses(losses, None)
    with pytest.raises(UsageError, match="there is no task 2"):
        target_losses(losses, 2)


def test_a_task_without_any_loss_is_left_out_of_the_mean() -> None:
    losses = np.array([[1.0, np.nan, 3.0], [2.0, np.nan, 6.0]])
    assert target_losses(losses, None).tolist() == [2, 4]
    losses[1, 1] = 0.0
    with pytest.raises(UsageError, match="subset 0 is no finite number"):
        target_losses(losses, None)
