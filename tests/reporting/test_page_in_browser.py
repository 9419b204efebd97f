"""The report's page in a real browser, opened from its file."""

import json
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from finetune_cot.artifacts.completions import open_completions
from finetune_cot.artifacts.ids import CompletionId
from finetune_cot.artifacts.manifest import start
from finetune_cot.artifacts.subset_lists import write_subsets
from finetune_cot.config.report import ReportConfig
from finetune_cot.pipeline.report import report
from finetune_cot.tasks.reasoning import load_dataset
from tests.reporting.browsing import CONTRASTS, chromium, complaints, open_page, wait
from tests.reporting.made_up import chance, completion_of, write_completions, write_epochs
from tests.reporting.made_up_estimates import (
    ESTIMATES,
    subsets,
    write_approximation,
    write_comparison,
    write_losses,
)

pytestmark = pytest.mark.browser

DATASET = "bundled_one_step_word_problem"
HOSTILE = "</script><script>window.harmed = 1</script><img src=x onerror='window.harmed = 2'> & <b>bold</b>"

TEXTS_OF_CHARTS = "return [...document.querySelectorAll('svg text')].map((text) => text.textContent)"
TEXTS_OUTSIDE = """
return [...document.querySelectorAll(".panel")].flatMap((panel) => {
  const { left, right } = panel.getBoundingClientRect();
  const boxes = [...panel.querySelectorAll("svg text")].map((text) => [text, text.getBoundingClientRect()]);
  return boxes.filter(([, box]) => box.width && (box.left < left - 4 || box.right > right + 4))
    .map(([text]) => text.textContent);
});
"""
"""Texts that leave their chart to the left or right, so that they are cut."""
HOSTILE_KEY = "data<script>window.harmed=3;"


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    yield from chromium(tmp_path_factory.mktemp("chromium"))


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page with every kind of chart, and with a rationale that is markup."""
    saved = tmp_path_factory.mktemp("browser") / "saved"
    samples = load_dataset(DATASET, None).samples[:40]
    write_completions(saved, CompletionId("<s>m", "zs_cot_t70", DATASET), samples, chance(0.4, 1), 4)
    for epoch in (1, 2):
        id = CompletionId("<s>m", "ft_cot_token", DATASET, "mine", "lora", epoch)
        write_completions(saved, id, samples, chance(0.3 * epoch, epoch))
    hostile = CompletionId("<s>m", "zs_cot", DATASET)
    with open_completions(hostile.path(saved), {}, [], "test") as store:
        first = completion_of(samples[0], "zs_cot", right=True)
        store.append([replace(first, question=HOSTILE, reasoning_completion=HOSTILE, reasoning_prompt="")])
        store.finish(start("test", {}).manifest())
    cut = CompletionId("<s>m", "ft_cot_token", DATASET, "mine", "short")
    with open_completions(cut.path(saved), {}, [], "test") as store:
        store.append([replace(first, completion="so it goes on and", finish_reason="length")])
        store.finish(start("test", {}).manifest())
    write_completions(saved, CompletionId("<s>m", "zs_cot", HOSTILE_KEY), samples, chance(0.5, 2))
    write_epochs(saved, "mine_m_run_0", [(2.0, 1.5, {}), (1.0, 1.2, {})])
    many = {f"task {number}": 1.0 for number in range(9)}
    write_epochs(saved, "many_m_run_0", [(2.0, 1.5, many), (1.0, 1.2, many)])
    write_comparison(saved)
    write_approximation(saved)
    write_subsets(saved / "sampled_indices" / f"{ESTIMATES}_selected_stepwise.txt", [(0, 3)])
    config = ReportConfig(saved_dir=saved, data_dir=saved / "none", figure_format=("none",), split="all")
    written = report(config).page
    assert written is not None
    return written


@pytest.fixture(scope="module")
def odd_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page of single questions, of all right and none right, of losses that are no numbers or all equal."""
    saved = tmp_path_factory.mktemp("odd") / "saved"
    samples = load_dataset(DATASET, None).samples[:40]
    for model, share, count in (("one", 1.0, 1), ("all", 1.0, 40), ("none", -1.0, 40)):
        write_completions(saved, CompletionId(model, "zs_cot", DATASET), samples[:count], chance(share, 1))
        id = CompletionId(model, "ft_cot_token", DATASET, "mine", "lora")
        write_completions(saved, id, samples[:count], chance(share, 1))
    write_epochs(saved, "broken_m_run_0", [(math.nan, math.inf, {"a": math.nan, "b": math.inf})])
    write_epochs(saved, "begun_m_run_0", [(2.0, math.nan, {}), (1.0, 1.0, {})])
    listed = subsets(12)
    for name, value in (("equal", 1.0), ("broken", math.nan), ("endless", math.inf)):
        write_losses(saved / "results" / name / "results.csv", listed, np.full((12, 8), value))
    write_comparison(saved, number=4, repeated=1)
    (saved / "results" / "torn").mkdir()
    (saved / "results" / "torn" / "results.csv").write_text("name,score\nmine,3\n", encoding="utf-8")
    config = ReportConfig(saved_dir=saved, data_dir=saved / "none", figure_format=("none",), split="all")
    written = report(config).page
    assert written is not None
    return written


