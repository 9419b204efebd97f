import sys
import warnings
from pathlib import Path
from typing import Any

import pytest

from finetune_cot.errors import UsageError
from finetune_cot.reporting.bars import KINDS
from finetune_cot.reporting.charts import (
    Bar,
    BarChart,
    Change,
    ChangeChart,
    Chart,
    Cloud,
    HeatChart,
    Line,
    LineChart,
    Panel,
    Point,
    ScatterChart,
    ScoreChart,
    ScoreRow,
)
from finetune_cot.reporting.figures import draw, require_matplotlib, save_figures

BARS = tuple(
    Bar(f"model{number // 8}", f"method {number}", value, 4.0, f"{value} ± 4.0   n = 100", KINDS[number % 5])
    for number, value in enumerate([0.0, 2.0, 50.0, 99.0, 100.0] * 8)
)
LONG = "a-very-long-key-" * 8
PANEL = Panel(
    LONG,
    "ρ = 0.5",  # noqa: RUF001
    (
        Cloud("subset holds the task", (0.001, 0.0021), (0.002, 0.0012), 1),
        Cloud("subset does not", (0.003,), (0.0025,), 0),
    ),
)
CHARTS: dict[str, Chart] = {
    "bars": BarChart("bars", "Bars", "Accuracy (%)", BARS, KINDS),
    "odd names": BarChart("odd", "a$b_c$", "x", (Bar("$m$", LONG, 50, 5, "$x^2$", "new kind"),), KINDS),
    "lines": LineChart(
        "lines",
        LONG,
        "Rationales",
        "Accuracy (%)",
        tuple(
            Line(f"model {colour} $x$", (Point(1, 3, 5), Point(8, 50, 5), Point(64, 98, 5)), colour)
            for colour in range(20)
        ),
        percent=True,
        doubling=True,
    ),
    "one point": LineChart(
        "one", "One", "Epoch", "Loss", (Line("train", (Point(1, 2.0),), 0),), percent=False
    ),
    "changes": ChangeChart(
        "changes",
        "Tasks",
        "Loss",
        "before",
        "after",
        tuple(Change(f"task {n}", 2.0, 1.0 + n) for n in range(30)),
    ),
    "scatter": ScatterChart("scatter", LONG, LONG, "Loss", (PANEL,) * 12, identity=True),
    "scatter of one panel": ScatterChart(
        "scatter", "$x$", "Loss", "Loss", (Panel("a", "", (Cloud("", (1.0,), (1.0,), 2),)),), identity=True
    ),
    "scatter of scores": ScatterChart("scatter", "Scores", "Score", "Loss", (PANEL,) * 5, identity=False),
    "scores": ScoreChart(
        "scores",
        LONG,
        "Loss",
        ("estimate", "truth"),
        tuple(ScoreRow(f"{LONG} {n}", (n - 15.0, None if n == 3 else 12.0 - n)) for n in range(38)),
    ),
    "heat": HeatChart(
        "heat",
        LONG,
        "with this task",
        "loss of this task",
        "nats a token",
        tuple(f"task $x$ {LONG}{n}" for n in range(12)),
        tuple(f"task $x$ {LONG}{n}" for n in range(12)),
        tuple(tuple(None if n == m else 0.1 * (n - m) for m in range(12)) for n in range(12)),
    ),
    "by magnitude": LineChart(
        "log",
        "Log",
        "Distance",
        "Error",
        (Line("with", (Point(2, 0.0004, 0.0005), Point(10, 30)), 0),),
        percent=False,
        log=True,
    ),
    "within a magnitude": LineChart(
        "log",
        "Log",
        "Distance",
        "Error",
        (Line("with", (Point(2, 2.1), Point(10, 8.7)), 0),),
        False,
        log=True,
    ),
}


@pytest.mark.parametrize("name", CHARTS)
def test_no_text_overlaps_another_or_leaves_the_figure(name: str) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure = draw(CHARTS[name])
    canvas = FigureCanvasAgg(figure)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        canvas.draw()
    renderer = canvas.get_renderer()
    boxes = [text.get_window_extent(renderer) for text in shown_texts(figure)]
    page = figure.bbox.padded(1)
    for number, box in enumerate(boxes):
        assert page.contains(box.x0, box.y0)
        assert page.contains(box.x1, box.y1)
        assert not any(overlap(box, other) for other in boxes[:number])


def shown_texts(figure: Any) -> list[Any]:
    from matplotlib.text import Text

    axes = figure.axes[0]
    ticks = [text for axis in (axes.xaxis, axes.yaxis) for text in axis.get_ticklabels()]
    within = [text for text in axes.texts if text.get_text()]
    legend = axes.get_legend().get_texts() if axes.get_legend() else []
    title = [child for child in axes.get_children() if isinstance(child, Text) and child.get_text()]
    found = {
        id(text): text for text in [*ticks, *within, *legend, *title, axes.xaxis.label, axes.yaxis.label]
    }
    low, high = sorted(axes.get_ylim())
    hidden = {id(text) for text in axes.yaxis.get_ticklabels() if not low <= text.get_position()[1] <= high}
    left, right = sorted(axes.get_xlim())
    hidden |= {
        id(text) for text in axes.xaxis.get_ticklabels() if not left <= text.get_position()[0] <= right
    }
    return [text for key, text in found.items() if text.get_text().strip() and key not in hidden]


def overlap(one: Any, other: Any) -> bool:
    width = min(one.x1, other.x1) - max(one.x0, other.x0)
    height = min(one.y1, other.y1) - max(one.y0, other.y0)
    return bool(width > 1 and height > 1)


def test_percentages_are_shown_on_the_whole_scale() -> None:
    assert draw(CHARTS["bars"]).axes[0].get_xlim() == (0, 100)
    assert draw(CHARTS["lines"]).axes[0].get_ylim() == (0, 100)


def test_equal_charts_give_equal_files(tmp_path: Path) -> None:
    done: list[int] = []
    files = []
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir()
        assert save_figures([CHARTS["lines"]], folder, ["png", "svg"], done.append) == [
            "lines.png",
            "lines.svg",
        ]
        files.append([(folder / file).read_bytes() for file in ("lines.png", "lines.svg")])
    assert files[0] == files[1]
    assert done == [1, 1]


def test_pyplot_is_not_touched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "matplotlib.pyplot", raising=False)
    save_figures([CHARTS["one point"]], tmp_path, ["png"], lambda done: None)
    assert "matplotlib.pyplot" not in sys.modules


def test_without_matplotlib_the_way_out_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(UsageError, match=r"finetune-cot\[report\]"):
        require_matplotlib()
