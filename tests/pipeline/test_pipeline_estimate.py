import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from finetune_cot.artifacts.results import read_results
from finetune_cot.artifacts.subset_lists import read_subsets, write_subsets
from finetune_cot.config.estimate import EstimateConfig
from finetune_cot.config.gradients import ESTIMATOR_NAMES
from finetune_cot.config.report import ReportConfig
from finetune_cot.errors import ArtifactError, DataError, UsageError
from finetune_cot.pipeline.estimate import estimate
from finetune_cot.pipeline.report import report
from tests.pipeline.second_road import second_road

pytestmark = pytest.mark.models


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory, tiny_llama_dir: Path) -> dict[str, Any]:
    """Options of a meta-training, its gradients and eight true runs, all done."""
    return second_road(tmp_path_factory.mktemp("estimate"), tiny_llama_dir)


def config(options: dict[str, Any], **changes: Any) -> EstimateConfig:
    return EstimateConfig(
        **{**options, "project_dim": 256, "number_of_subsets": 8, "subset_size": "2", **changes}
    )


def test_every_estimator_writes_a_table_of_the_same_subsets(options: dict[str, Any]) -> None:
    result = estimate(config(options, estimator=("all",)))
    listed = read_subsets(next((options["saved_dir"] / "sampled_indices").glob("*.txt")))
    told = json.loads(result.results_path.with_name("estimates.json").read_text())
    assert [result.method, result.subsets, result.methods] == ["gradex", 8, ESTIMATOR_NAMES]
    assert list(told["methods"]) == list(ESTIMATOR_NAMES)
    for method in told["methods"].values():
        rows = read_results(result.results_path.with_name(method["file"]))
        assert [row.task_indices for row in rows] == listed
        assert set(rows[0].loss_by_task) == {"double", "once", "triple", "zero", "five"}
    main = read_results(result.results_path)
    assert result.best == min(main, key=lambda row: row.loss).task_indices
    assert result.target == "mean"
    for named in ("zero", "4"):  # the fifth by name
        asked = estimate(config(options, target_task=named))
        assert asked.target == "zero"
        assert asked.best == min(main, key=lambda row: row.loss_by_task["zero"]).task_indices
    with pytest.raises(UsageError, match="--target-task: there is no task 'nil'; 0 double"):
        estimate(config(options, target_task="nil"))
    assert main[0].loss == pytest.approx(np.mean(list(main[0].loss_by_task.values())))


def test_calibrated_estimates_say_how_sure_they_are(options: dict[str, Any]) -> None:
    result = estimate(config(options, calibrate=6))
    assert [result.method, result.methods, result.calibrated_on] == [
        "calibrated",
        ("calibrated", "datamodel", "gradex"),
        6,
    ]
    rows = read_results(result.results_path)
    assert all(row.std_by_task and min(row.std_by_task.values()) > 0 for row in rows)
    truth = read_results(
        result.results_path.parents[1] / result.results_path.parent.name[:-14] / "results.csv"
    )
    told = json.loads(result.results_path.with_name("estimates.json").read_text())
    used = told["methods"]["calibrated"]["calibration_subsets"]
    assert used == [list(row.task_indices) for row in truth[:6]]
    assert told["methods"]["gradex"]["calibration_subsets"] == []


def test_the_report_compares_estimates_with_the_truth(options: dict[str, Any]) -> None:
    estimate(config(options, estimator=("gradex", "membership", "norm")))
    result = report(ReportConfig(saved_dir=options["saved_dir"]))
    assert result.spearman is not None
    assert -1 <= result.spearman <= 1
    assert {"membership", "norm"} <= set(result.baselines)
    assert result.relative_error_mean is not None


def test_other_lists_of_subsets(options: dict[str, Any], tmp_path: Path) -> None:
    assert estimate(config(options, leave_one_out=True)).subsets == 5
    write_subsets(tmp_path / "mine.txt", [(0,), (0, 1, 2, 3, 4)])
    assert estimate(config(options, load_sample_task_dir=str(tmp_path / "mine.txt"))).subsets == 2


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"project_dim": 99}, ArtifactError, "there are no gradients; run `ftcot grads` first"),
        ({"points": ("epoch_1",)}, UsageError, "no gradients were taken at 'epoch_1'; they were at: pretr"),
        ({"subset_size": "abc"}, UsageError, "--subset-size"),
        ({"subset_size": "3"}, ArtifactError, "holds other subsets"),
        ({"calibrate": 9, "number_of_subsets": 9}, UsageError, "only 8 of these subsets were really trained"),
        ({"calibrate": 2}, UsageError, "2 true runs are too few"),
        ({"dev_fraction": 0.5}, ArtifactError, "was made with another dev samples"),
        ({"load_sample_task_dir": "nowhere"}, DataError, "no list of subsets is there"),
    ],
)
def test_what_cannot_be_is_told(
    options: dict[str, Any], changes: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        estimate(config(options, **changes))