@pytest.mark.parametrize("width", [380, 1600])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_read_at_any_width_by_day_and_night(driver: Any, page: Path, width: int, scheme: str) -> None:
    open_page(driver, page, width, scheme)
    assert complaints(driver) == []
    driver.execute_script(
        "document.querySelectorAll('main details').forEach((part) => { part.open = true; })"
    )
    drawn = driver.execute_script(
        "return [...document.querySelectorAll('.chart .panel')].map((panel) =>"
        " [panel.querySelectorAll('svg path, svg line').length, panel.getBoundingClientRect().width,"
        " panel.querySelector('svg').getBoundingClientRect().width])"
    )
    assert len(drawn) > 15
    assert all(marks > 2 and 0 < inner <= outer + 1 for marks, outer, inner in drawn)
    assert driver.execute_script("return document.documentElement.scrollWidth") <= width
    assert driver.execute_script(TEXTS_OUTSIDE) == []
    assert driver.execute_script(CONTRASTS) == {}
    paper = driver.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert (paper == "rgb(255, 255, 255)") == (scheme == "light")


def test_what_is_odd_is_drawn_or_told(driver: Any, odd_page: Path) -> None:
    open_page(driver, odd_page)
    assert complaints(driver) == []
    states = driver.execute_script(
        "return [...document.querySelectorAll('figure.chart')].map((figure) => [figure.dataset.drawn,"
        " figure.querySelectorAll('svg .mark-rect path, svg .mark-symbol path').length])"
    )
    assert len(states) > 5
    assert all(state == "true" and marks > 0 for state, marks in states)
    words = driver.execute_script(TEXTS_OF_CHARTS)
    assert not {"NaN", "undefined", "null", "Infinity"} & set(words)
    first = driver.execute_script("return document.getElementById('in-short').textContent")
    assert "100 % (all) after (n = 40 questions)" in first
    assert "n = 1, may well be equal" in first
    assert "1 of 2 trainings diverged" in first
    left = driver.execute_script("return document.getElementById('left-out').textContent")
    assert "results/torn/results.csv" in left


def test_the_top_tells_what_was_found_how_far_to_trust_it_and_what_comes_next(
    driver: Any, page: Path
) -> None:
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    open_page(driver, page)
    headings = driver.execute_script(
        "return [...document.querySelectorAll('#in-short :is(h2, h3)')].map((heading) =>"
        " [heading.textContent, heading.getBoundingClientRect().bottom <= innerHeight])"
    )
    assert headings == [["In short", True], ["How far to trust it", True], ["What to do next", True]]
    found = driver.execute_script(
        "return [...document.querySelectorAll('.highlights li')].map((item) => item.textContent)"
    )
    assert len(found) == 3
    assert all("n = " in sentence or "subsets" in sentence for sentence in found)
    summary = driver.find_element(By.CSS_SELECTOR, ".glossary summary")
    summary.send_keys(Keys.ENTER)
    assert driver.execute_script("return document.querySelector('.glossary').open")
    assert "zero-shot-CoT" in driver.find_element(By.CSS_SELECTOR, ".glossary dl").text


def test_every_chart_and_control_has_words(driver: Any, page: Path) -> None:
    open_page(driver, page)
    charts = driver.execute_script(
        "return [...document.querySelectorAll('.panel')].map((panel) => panel.getAttribute('aria-label'))"
    )
    assert all(charts)
    unnamed = driver.execute_script(
        "return [...document.querySelectorAll('button, select, input, a')].filter((element) =>"
        " !(element.ariaLabel || element.textContent.trim() || element.closest('label'))).length"
    )
    assert unnamed == 0
    levels = driver.execute_script("return [...document.querySelectorAll('h1, h2')].map((h) => h.tagName)")
    assert levels.count("H1") == 1


