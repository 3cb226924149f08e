"""Headless Chromium, to look at pages as their readers do."""

from __future__ import annotations

import base64
import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--disable-dev-shm-usage",
)
NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
PHONE, DESK = 390, 1280
DRAWN = """
const plots = [...document.querySelectorAll(".plotly-graph-div")];
return document.readyState === "complete" && plots.every((plot) => plot.querySelector(".main-svg"));
"""


@contextlib.contextmanager
def chromium() -> Iterator[Any]:
    """A browser, as selenium drives it; where there is none, tests are skipped, but on a build machine they fail."""
    binary = next(filter(None, map(shutil.which, NAMES)), None)
    driver = shutil.which("chromedriver")
    if binary is None or driver is None:
        missing = "no chromium and chromedriver: on Debian, apt-get install chromium chromium-driver"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    with tempfile.TemporaryDirectory(prefix="compressdefect-browser-", ignore_cleanup_errors=True) as profile:
        options = webdriver.ChromeOptions()
        options.binary_location = binary
        for flag in (*FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        browser = webdriver.Chrome(options=options, service=Service(driver))
        try:
            yield browser
        finally:
            browser.quit()


def open_page(browser: Any, page: Path, width: int = DESK, *, dark: bool = False) -> None:
    """Show a page in a window so wide, when its charts are drawn."""
    from selenium.webdriver.support.ui import WebDriverWait

    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
    browser.get(page.resolve().as_uri())
    drawn = (
        "return [...document.querySelectorAll('.plotly-graph-div')].every((plot) => plot.querySelector('.main-svg'))"
    )
    WebDriverWait(browser, 20).until(lambda b: b.execute_script(f"{drawn} && document.readyState === 'complete'"))


def picture(browser: Any, height: int | None = None) -> bytes:
    """The page as a PNG, from its top and as wide as its window; all of it, or so much."""
    width = browser.execute_script("return document.documentElement.clientWidth")
    whole = browser.execute_script("return document.documentElement.scrollHeight")
    clip = {"x": 0, "y": 0, "width": width, "height": height or whole, "scale": 1}
    shot = browser.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True, "clip": clip})
    return base64.b64decode(shot["data"])


def printed(browser: Any) -> bytes:
    """The page as it comes out of a printer, as PDF."""
    return base64.b64decode(browser.execute_cdp_cmd("Page.printToPDF", {"printBackground": False})["data"])
