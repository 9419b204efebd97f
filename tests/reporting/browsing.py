"""A headless Chromium, and what tests ask of a page in it."""

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

CONTRASTS = """
const channel = (value) => value <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
const parse = (text) => (text.match(/[\\d.]+/g) ?? [0, 0, 0, 0]).map(Number);
const light = ([r, g, b]) =>
  0.2126 * channel(r / 255) + 0.7152 * channel(g / 255) + 0.0722 * channel(b / 255);
const behind = (element) => {
  for (let at = element; at; at = at.parentElement) {
    const colour = parse(getComputedStyle(at).backgroundColor);
    if (colour.length === 3 || colour[3] === 1) return colour;
  }
  return [255, 255, 255];
};
const worst = {};
for (const element of document.querySelectorAll("body *")) {
  const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
  if (!own || !element.getClientRects().length || element.disabled || element.closest(".skip")) continue;
  const style = getComputedStyle(element);
  const ink = parse(element instanceof SVGElement ? style.fill : style.color);
  const [one, other] = [light(ink), light(behind(element))];
  const ratio = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
  if (ratio < 4.5) worst[`${element.tagName} ${element.textContent.slice(0, 30)}`] = ratio;
}
return worst;
"""
"""Texts whose contrast to what lies behind them is below 4.5 to 1 (WCAG 2.2, 1.4.3)."""


def chromium(folder: Path) -> Iterator[Any]:
    """A driver of a headless Chromium, which leaves its files in the folder; skips where there is none."""
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    driver_program = shutil.which("chromedriver")
    if program is None or driver_program is None:
        pytest.skip("no Chromium with its driver: apt-get install chromium chromium-driver")
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = program
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    environment = os.environ | {"TMPDIR": str(folder)}
    driver = webdriver.Chrome(options=options, service=Service(driver_program, env=environment))
    try:
        yield driver
    finally:
        driver.quit()


def open_page(driver: Any, page: Path | str, width: int = 1600, scheme: str = "light") -> None:
    """Load a page in a window so wide, and wait until every chart is drawn."""
    driver.set_window_size(max(width, 600), 900)
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    if width < 600:  # no window is so narrow
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    else:
        driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    driver.get(page if isinstance(page, str) else page.as_uri())
    wait(driver, "return document.body.dataset.charts === 'drawn'")


def wait(driver: Any, condition: str, seconds: float = 60.0) -> None:
    """Wait until a script gives true."""
    deadline = time.monotonic() + seconds
    while not driver.execute_script(condition):
        assert time.monotonic() < deadline, condition
        time.sleep(0.05)


def complaints(driver: Any) -> list[str]:
    """What the browser's console says that is no mere remark."""
    return [
        entry["message"] for entry in driver.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")
    ]
