from pathlib import Path

import numpy as np
import pytest
from jaxtyping import Float
from numpy import ndarray

from finetune_cot.artifacts.subset_lists import write_subsets
from finetune_cot.reporting.chosen import (
    Affinity,
    affinity_chart,
    ensemble_chart,
    ensemble_table,
    read_selection,
    selection_table,
)


def test_a_selection_names_its_tasks(tmp_path: Path) -> None:
    path = tmp_path / "sampled_indices" / "x_dim_9_run_0_selected_affinity_for_2.txt"
    write_subsets(path, [(0, 2), (1,)])
    found = read_selection(path)
    assert (found.gradients, found.how) == ("x_dim_9_run_0", "affinity_for_2")
    rows = selection_table([found], {"x_dim_9_run_0": ("a", "b", "c")}).rows
    assert [[cell.value for cell in row[2:]] for row in rows] == [[0, 2, "a, c", "0 2"], [1, 1, "b", "1"]]
    assert rows[0][1].value == "affinity, for c"
    unnamed = selection_table([found], {}).rows
    assert unnamed[0][1].value == "affinity_for_2"
    assert [row[4].value for row in unnamed] == ["0, 2", "1"]


def affinity(losses: Float[ndarray, "tasks tasks"]) -> Affinity:
    return Affinity("x", ("a", "b", "c"), 12, losses, np.array([3.0, np.nan, 1.0]), 2.0)


def test_scores_of_the_ensemble_stand_against_all_subsets_the_best_first() -> None:
    made = affinity(np.zeros((3, 3)))
    rows = [[cell.value for cell in row] for row in ensemble_table(made).rows]
    assert rows == [["c", 1.0, -1.0], ["a", 3.0, 1.0], ["b", None, None]]
    assert [row.values for row in ensemble_chart(made).rows] == [(-1.0,), (1.0,), (None,)]


def test_affinities_are_shown_against_the_mean_of_the_other_tasks() -> None:
    losses = np.array([[9.0, 1.0, 3.0], [2.0, 9.0, np.nan], [5.0, 7.0, 9.0]])
    chart = affinity_chart(affinity(losses))
    assert chart.values == (
        (None, pytest.approx(-1), pytest.approx(1)),
        (pytest.approx(0), None, None),
        (pytest.approx(-1), pytest.approx(1), None),
    )
    assert losses[0, 0] == 9.0
