import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from finetune_cot.artifacts.results import ResultRow, append_result, read_results, write_results
from finetune_cot.errors import ArtifactError
from finetune_cot.reporting.comparisons import Comparison, Costs, read_comparison
from tests.reporting.made_up_estimates import ESTIMATES, NAME, TASKS, write_comparison


def read(saved: Path, left_out: list[str] | None = None) -> Comparison:
    def when_there(path: Path, how: Callable[[Path], Any]) -> Any:
        return how(path) if path.exists() else None

    reasons = [] if left_out is None else left_out
    found = read_comparison(saved / "results" / ESTIMATES, when_there, reasons.append)
    assert found is not None
    return found


def test_what_was_written_is_read(saved_dir: Path) -> None:
    write_comparison(saved_dir)
    found = read(saved_dir)
    rows = read_results(saved_dir / "results" / NAME / "results.csv")
    assert (found.tasks, found.truth_name, found.calibration) == (TASKS, NAME, 0)
    assert [tuple(np.flatnonzero(row).tolist()) for row in found.held] == [row.task_indices for row in rows]
    assert found.truth.tolist() == [[row.loss_by_task[task] for task in TASKS] for row in rows]
    assert [(method.name, method.is_loss) for method in found.methods] == [
        ("gradex", True),
        ("additive datamodel", True),
        ("target is in the subset", False),
        ("gradient cosine", False),
    ]
    assert found.repeats is not None
    assert found.repeats.runs.shape == (2, 6, len(TASKS))
    np.testing.assert_array_equal(found.repeats.truth, found.truth[:6])
    np.testing.assert_array_equal(found.repeats.held, found.held[:6])
    assert found.costs == Costs(2000.0, 40.0, 15.0, pytest.approx(400 / len(rows)))
    assert found.costs.speedup == pytest.approx(2000 / (55 + 400 / len(rows)))


def test_subsets_used_for_calibration_are_not_scored(saved_dir: Path) -> None:
    write_comparison(saved_dir)
    whole = read(saved_dir)
    used = [np.flatnonzero(row)[::-1].tolist() for row in whole.held[:8]]
    change_estimates(
        saved_dir, lambda stated: stated["methods"]["gradex"].update(calibration_subsets=used[:5])
    )
    change_estimates(
        saved_dir, lambda stated: stated["methods"]["gradient cosine"].update(calibration_subsets=used[3:])
    )
    found = read(saved_dir)
    assert found.calibration == 8
    np.testing.assert_array_equal(found.held, whole.held[8:])
    assert found.repeats is not None
    np.testing.assert_array_equal(found.repeats.truth, whole.truth[:6])
    for method, before in zip(found.methods, whole.methods, strict=True):
        np.testing.assert_array_equal(method.losses, before.losses[8:])


def test_only_subsets_on_both_sides_count_and_rows_may_stand_in_any_order(saved_dir: Path) -> None:
    write_comparison(saved_dir)
    whole = read(saved_dir)
    truth = saved_dir / "results" / NAME / "results.csv"
    write_results(truth, read_results(truth)[:20:-1])
    append_result(truth, ResultRow((0,), 1.0, {}))
    append_result(truth, ResultRow(tuple(np.flatnonzero(whole.held[0]).tolist()), float("nan"), {}))
    found = read(saved_dir)
    np.testing.assert_array_equal(found.truth, whole.truth[:20:-1])
    np.testing.assert_array_equal(found.methods[1].losses, whole.methods[1].losses[:20:-1])


def test_an_estimator_that_lacks_subsets_is_left_out(saved_dir: Path) -> None:
    write_comparison(saved_dir)
    path = saved_dir / "results" / ESTIMATES / "cosine.csv"
    write_results(path, read_results(path)[4:])
    reasons: list[str] = []
    assert "gradient cosine" not in [method.name for method in read(saved_dir, reasons).methods]
    assert reasons == [f"gradient cosine has no estimate for 4 of {len(read(saved_dir).truth)} subsets"]


def test_tasks_without_a_measured_loss_are_no_targets(saved_dir: Path) -> None:
    write_comparison(saved_dir, repeated=0)
    truth = saved_dir / "results" / NAME / "results.csv"
    rows = [
        ResultRow(row.task_indices, row.loss, {t: v for t, v in row.loss_by_task.items() if t != "dates"})
        for row in read_results(truth)
    ]
    write_results(truth, rows)
    with pytest.raises(ArtifactError, match="holds task 7, but there are losses of 7 tasks"):
        read(saved_dir)
    change_estimates(saved_dir, lambda stated: stated.update(tasks=list(TASKS)))
    found = read(saved_dir)
    assert found.tasks == tuple(task for task in TASKS if task != "dates")
    assert found.held.shape == found.truth.shape
    assert found.held[0].tolist() == [n in rows[0].task_indices for n in range(8) if n != 2]


def test_costs_that_nobody_measured_give_no_speedup(saved_dir: Path) -> None:
    write_comparison(saved_dir)
    (saved_dir / "gradients" / ESTIMATES / "manifest.json").unlink()
    costs = read(saved_dir).costs
    assert (costs.gradients, costs.speedup) == (None, None)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda stated: stated.pop("truth_name"), "does not tell of methods and truth_name"),
        (lambda stated: stated.update(methods=[]), "does not tell of methods and truth_name"),
        (lambda stated: stated["methods"]["gradex"].update(file="../x.csv"), "names no file of 'gradex'"),
        (lambda stated: stated["methods"]["gradex"].update(file="gone.csv"), "shares 0 subsets with"),
    ],
)
def test_estimates_of_another_form_are_named(
    saved_dir: Path, change: Callable[[Any], object], message: str
) -> None:
    write_comparison(saved_dir)
    change_estimates(saved_dir, change)
    with pytest.raises(ArtifactError, match=message):
        read(saved_dir)


def change_estimates(saved: Path, change: Callable[[Any], object]) -> None:
    path = saved / "results" / ESTIMATES / "estimates.json"
    stated = json.loads(path.read_text())
    change(stated)
    path.write_text(json.dumps(stated))
