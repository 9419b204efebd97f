"""The noisy-addition experiment, with one of its seeds."""

import json
from pathlib import Path

import numpy as np
import pytest

from examples.noisy_addition import CHARACTERS, GROUP_SAMPLES, TASKS, draw_additions, main
from finetune_cot.batches.encoding import EncodedExample

pytestmark = pytest.mark.models


def is_right(example: EncodedExample) -> bool:
    text = "".join(CHARACTERS[number] for number in example.input_ids)
    question, total = text.split("=")
    return sum(map(int, question.split("+"))) == int(total)


def test_sums_are_wrong_in_the_noisy_groups_and_nowhere_else() -> None:
    data = draw_additions(seed=3)
    assert [len(data.train), len(data.dev), int(data.is_noisy.sum())] == [500, 200, 8]
    right = np.array([is_right(example) for example in data.train]).reshape(-1, GROUP_SAMPLES)
    assert np.array_equal(right, np.repeat(~data.is_noisy[:, None], GROUP_SAMPLES, axis=1))
    assert all(is_right(example) and example.task == TASKS[-1] for example in data.dev)
    assert len({example.input_ids[:6] for example in (*data.train, *data.dev)}) == 700


def test_ensemble_scores_tell_noisy_groups_from_clean_ones(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["--seeds", "1", "--out", str(tmp_path)])
    told = json.loads(capsys.readouterr().out)
    assert told["auc"][0] > 0.95
    assert (tmp_path / "scores.png").stat().st_size > 1000
