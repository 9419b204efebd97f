from pathlib import Path

import pytest

from finetune_cot.artifacts.ids import CompletionId
from finetune_cot.config.report import ReportConfig
from finetune_cot.pipeline.report import report
from finetune_cot.reporting.published_figures import published_table
from finetune_cot.reporting.runs import entries
from tests.reporting.made_up import measured


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


def test_published_completions_give_the_published_figures(shared_data: Path, saved_dir: Path) -> None:
    (saved_dir / "completion_data").symlink_to(shared_data / "completion_data")
    config = ReportConfig(
        saved_dir=saved_dir, data_dir=shared_data, figure_format=("none",), page=False, split="all"
    )
    text = report(config).report_md.read_text(encoding="utf-8")
    assert "## Beside published figures" in text
    assert "600 | 78.7 ± 1.7 | 78.7 | 600 |" in text
    assert "500 | 91.4 ± 1.3 | 91.4 | 500 |" in text