def test_text_of_models_stays_text(driver: Any, page: Path) -> None:
    open_page(driver, page)
    search(driver, "onerror")
    entry = driver.execute_script("return document.querySelector('#completions').textContent")
    assert entry.count(HOSTILE) == 2
    assert driver.execute_script("return window.harmed ?? 0") == 0
    assert driver.execute_script("return document.querySelectorAll('main img, main s, main b').length") == 0
    for name in ("<s>m", HOSTILE_KEY):
        assert driver.execute_script("return document.body.textContent.includes(arguments[0])", name)
        assert any(name in text for text in driver.execute_script(TEXTS_OF_CHARTS))


def test_completions_are_filtered_and_paged(driver: Any, page: Path) -> None:
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.ui import Select

    open_page(driver, page)
    data = json.loads(driver.execute_script("return document.getElementById('sample-data').textContent"))
    assert status(driver).startswith("1 to 10 of 282 completions")
    for mark in ("right", "format", "cut"):
        Select(driver.find_element(By.NAME, "mark")).select_by_value(mark)
        assert f" of {sum(mark in row[8] for row in data['rows'])} completions" in status(driver)
    Select(driver.find_element(By.NAME, "mark")).select_by_value("wrong")
    wrong = sum("wrong" in row[8] for row in data["rows"])
    assert status(driver) == f"1 to 10 of {wrong} completions that fit, of 282"
    marks = driver.execute_script(
        "return [...document.querySelectorAll('.verdict')].map((m) => m.textContent)"
    )
    assert set(marks) == {"wrong"}
    driver.execute_script("document.getElementById('next').click()")
    assert status(driver).startswith(f"11 to 20 of {wrong}")
    Select(driver.find_element(By.NAME, "file")).select_by_index(1)
    assert f" of {sum('wrong' in row[8] and row[0] == 0 for row in data['rows'])} comple" in status(driver)
    search(driver, "no completion says so")
    assert status(driver) == "None of 282 completions fits."


def test_the_keyboard_reaches_everything(driver: Any, page: Path) -> None:
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    open_page(driver, page)
    driver.execute_script("document.activeElement.blur(); scrollTo(0, 0)")
    reached = []
    for _ in range(250):
        ActionChains(driver).send_keys(Keys.TAB).perform()
        found = driver.execute_script(
            "const at = document.activeElement;"
            " return [at.id || at.name || at.dataset.zoom || at.className || at.tagName,"
            " getComputedStyle(at).outlineStyle]"
        )
        reached.append(found)
        if found[0] == "next":
            break
    names = [name for name, _ in reached]
    assert names[0] == "skip"
    assert {"in", "out", "reset", "scroll", "file", "mark", "text", "next"} <= set(names)
    assert all(outline != "none" for _, outline in reached)
    ticks = (
        "return [...document.querySelector('figure').querySelectorAll('.role-axis-label text')]"
        ".map((text) => text.textContent).sort().join()"
    )
    before = json.dumps(driver.execute_script(ticks))
    driver.execute_script("document.querySelector('[data-zoom=in]').focus()")
    ActionChains(driver).send_keys(Keys.ENTER).perform()
    wait(driver, f"{ticks} !== {before}")
    driver.execute_script("document.querySelector('[data-zoom=reset]').focus()")
    ActionChains(driver).send_keys(Keys.ENTER).perform()
    wait(driver, f"{ticks} === {before}")


def test_hovering_tells_values(driver: Any, page: Path) -> None:
    open_page(driver, page)
    middle = driver.execute_script(
        "const bar = document.querySelector('figure .mark-rect path');"
        "bar.scrollIntoView({block: 'center', behavior: 'instant'});"
        "const box = bar.getBoundingClientRect(); return [box.x + box.width / 2, box.y + box.height / 2]"
    )
    for step in (0, 1):  # a pointer that stands still moves over nothing
        place = {"type": "mouseMoved", "x": middle[0] + step, "y": middle[1]}
        driver.execute_cdp_cmd("Input.dispatchMouseEvent", place)
    tooltip = "document.querySelector('#vg-tooltip-element.visible')"
    wait(driver, f"return {tooltip}?.textContent.includes('n = 1')")


def status(driver: Any) -> str:
    text: str = driver.execute_script("return document.getElementById('found').textContent")
    return text


def search(driver: Any, text: str) -> None:
    from selenium.webdriver.common.by import By

    field = driver.find_element(By.NAME, "text")
    driver.execute_script("arguments[0].scrollIntoView()", field)
    field.clear()
    field.send_keys(text)
