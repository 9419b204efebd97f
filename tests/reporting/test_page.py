"""The report's page as text; `test_page_in_browser.py` reads it in a browser."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from finetune_cot.errors import UsageError
from finetune_cot.reporting import page as page_module
from finetune_cot.reporting import scripts
from finetune_cot.reporting.charts import BarChart, Chart, HeatChart, LineChart
from finetune_cot.reporting.highlights import Summary
from finetune_cot.reporting.page import in_words, slug, to_page
from finetune_cot.reporting.sections import Section
from finetune_cot.reporting.tables import table
from finetune_cot.reporting.vega import BAR_COLOURS, COLOURS, specs
from tests.reporting.test_figures import CHARTS


def page(*sections: Section, title: str = "mine") -> str:
    first = Summary(("Found & told.",), ("Trusted.",), (("Missing <b>", "ftcot train"),))
    return to_page(title, ["Words."], first, [("<i>", "meant")], sections, [], scripts="/* scripts */")


class Elements(HTMLParser):
    """Every tag of a page with its attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def test_nothing_is_fetched() -> None:
    text = page(Section("Lines", tables=(table("t", ["a"], [[1]]),), charts=(CHARTS["lines"],)))
    fetched = [
        value
        for tag, attributes in Elements(text).tags
        for name, value in attributes.items()
        if name in ("src", "href", "data", "action") and not (value or "").startswith("#")
    ]
    assert fetched == ["t.csv"]
    policy = next(dict(a)["content"] for t, a in Elements(text).tags if a.get("http-equiv"))
    assert policy is not None
    assert policy.startswith("default-src 'none'")


@pytest.mark.parametrize("hostile", ["<script>x</script>", "</script><b>", "\" onload='x'", "{{ 7 * 7 }}"])
def test_names_are_escaped_wherever_they_stand(hostile: str) -> None:
    chart = BarChart("c", hostile, hostile, (CHARTS["bars"].bars[0],), ())  # type: ignore[union-attr]
    section = Section(hostile, (hostile,), (table("t", [hostile], [[hostile]], notes=[hostile]),), (chart,))
    clean = Section("x", ("x",), (table("t", ["x"], [["x"]], notes=["x"]),), (chart,))
    tags, expected = (
        Elements(page(made, title=name)).tags for made, name in ((section, hostile), (clean, "x"))
    )
    assert [tag for tag, _ in tags] == [tag for tag, _ in expected]
    assert not any(name.startswith("on") for _, attributes in tags for name in attributes)


@pytest.mark.parametrize("name", CHARTS)
def test_every_chart_is_a_valid_specification_and_has_words(name: str) -> None:
    for spec in specs(CHARTS[name]):
        json.dumps(spec, allow_nan=False)
        assert "vega-lite" in spec["$schema"]
    words = in_words(CHARTS[name])
    assert words.startswith(f"{CHARTS[name].title}. ")
    assert len(words) < 3000


def test_a_heatmap_leaves_out_what_is_not_known() -> None:
    heat = HeatChart("h", "Heat", "x", "y", "v", ("a", "b"), ("a", "b"), ((None, 0.1), (-0.2, None)))
    (spec,) = specs(heat)
    (values,) = list(spec.get("datasets", {}).values()) or [spec["data"]["values"]]
    assert [(cell["row"], cell["column"]) for cell in values] == [("a", "b"), ("b", "a")]


@pytest.mark.parametrize(
    "chart",
    [
        BarChart("e", "e", "x", (), ()),
        LineChart("e", "e", "x", "y", (), percent=False),
        HeatChart("e", "e", "x", "y", "v", ("a",), ("a",), ((None,),)),
    ],
)
def test_a_chart_without_values_is_not_shown(chart: Chart) -> None:
    text = page(Section("Empty", tables=(table("t", ["a"], [[1]]),), charts=(chart,)))
    assert "<figure" not in text
    assert "/* scripts */" not in text


@pytest.mark.parametrize("colour", sorted({*COLOURS, *BAR_COLOURS}))
def test_colours_of_charts_stand_out_by_day_and_night(colour: str) -> None:
    style = Path(page_module.__file__).with_name("templates").joinpath("page.css").read_text(encoding="utf-8")
    papers = re.findall(r"--paper: (#[0-9a-f]{6})", style)
    assert len(papers) == 2
    for paper in papers:
        lighter, darker = sorted((luminance(colour), luminance(paper)), reverse=True)
        assert (lighter + 0.05) / (darker + 0.05) >= 3  # WCAG 2.2, 1.4.11


def luminance(colour: str) -> float:
    channels = (int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5))
    red, green, blue = (c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_addresses_within_the_page_lead_somewhere() -> None:
    text = page(Section("A: b_1 (c)", tables=(table("t", ["a"], [[1]]),)))
    ids = {attributes["id"] for _, attributes in Elements(text).tags if "id" in attributes}
    links = {(attributes.get("href") or "") for tag, attributes in Elements(text).tags if tag == "a"}
    assert {link[1:] for link in links if link.startswith("#")} <= ids
    assert slug("A: b_1 (c)") == "a-b_1-c"


def test_long_tables_say_what_is_missing() -> None:
    text = page(Section("Long", tables=(table("t", ["a"], [[number] for number in range(310)]),)))
    assert text.count("<tr>") == 301
    assert "10 more rows are in the file." in text


def test_the_scripts_are_put_together_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import vl_convert

    made: list[int] = []

    def bundle() -> str:
        made.append(1)
        return "a('</script>')"

    monkeypatch.setenv("FTCOT_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(vl_convert, "javascript_bundle", bundle)
    assert scripts.chart_scripts() == scripts.chart_scripts() == r"a('<\/script>')"
    assert made == [1]


def test_without_a_package_the_way_out_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(scripts.PACKAGES, "no_such_module", "no-such-package")
    with pytest.raises(UsageError, match=r"no-such-package.*finetune-cot\[report\].*--no-page"):
        scripts.require_page_packages()
