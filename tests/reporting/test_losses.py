import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from finetune_cot.artifacts.checkpoints import EPOCH_LOG
from finetune_cot.artifacts.results import ResultRow
from finetune_cot.errors import ArtifactError
from finetune_cot.reporting.charts import ChangeChart, LineChart, has_values
from finetune_cot.reporting.findings import SubsetResults, TrainingRun
from finetune_cot.reporting.logs import read_training_run
from finetune_cot.reporting.losses import loss_charts, results_table, task_table, training_table
from finetune_cot.training.settings import EpochLosses
from tests.reporting.made_up import write_epochs


def run_with(number: int, *dev_losses: float, tasks: int = 1) -> TrainingRun:
    epochs = [
        EpochLosses(epoch, 10 * epoch, 2 * loss, loss, {f"task{task}": loss + task for task in range(tasks)})
        for epoch, loss in enumerate(dev_losses, start=1)
    ]
    return TrainingRun("name", number, tuple(epochs))


def test_a_log_is_read_as_it_was_written(saved_dir: Path) -> None:
    log = write_epochs(
        saved_dir, "data_model_lora_r_4_run_2", [(2.0, 1.5, {"a": 1.0, "b": 2.0}), (1.0, 1.25, {"b": 1.5})]
    )
    run = read_training_run(log)
    assert (run.save_name, run.run) == ("data_model_lora_r_4", 2)
    assert run.epochs == (
        EpochLosses(1, 10, 2.0, 1.5, {"a": 1.0, "b": 2.0}),
        EpochLosses(2, 20, 1.0, 1.25, {"b": 1.5}),
    )


@pytest.mark.models
def test_the_log_of_train_is_read(tmp_path: Path) -> None:
    from finetune_cot.training.callbacks import TrainingLog

    folder = tmp_path / "name_run_0"
    folder.mkdir()
    epochs = [EpochLosses(1, 3, 2.5, 1.5, {"a": 1.0, "b, c": 2.0}), EpochLosses(2, 6, 1.5, None)]
    log = TrainingLog(folder)
    log.epochs = epochs
    log.on_train_start(SimpleNamespace(global_step=6), None)  # type: ignore[arg-type]
    assert read_training_run(folder / EPOCH_LOG).epochs == tuple(epochs)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "does not begin with"),
        ("epoch,step,train_loss,dev_loss\n", "no epoch is done yet"),
        ("epoch,step,train_loss,dev_loss\n1,10,2.0,1.0\n2,20,1.", "line 3: is torn"),
        ("epoch,step,train_loss,dev_loss\n1,10,two,1.0\n", "line 2: is no row"),
        ("epoch,step,train_loss,dev_loss\n1,10,2.0,1.0,9\n", "line 2: is torn"),
    ],
)
def test_a_torn_log_is_named_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    log = tmp_path / "name_run_0" / "epochs.csv"
    log.parent.mkdir()
    log.write_text(text, encoding="utf-8")
    with pytest.raises(ArtifactError, match=message):
        read_training_run(log)


def test_table_of_runs_has_the_last_and_the_best_epoch() -> None:
    run = replace(run_with(0, 1.0, 0.5, 0.75), samples=90, dev_samples=10)
    row = training_table([run]).rows[0]
    assert [cell.value for cell in row] == ["name", 0, 90, 10, 3, 30, 1.5, 0.75, 0.5, 2]
    (chart,) = loss_charts([run])
    assert chart.x_label == "Epoch\n90 training samples, 10 dev samples"


def test_a_loss_that_is_no_number_is_in_the_table_alone() -> None:
    broken = run_with(0, 1.0, math.nan, math.inf, tasks=2)
    assert [cell.value for cell in training_table([broken]).rows[0]][-2:] == [1.0, 1]
    for chart in loss_charts([broken]):
        assert isinstance(chart, LineChart)
        assert all(len(line.points) == 1 for line in chart.lines)
    assert not any(has_values(chart) for chart in loss_charts([run_with(0, math.nan, tasks=9)]))


def test_losses_of_subsets_stand_beside_the_dev_samples_of_their_training() -> None:
    row = ResultRow((0, 2), 1.5, {"a": 1.0, "b": 2.0})
    results = [SubsetResults(name, (row,)) for name in ("name", "name_dim_4_run_0", "other")]
    runs = [replace(run_with(0, 1.0), dev_samples=12)]
    assert [[cell.value for cell in row] for row in results_table(results, runs).rows] == [
        ["name", "0 2", 12, 1.5],
        ["name_dim_4_run_0", "0 2", 12, 1.5],
        ["other", "0 2", None, 1.5],
    ]


def test_samples_are_counted_where_the_training_is_done(saved_dir: Path) -> None:
    log = write_epochs(saved_dir, "name_run_0", [(2.0, 1.5, {})])
    assert read_training_run(log).samples is None
    log.with_name("outcome.json").write_text('{"samples": 90, "dev_samples": 10}', encoding="utf-8")
    assert (read_training_run(log).samples, read_training_run(log).dev_samples) == (90, 10)
    log.with_name("outcome.json").write_text('{"samples"', encoding="utf-8")
    with pytest.raises(ArtifactError, match="outcome"):
        read_training_run(log)


def test_table_of_tasks_has_a_row_for_each_run_epoch_and_task() -> None:
    assert len(task_table([run_with(0, 1.0, 0.5, tasks=3), run_with(1, 1.0, tasks=3)]).rows) == 9


def test_runs_share_a_colour_for_train_and_dev() -> None:
    (chart,) = loss_charts([run_with(0, 1.0, 0.5), run_with(1, 0.9, 0.6)])
    assert isinstance(chart, LineChart)
    assert [(line.label, line.colour, line.dashed) for line in chart.lines] == [
        ("train, run 0", 0, True),
        ("dev, run 0", 0, False),
        ("train, run 1", 1, True),
        ("dev, run 1", 1, False),
    ]


def test_losses_by_task_are_means_of_the_runs() -> None:
    _, chart = loss_charts([run_with(0, 1.0, 0.5, tasks=2), run_with(1, 2.0, 1.5, tasks=2)])
    assert isinstance(chart, LineChart)
    assert [[point.y for point in line.points] for line in chart.lines] == [[1.5, 1.0], [2.5, 2.0]]


def test_many_tasks_are_shown_before_and_after() -> None:
    _, chart = loss_charts([run_with(0, 3.0, 2.0, 1.0, tasks=9)])
    assert isinstance(chart, ChangeChart)
    assert (chart.first_label, chart.last_label) == ("after epoch 1", "after epoch 3")
    assert [(change.first, change.last) for change in chart.changes][:2] == [(3.0, 1.0), (4.0, 2.0)]
