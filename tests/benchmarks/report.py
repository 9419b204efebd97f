"""How large the report's page is and how soon it is drawn, for a demo's completions and for very many.

    python -m tests.benchmarks.report [--saved-dir saved/demo] [--completions 50000]

Prints one JSON object: for each page its bytes, the seconds that making it took, the seconds until its charts
are drawn in a headless Chromium, and the milliseconds that a filter of its completions takes. Completions of
the large page are made up, 120 words each.
"""

import argparse
import json
import random
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from finetune_cot.artifacts.completions import open_completions
from finetune_cot.artifacts.ids import CompletionId
from finetune_cot.artifacts.manifest import start
from finetune_cot.config.report import ReportConfig
from finetune_cot.pipeline.report import report
from finetune_cot.tasks.reasoning import load_dataset
from tests.reporting.browsing import chromium, open_page
from tests.reporting.made_up import completion_of

DATASETS = tuple(
    f"bundled_{name}" for name in ("one_step_word_problem", "coin_flip", "list_maximum", "small_addition")
)
WORDS = ("so", "the", "first", "number", "and", "then", "another", "which", "we", "add", "count", "again")
FILTER = """
const form = document.getElementById("filters"), before = performance.now();
form.elements.text.value = "count";
form.dispatchEvent(new Event("input"));
document.body.getBoundingClientRect();
return performance.now() - before;
"""


def write_many(saved: Path, count: int) -> None:
    """Completions of several models on several data sets."""
    chance, made, model = random.Random(0), 0, 0
    while made < count:
        for dataset in DATASETS:
            samples = load_dataset(dataset, None).samples
            id = CompletionId(f"model-{model}", "zs_cot_t70", dataset)
            with open_completions(id.path(saved), {}, [], "benchmark") as store:
                for sample in samples:
                    store.append(
                        replace(
                            completion_of(sample, "zs_cot", chance.random() < 0.5, number),
                            reasoning_prompt=sample.question,
                            reasoning_completion=" ".join(chance.choices(WORDS, k=120)),
                        )
                        for number in range(8)
                    )
                store.finish(start("benchmark", {}).manifest())
            made += 8 * len(samples)
        model += 1


def measure(saved: Path, driver: Any) -> dict[str, float]:
    """Size and times of the page of everything that is saved."""
    config = ReportConfig(name="benchmark", saved_dir=saved, figure_format=("none",), split="all")
    before = time.perf_counter()
    page = report(config).page
    assert page is not None
    seconds = time.perf_counter() - before
    open_page(driver, page.resolve())
    drawn = driver.execute_script("return performance.getEntriesByName('charts-drawn')[0].startTime")
    first = driver.execute_script(
        "return performance.getEntriesByName('first-contentful-paint')[0].startTime"
    )
    return {
        "bytes": page.stat().st_size,
        "making_seconds": seconds,
        "first_paint_seconds": first / 1000,
        "drawn_seconds": drawn / 1000,
        "charts": driver.execute_script("return document.querySelectorAll('figure.chart').length"),
        "filter_milliseconds": driver.execute_script(FILTER),
    }


def main() -> None:
    """Measure both pages."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--saved-dir", type=Path)
    parser.add_argument("--completions", type=int, default=50_000)
    arguments = parser.parse_args()
    told = {}
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        browser = chromium(Path(folder))
        driver = next(browser)
        if arguments.saved_dir is not None:
            told["saved"] = measure(arguments.saved_dir, driver)
        saved = Path(folder, "saved")
        write_many(saved, arguments.completions)
        told["many"] = measure(saved, driver)
        browser.close()
    print(json.dumps(told))


if __name__ == "__main__":
    main()
