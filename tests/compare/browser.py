"""A headless Chromium for looking at a report, and the picture of the README.

python tests/compare/browser.py RESULTS.json docs/report.png     # any saved comparison
python tests/compare/browser.py example docs/report.png          # the made-up one of the tests
"""

import contextlib
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def browser(width: int = 1280, height: int = 900, dark: bool = False) -> Iterator:
    """A Chromium driver whose page is width x height CSS pixels; it logs its console and its network."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        for flag in (
            "headless=new",
            "no-sandbox",
            "disable-gpu",
            "disable-dev-shm-usage",
            "disable-quic",
            "no-first-run",
            "disable-background-networking",
            "disable-component-update",
            "disable-sync",
            "hide-scrollbars",
            f"user-data-dir={profile}",
        ):
            options.add_argument(f"--{flag}")
        driver = webdriver.Chrome(options, Service(shutil.which("chromedriver")))
        try:
            resize(driver, width, height)
            scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
            driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
            yield driver
        finally:
            driver.quit()


def resize(driver, width: int, height: int) -> None:
    """Make the page width x height CSS pixels, below what a desktop window can be too."""
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)


def main(source: str, target: str) -> None:
    from example_results import CARD, VERDICTS, example

    from fewer.compare.html import write
    from fewer.compare.result import Results

    results, *more = (example(), CARD, VERDICTS) if source == "example" else (Results.load(source),)
    with tempfile.TemporaryDirectory() as folder, browser(1320, 900) as driver:
        driver.get(write(Path(folder) / "report.html", results, *more).as_uri())
        # The first table and the first chart; the tables of the other densities would push the chart out of a picture.
        height = driver.execute_script(
            """document.querySelectorAll(".scroll ~ .scroll").forEach((box) => box.remove());
            return document.getElementById("caption-density").getBoundingClientRect().bottom + scrollY + 20"""
        )
        resize(driver, 1320, round(height))
        driver.save_screenshot(target)


if __name__ == "__main__":
    main(*sys.argv[1:])
