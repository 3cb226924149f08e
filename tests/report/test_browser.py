"""The page in a real browser: its script runs, its tables sort by keyboard, it fits a phone, and it prints."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from compressdefect.report.evidence import read_evidence
from compressdefect.report.html import write_report
from compressdefect.report.originals import Box, Extent
from tests.browser import DESK, PHONE, chromium, open_page, printed
from tests.report.fake_run import SIX, explain, make_run

pytestmark = pytest.mark.long

STICKS_OUT = """
const wide = document.documentElement.clientWidth;
const scrolls = (e) => e && (getComputedStyle(e).overflowX !== "visible" || scrolls(e.parentElement));
return [...document.querySelectorAll("body *")]
  .filter((e) => e.getBoundingClientRect().right > wide + 1 && !scrolls(e.parentElement))
  .map((e) => e.outerHTML.slice(0, 80));
"""
SPILLS = """
return [...document.querySelectorAll(".tile *, .card, .card *, h1, h2, h3, p, figcaption, summary, pre")]
  .filter((e) => e.scrollWidth > e.clientWidth + 1 && e.clientWidth && getComputedStyle(e).overflowX === "visible"
    && getComputedStyle(e).display !== "inline")
  .map((e) => e.outerHTML.slice(0, 80));
"""
COLUMN = """
const rows = [...arguments[0].closest("table").tBodies[0].rows];
return rows.map((row) => row.cells[arguments[1]].textContent);
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A search with a good class and small defects, one on a ladder, and a training with six classes and long names."""
    root = tmp_path_factory.mktemp("pages")
    images = make_run(root / "search", side=96, seed=3)
    names = read_evidence(root / "search").best.predictions.names
    images = images._replace(extents={n: Extent(9 + i, Box(40, 40, 45, 45)) for i, n in enumerate(names[150:])})
    write_report(root / "search", images=images, explanation=explain(images))
    climbed = make_run(root / "climbed", side=16, per_class=20, ladder=True)
    write_report(root / "climbed", images=climbed, explanation=explain(climbed))
    long = tuple(f"{name}_of_a_rolled_and_pickled_strip" for name in SIX)
    six = make_run(root / "train", classes=long, good=None, trials=0, side=16, per_class=40)
    write_report(root / "train", images=six, explanation=explain(six))
    return {name: root / name / "report.html" for name in ("search", "climbed", "train")}


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("name", ["search", "climbed", "train"])
def test_the_page_draws_its_charts_without_a_complaint(
    browser: Any, pages: dict[str, Path], name: str, dark: bool
) -> None:
    open_page(browser, pages[name], dark=dark)
    assert len(browser.find_elements("css selector", ".main-svg")) >= {"search": 12, "climbed": 14, "train": 0}[name]
    assert [entry["message"] for entry in browser.get_log("browser")] == []
    paper = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert paper == ("rgb(20, 24, 29)" if dark else "rgb(250, 250, 248)")


@pytest.mark.parametrize("width", [PHONE, DESK])
@pytest.mark.parametrize("name", ["search", "climbed", "train"])
def test_nothing_overflows(browser: Any, pages: dict[str, Path], name: str, width: int) -> None:
    open_page(browser, pages[name], width)
    for details in browser.find_elements("css selector", "details"):
        browser.execute_script("arguments[0].open = true", details)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    assert browser.execute_script(STICKS_OUT) == []
    assert browser.execute_script(SPILLS) == []


def test_a_table_sorts_by_keyboard(browser: Any, pages: dict[str, Path]) -> None:
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    open_page(browser, pages["search"])
    heads = browser.find_elements("css selector", "#trials thead th")
    titles = [head.text for head in heads]
    browser.execute_script("arguments[0].focus()", heads[0].find_element("css selector", "button"))
    ActionChains(browser).send_keys(Keys.TAB * titles.index("MACs"), Keys.ENTER).perform()
    active = browser.switch_to.active_element
    assert active.text.strip("↓↑ \n") == "MACs"
    assert heads[titles.index("MACs")].get_attribute("aria-sort") == "descending"
    assert browser.execute_script("return getComputedStyle(document.activeElement).outlineStyle") == "solid"

    def column(title: str) -> list[str]:
        return browser.execute_script(COLUMN, active, titles.index(title))

    costs = {str(t.number): t.macs for t in read_evidence(pages["search"].parent).trials if t.number is not None}
    numbers = [number for number in column("trial") if number != "–"]
    assert [costs[number] for number in numbers] == pytest.approx(sorted(costs.values(), reverse=True), rel=0.01)
    ActionChains(browser).send_keys(Keys.SPACE).perform()
    assert heads[titles.index("MACs")].get_attribute("aria-sort") == "ascending"
    assert column("MACs")[0] != column("MACs")[-1]
    ActionChains(browser).send_keys(Keys.TAB * 2, Keys.ENTER, Keys.ENTER).perform()  # peak memory, then back
    sorted_now = browser.find_elements("css selector", "#trials th[aria-sort]")
    assert [head.text.strip("↓↑ \n") for head in sorted_now] == ["peak memory"]


def test_unknown_values_sort_last_both_ways(browser: Any, pages: dict[str, Path]) -> None:
    from selenium.webdriver.common.keys import Keys

    open_page(browser, pages["search"])
    head = browser.find_elements("css selector", "#trials thead th button")[2]
    for _ in range(2):
        head.send_keys(Keys.ENTER)
        values = browser.execute_script(COLUMN, head, 2)
        assert values[-20:] == ["–"] * 20  # the designs that were turned away have no metric
        assert "–" not in values[:10]


def test_the_total_stays_below_what_is_sorted(browser: Any, pages: dict[str, Path]) -> None:
    from selenium.webdriver.common.keys import Keys

    open_page(browser, pages["search"])
    head = browser.find_elements("css selector", "#model table.sortable thead th button")[4]
    head.send_keys(Keys.ENTER)
    assert browser.execute_script(COLUMN, head, 0)[-1] == "total"


def test_pictures_and_tables_are_on_paper(browser: Any, pages: dict[str, Path]) -> None:
    open_page(browser, pages["search"], dark=True)
    shown = len(browser.find_elements("css selector", ".card img"))
    pdf = printed(browser)
    assert shown >= 40
    assert pdf.count(b"/Subtype /Image") >= shown / 2  # equal pictures are stored once
    assert 4 <= pdf.count(b"/Type /Page\n") <= 40
    paper = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert paper == "rgb(20, 24, 29)"  # the window is dark again


def test_every_text_can_be_read(browser: Any, pages: dict[str, Path]) -> None:
    """A contrast of 4.5 at least between a text and what is behind it, by day and by night."""
    for dark in (False, True):
        open_page(browser, pages["search"], dark=dark)
        count, faint = browser.execute_script(CONTRAST)
        assert count > 500
        assert faint == []


CONTRAST = """
const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
const over = (colors) => {
  canvas.clearRect(0, 0, 1, 1);
  colors.forEach((color) => { canvas.fillStyle = color; canvas.fillRect(0, 0, 1, 1); });
  return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3);
};
const light = (rgb) => rgb.map((v) => v / 255)
  .map((v) => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
  .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
const behind = (e) => e ? [...behind(e.parentElement), getComputedStyle(e).backgroundColor] : ["white"];
const texts = [...document.querySelectorAll("body *")].filter((e) => e.checkVisibility()
  && [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim()));
const faint = texts.map((e) => {
  const svg = e.namespaceURI.includes("svg"), style = getComputedStyle(e);
  if (svg && (style.fill === "none" || style.opacity === "0")) return null;
  const paper = behind(svg ? e.closest("figure") : e);
  const [a, b] = [light(over(paper)), light(over([...paper, svg ? style.fill : style.color]))].sort((p, q) => p - q);
  return [(b + 0.05) / (a + 0.05), e.textContent.slice(0, 40)];
}).filter((found) => found && found[0] < 4.5);
return [texts.length, faint];
"""
