from dataclasses import replace

import numpy as np
import pytest

from finetune_cot.reporting.agreement import (
    ALL,
    HOLDING,
    NOT_HOLDING,
    Agreements,
    agreements,
    approximation_table,
    by_task,
    detail,
    overview,
    speed,
)
from finetune_cot.reporting.agreement_figures import (
    MAX_PANELS,
    agreement_charts,
    approximation_charts,
    drawn_tasks,
    ensemble,
    scatter,
)
from finetune_cot.reporting.comparisons import Comparison, Costs, Method, Repeats
from finetune_cot.reporting.findings import Approximation
from tests.reporting.made_up_estimates import TASKS, losses, noisy, subsets

LISTED = list(dict.fromkeys(subsets(40)))
TRUE = losses(LISTED)
HELD = np.array([[task in subset for task in range(8)] for subset in LISTED])
COMPARISON = Comparison(
    name="estimates",
    truth_name="truth",
    tasks=TASKS,
    held=HELD,
    truth=noisy(TRUE, 0.02, 1),
    repeats=Repeats(HELD[:8], noisy(TRUE, 0.02, 1)[:8], noisy(TRUE, 0.02, 2)[None, :8]),
    methods=(
        Method("gradex", True, noisy(TRUE, 0.05, 3)),
        Method("target is in the subset", False, -HELD.astype(float)),
    ),
    calibration=5,
    costs=Costs(2000.0, 40.0, 15.0, 5.0),
)


@pytest.fixture(scope="module")
def found() -> Agreements:
    return agreements(COMPARISON)


def test_membership_orders_all_subsets_and_none_within_the_two_kinds(found: Agreements) -> None:
    membership = found.methods[1].by_stratum
    assert (membership[ALL].spearman or 0) > 0.6
    assert (membership[HOLDING].spearman, membership[NOT_HOLDING].spearman) == (0, 0)
    assert all((found.main.by_stratum[name].spearman or 0) > 0.5 for name in (ALL, HOLDING, NOT_HOLDING))


def test_the_noise_floor_is_what_was_planted(found: Agreements) -> None:
    assert found.noise_floor is not None
    assert (found.noise_floor.runs, found.noise_floor.subsets) == (1, 8)
    assert found.noise_floor.std == pytest.approx(0.02, rel=0.25)
    assert found.spread > 5 * found.noise_floor.std
    assert agreements(replace(COMPARISON, repeats=None)).noise_floor is None


def test_the_error_of_the_mean_is_the_truths_own_spread(found: Agreements) -> None:
    mean = COMPARISON.truth.mean(axis=0)
    expected = (np.abs(COMPARISON.truth - mean) / COMPARISON.truth).mean()
    assert found.constant.by_stratum[ALL].relative_error_mean == pytest.approx(expected)


def test_the_overview_tells_of_every_estimator_and_both_yardsticks(found: Agreements) -> None:
    table = overview(found)
    assert [row[0].text for row in table.rows] == [
        *("gradex", "target is in the subset"),
        *("the truth with another seed (8 subsets)", "the mean of the truths"),
    ]
    best = found.main.by_stratum[ALL]
    assert best.interval is not None
    low, high = best.interval
    assert table.rows[0][1].text == f"{best.spearman:.2f} [{low:.2f}, {high:.2f}]"
    assert table.rows[0][1].strong
    assert not table.rows[1][1].strong
    assert [cell.text for cell in table.rows[1][-2:]] == ["", ""]
    assert [cell.text for cell in table.rows[3][1:6]] == [""] * 5
    notes = " ".join(table.notes)
    assert f"{len(LISTED)} subsets of 8 tasks" in notes
    assert "5 further subsets were used for calibration" in notes
    assert "another seed changes it by 0.0" in notes


def test_the_other_tables(found: Agreements) -> None:
    assert len(detail(found).rows) == 4 * 3
    tasks = by_task(found)
    assert [row[0].value for row in tasks.rows] == list(TASKS)
    assert tasks.rows[2][4].value == pytest.approx(np.std(COMPARISON.truth[:, 2], ddof=1))
    assert [cell.text for cell in speed([found]).rows[0]] == [
        *("estimates", "2000", "40", "15", "5", "33.3 x"),
    ]


def test_charts_hold_every_subset_once_in_each_panel(found: Agreements) -> None:
    chart = scatter(found)
    assert [panel.title for panel in chart.panels] == ["mean loss", *TASKS]
    assert chart.identity
    for panel in chart.panels:
        assert sum(len(cloud.xs) for cloud in panel.clouds) == len(LISTED)
    assert len(list(agreement_charts(found))) == 2


def test_of_many_tasks_those_that_spread_most_are_drawn() -> None:
    many = 30
    listed = list(dict.fromkeys(subsets(30, many, 15)))
    truth = 1 + 1.5 ** np.arange(many) * np.random.default_rng(0).random((len(listed), many))
    held = np.array([[task in subset for task in range(many)] for subset in listed])
    comparison = replace(
        COMPARISON,
        tasks=tuple(f"task {n:02}" for n in range(many)),
        held=held,
        truth=truth,
        repeats=None,
        methods=(Method("score", False, truth),),
    )
    found = agreements(comparison)
    assert len(scatter(found).panels) == MAX_PANELS
    assert not scatter(found).identity
    assert drawn_tasks(found) == list(range(many - MAX_PANELS + 1, many))


def test_ensemble_scores_of_the_truth_are_those_of_the_truth(found: Agreements) -> None:
    chart = ensemble(found)
    mean = COMPARISON.truth.mean(axis=1)
    for row in chart.rows:
        holding = HELD[:, TASKS.index(row.label)]
        assert row.values[1] == pytest.approx(mean[holding].mean() - mean.mean())
    measured = [row.values[1] or 0 for row in chart.rows]
    assert measured == sorted(measured)


def test_approximation_errors_by_distance() -> None:
    item = Approximation("g", (0.02, 0.1), ((0.001, 0.003), (0.02,)), ((0.1, 0.3), (0.5,)), 64)
    rows = [[cell.text for cell in row] for row in approximation_table([item]).rows]
    assert rows == [
        ["g", "64", "2.0", "2", "0.2", "0.141", "20", "14.1"],
        ["g", "64", "10.0", "1", "2", "", "50", ""],
    ]
    without, with_gradient = next(approximation_charts([item])).lines
    assert [point.x for point in without.points] == pytest.approx([2, 10])
    assert [point.y for point in with_gradient.points] == pytest.approx([0.2, 2])
    assert [point.error for point in with_gradient.points] == [pytest.approx(0.1414, rel=1e-3), None]
