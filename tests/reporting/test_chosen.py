from pathlib import Path

import numpy as np
import pytest

from finetune_cot.artifacts.subset_lists import write_subsets
from finetune_cot.reporting.chosen import Affinity, affinity_chart, read_selection, selection_table


def test_a_selection_names_its_tasks(tmp_path: Path) -> None:
    path = tmp_path / "sampled_indices" / "x_dim_9_run_0_selected_affinity_for_2.txt"
    write_subsets(path, [(0, 2), (1,)])
    found = read_selection(path)
    assert (found.gradients, found.how) == ("x_dim_9_run_0", "affinity_for_2")
    rows = selection_table([found], {"x_dim_9_run_0": ("a", "b", "c")}).rows
    assert [[cell.value for cell in row[2:]] for row in rows] == [[0, 2, "a, c", "0 2"], [1, 1, "b", "1"]]
    unnamed = selection_table([found], {}).rows
    assert [row[4].value for row in unnamed] == ["0, 2", "1"]


def test_affinities_are_shown_against_the_mean_of_the_other_tasks() -> None:
    losses = np.array([[9.0, 1.0, 3.0], [2.0, 9.0, np.nan], [5.0, 7.0, 9.0]])
    chart = affinity_chart(Affinity("x", ("a", "b", "c"), 12, losses))
    assert chart.values == (
        (None, pytest.approx(-1), pytest.approx(1)),
        (pytest.approx(0), None, None),
        (pytest.approx(-1), pytest.approx(1), None),
    )
    assert losses[0, 0] == 9.0
