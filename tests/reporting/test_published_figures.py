from dataclasses import replace
from pathlib import Path

import pytest

from finetune_cot.artifacts.ids import CompletionId
from finetune_cot.config.report import ReportConfig
from finetune_cot.pipeline.report import report
from finetune_cot.reporting.published_figures import (
    PAPER_STUDENTS,
    TESTS,
    PaperStudent,
    paper_lines,
    paper_students,
    published_table,
    student_table,
)
from finetune_cot.reporting.runs import entries
from tests.reporting.made_up import measured, student_id


def test_only_the_same_model_method_and_data_set_stand_beside_it() -> None:
    ids = [
        CompletionId("text-davinci-002", "zs_cot", "multiarith"),
        CompletionId("text-davinci-002", "zs", "multiarith"),
        CompletionId("text-davinci-003", "zs_cot", "multiarith"),
        CompletionId("text-davinci-002", "zs_cot_t70", "multiarith"),
        CompletionId("text-davinci-002", "zs_cot", "gsm8k"),
    ]
    (row,) = published_table(entries(measured(id, 8) for id in ids)).rows
    assert [cell.value for cell in row[4:8]] == [10, 0.8, pytest.approx(0.78667, abs=1e-5), 600]


@pytest.mark.parametrize("student", PAPER_STUDENTS, ids=lambda item: f"{item.model} {item.diverse}")
def test_the_papers_accuracies_are_shares_of_its_test_parts(student: PaperStudent) -> None:
    for dataset, n in TESTS.items():
        share = student.accuracy(dataset)
        assert share is None or round(100 * round(share * n) / n, 2) == pytest.approx(100 * share, abs=0.006)


def test_the_papers_students_stand_beside_those_of_the_same_test_part_and_method() -> None:
    whole = measured(replace(student_id(), base_model="opt-125m", dataset_key="multiarith"), 9, n=180)
    part = replace(whole, id=replace(whole.id, dataset_key="svamp"))
    rows = entries([whole, part])
    paper = paper_students(rows)
    assert {dataset: [item.model for item in items] for dataset, items in paper.items()} == {
        "multiarith": ["0.3B", "6.7B", "GPT-2"]
    }
    shown = [[cell.text for cell in row] for row in student_table(rows, paper).rows]
    assert [(row[2], row[4], row[6], row[7]) for row in shown] == [
        ("here", "125", "180", "5.0 ± 1.6"),
        ("Ho et al. 2023", "300", "180", "6.1 ± 1.8"),
        ("Ho et al. 2023", "6700", "180", "33.3 ± 3.5"),
        ("Ho et al. 2023", "124", "180", "8.3 ± 2.1"),
    ]
    lines = paper_lines(paper, 3)["multiarith"]
    assert [(line.colour, line.dashed, len(line.points)) for line in lines] == [(3, True, 1), (4, True, 2)]


def test_published_completions_give_the_published_figures(shared_data: Path, saved_dir: Path) -> None:
    (saved_dir / "completion_data").symlink_to(shared_data / "completion_data")
    config = ReportConfig(
        saved_dir=saved_dir, data_dir=shared_data, figure_format=("none",), page=False, split="all"
    )
    text = report(config).report_md.read_text(encoding="utf-8")
    assert "## Beside published figures" in text
    assert "600 | 78.7 ± 1.7 | 78.7 | 600 |" in text
    assert "500 | 91.4 ± 1.3 | 91.4 | 500 |" in text


def test_published_completions_stand_on_both_splits(shared_data: Path, saved_dir: Path) -> None:
    (saved_dir / "completion_data").symlink_to(shared_data / "completion_data")
    config = ReportConfig(saved_dir=saved_dir, data_dir=shared_data, figure_format=("none",), page=False)
    text = report(config).report_md.read_text(encoding="utf-8")
    shown = text[text.index("## Template against default split") :]
    assert "| multiarith | text-davinci-002 | zero-shot-CoT | default | 180 | 77.8 ± 3.1 |" in shown
    assert "| multiarith | text-davinci-002 | zero-shot-CoT | template | 187 | 78.1 ± 3.0 |" in shown
