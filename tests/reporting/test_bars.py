from dataclasses import replace

from finetune_cot.artifacts.ids import CompletionId
from finetune_cot.reporting.bars import family_charts
from finetune_cot.reporting.runs import entries
from tests.reporting.made_up import measured


def test_each_platform_and_family_has_a_chart_by_size() -> None:
    made = [
        replace(measured(CompletionId(model, "zs_cot", "gsm8k"), 2), platform=platform)
        for model, platform in (
            ("opt-1.3b", "local"),
            ("opt-125m", "local"),
            ("opt-13b", "openai"),
            ("x", None),
        )
    ]
    charts = family_charts(entries(made))
    assert [(chart.title, [bar.group for bar in chart.bars]) for chart in charts] == [
        ("Accuracy: x", ["gsm8k: x"]),
        ("Accuracy: opt, local", ["gsm8k: opt-125m", "gsm8k: opt-1.3b"]),
        ("Accuracy: opt, openai", ["gsm8k: opt-13b"]),
    ]
    assert len({chart.name for chart in charts}) == 3
    assert family_charts(entries(made[:2])) == []
