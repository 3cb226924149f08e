from __future__ import annotations

import csv
import hashlib
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from compressdefect import units
from compressdefect.errors import RunError
from compressdefect.report import gallery, headline
from compressdefect.report.evidence import Evidence, read_evidence
from compressdefect.report.html import PLOTLY, render, write_report
from compressdefect.report.originals import Box, Extent
from compressdefect.report.page import asset
from compressdefect.report.sections import model, tested
from compressdefect.report.verdicts import answers, mistakes
from tests.report.fake_run import SIX, FakeImages, explain, make_run

EVIL = "<script>alert('x')</script>"


class _Outline(HTMLParser):
    """Collects what a page would load, its headings, and whether its tags close."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.ids: list[str] = []
        self.scripts = 0
        self.open: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.loads += [value or "" for name, value in found.items() if name in {"src", "href", "srcset", "data"}]
        self.ids += [found["id"] or ""] if "id" in found else []
        self.scripts += tag == "script"
        if tag not in {"meta", "img", "br", "input"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def _own(page: str) -> str:
    """The page without plotly's own code."""
    assert page.count(asset(PLOTLY)) == 1
    return page.replace(asset(PLOTLY), "")


@pytest.fixture(scope="module")
def page(search_run: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    run = tmp_path_factory.mktemp("page") / "run"
    shutil.copytree(search_run, run)
    pixels = np.zeros((300, 1, 16, 16), np.uint8)
    names = read_evidence(run).best.predictions.names
    marked = {name: Extent(1 + i, Box(2, 2, 5, 5)) for i, name in enumerate(names[150:])}
    images = FakeImages(pixels, names, marked)
    return write_report(run, images=images, explanation=explain(images)).read_text()


def test_nothing_is_loaded_from_anywhere(page: str) -> None:
    outline = _Outline(_own(page))
    assert all(load.startswith(("data:", "#")) for load in outline.loads if load != "mistakes.csv")
    assert not re.findall(r"""(?:url\(|@import|(?:src|href)\s*=)\s*["']?\s*(?:https?:)?//""", _own(page))
    assert "default-src 'none'" in unescape(page)
    assert not outline.open


def test_the_page_is_the_part_of_plotly_that_it_needs_and_little_else(page: str) -> None:
    assert len(page) < 2_200_000
    assert len(asset(PLOTLY)) < 1_250_000


def test_the_library_is_the_one_that_was_published() -> None:
    """The file of plotly.js-basic-dist-min 4.1.1 on npm, with its licence beside it."""
    code = asset(PLOTLY)
    assert hashlib.sha256(code.encode()).hexdigest() == (
        "99784e3abfb07b142a15e521a439e6d9addceadb3f79553fd24c72774f0649ba"
    )
    assert "plotly.js (basic - minified) v4.1.1" in code[:100]
    assert "MIT License" in asset("vendor/LICENSE.plotly")


def test_every_part_is_there(page: str) -> None:
    outline = _Outline(_own(page))
    figures = {"pareto", "history", "gain", "parallel", "operating", "scores"}
    assert {f"figure-{name}" for name in figures} <= set(outline.ids)
    assert {"test", "mistakes", "near", "search", "model", "trials", "provenance"} <= set(outline.ids)
    assert {load[1:] for load in outline.loads if load.startswith("#")} <= set(outline.ids)
    for text in (
        "Winner and trial 0",
        "Latency beside peers",
        "Layer by layer",
        "Escapes",
        "timm:efficientnet_b0",
        "What another overkill would cost",
        "Escape by type of defect",
        "Escape by size of defect",
        "Nearly escaped",
        "Nearly rejected",
        "good/0815.png",
        "not an image",
        "compressdefect search lightdefectnet --data plates",
        "validation",
    ):
        assert text in page, text


def test_how_to_read_the_pictures_is_said_once(evidence_of: Callable[..., Evidence]) -> None:
    evidence = evidence_of(per_class=40)
    shown = gallery.Gallery("How to read them.", [], gallery.compute(evidence).near)
    (near,) = tested.near_misses(evidence, shown)
    assert "How to read them." in near.content
    (near,) = tested.near_misses(evidence, shown._replace(mistakes=shown.near))
    assert "How to read them." not in near.content


def test_a_screen_reader_gets_every_chart_in_words(page: str) -> None:
    charts = re.findall(r'<div role="img" aria-label="([^"]+)"', _own(page))
    assert len(charts) == 6
    assert all(len(text) > 40 for text in charts)
    assert _own(page).count("The same as a table") == 4  # the others have a table beside or below them


def test_every_picture_says_what_it_shows(page: str) -> None:
    assert not re.findall(r'<img (?![^>]*alt="[^"]+)', _own(page))


def test_headings_that_sort_are_buttons(page: str) -> None:
    sortable = re.findall(r'<table class="sortable"><thead>(.*?)</thead>', _own(page))
    assert len(sortable) == 3  # mistakes, layers, trials
    for head in sortable:
        assert head.count("<th ") == head.count('<button type="button">') > 0


def test_all_mistakes_are_named_in_a_file_beside_the_page(search_run: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(search_run, run)
    write_report(run)
    found = mistakes(read_evidence(run).best.predictions, 0)
    rows = list(csv.DictReader((run / "mistakes.csv").read_text().splitlines()))
    assert [(row["image"], row["mistake"]) for row in rows] == [(m.name, m.kind) for m in found]
    assert {row["threshold"] for row in rows} == {"0.5"}
    assert all((float(row["score"]) > 0.5) == (row["mistake"] != "escape") for row in rows)


def test_two_latencies_and_two_accuracies_say_which_is_which(search: Evidence) -> None:
    _, latency, _ = headline.costs(search)
    assert latency.value == "0.512 ms"
    assert latency.lines[0].startswith("alone, batch 1, 1 thread")
    assert latency.lines[1] == "0.604 ms in turns with its peers, below"
    note = model.model(search, None)[0].content
    assert "Timed alone after its export, as stated above and on its card, the model took 0.512 ms" in note
    accuracy = headline.quality(search)[2]
    assert "by the most probable class of each image" in accuracy.lines
    right = (answers(search.best.predictions, 0) == search.best.predictions.labels).mean()
    assert f"{units.percent(right)} at the threshold, which the tables below go by" in accuracy.lines
    assert "Decided at the chosen threshold" in tested.quality(search, {}).content


def test_one_escape_in_2500_leads_as_what_it_is(search: Evidence) -> None:
    metrics = {"test": {**search.best.test, "escape": 1 / 2500, "overkill": 0.0}}
    best = search.best._replace(manifest=search.best.manifest.model_copy(update={"metrics": metrics}))
    shown = replace(search, best=best)
    assert headline.quality(shown)[0].value == "0.04 %"
    assert "passes 0.04 % of the defective parts and rejects 0.0 %" in headline.sentence(shown)


def test_escape_and_overkill_lead_with_their_intervals(search: Evidence) -> None:
    first, second, third = headline.quality(search)
    assert (first.title, second.title, third.title) == ("Escape rate", "Overkill", "Accuracy")
    assert first.lines[0].endswith("of 150 defective parts passed")
    assert "95 % interval" in first.lines[1]
    assert headline.costs(search)[0].meter == pytest.approx(search.best.manifest.cost.flops / 1e8)


def test_accuracy_leads_without_a_good_class(evidence_of: Callable[..., Evidence]) -> None:
    evidence = evidence_of(classes=SIX, good=None, channels=3)
    assert headline.quality(evidence)[0].title == "Accuracy"
    page = render(evidence, gallery.compute(evidence))
    assert "Nearly confused" in page
    assert "No class counts as good here" in page
    assert "figure-operating" not in page


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    run = tmp_path / "run"
    images = make_run(run, classes=("good", EVIL), trials=4, per_class=150, side=8)
    manifest = (run / "manifest.json").read_text()
    (run / "manifest.json").write_text(manifest.replace("plates", "<img src=http://evil>"))
    page = _own(write_report(run, images=images, explanation=explain(images)).read_text())
    assert EVIL not in page
    assert "<img src=http" not in page
    outline = _Outline(page)
    harmless = tmp_path / "harmless"
    make_run(harmless, trials=4, per_class=150, side=8)
    assert outline.scripts == _Outline(_own(write_report(harmless).read_text())).scripts
    assert all(load.startswith(("data:", "#")) for load in outline.loads if load != "mistakes.csv")


def test_a_stopped_search_has_a_page(tmp_path: Path) -> None:
    make_run(tmp_path / "run", trials=6, delivered=False, per_class=2, side=8)
    page = write_report(tmp_path / "run").read_text()
    assert "stopped before its end. Continue the run with --resume." in page
    assert "No model was delivered yet" in page
    assert "figure-pareto" in page
    assert "Its mistakes" not in page


def test_a_stopped_training_is_not_told_to_resume(tmp_path: Path) -> None:
    make_run(tmp_path / "run", trials=0, delivered=False, per_class=2, side=8)
    page = write_report(tmp_path / "run").read_text()
    assert "stopped before its end. Run the command again." in page
    assert "--resume" not in page


def test_a_search_stopped_before_its_first_trial_has_a_page(tmp_path: Path) -> None:
    make_run(tmp_path / "run", trials=1, delivered=False, per_class=2, side=8)
    (tmp_path / "run" / "trials.csv").unlink()
    assert "No trial has ended yet" in write_report(tmp_path / "run").read_text()


def test_a_training_has_a_page_without_a_search(tmp_path: Path) -> None:
    images = make_run(tmp_path / "run", trials=0, side=8)
    page = write_report(tmp_path / "run", images=images).read_text()
    assert "figure-pareto" not in page
    assert "Confusion matrix" in page
    assert "figure-operating" in page


def test_a_split_without_groups_is_said(search: Evidence) -> None:
    page = render(
        Evidence(search.path, {**search.manifest, "data": {"group": "none"}}, (), None), gallery.Gallery("", [], [])
    )
    assert "--group none" in page


def test_a_folder_that_is_no_run_is_left_alone(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="not a run folder"):
        write_report(tmp_path)
    assert list(tmp_path.iterdir()) == []
