from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from plotly.offline import get_plotlyjs

from compressdefect.errors import RunError
from compressdefect.report import gallery, headline
from compressdefect.report.evidence import Evidence, read_evidence
from compressdefect.report.html import render, write_report
from tests.report.fake_run import SIX, FakeImages, fake_cam, make_run

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
    assert page.count(get_plotlyjs()) == 1
    return page.replace(get_plotlyjs(), "")


@pytest.fixture(scope="module")
def page(search_run: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    run = tmp_path_factory.mktemp("page") / "run"
    shutil.copytree(search_run, run)
    pixels = np.zeros((300, 1, 16, 16), np.uint8)
    names = read_evidence(run).best.predictions.names
    return write_report(run, images=FakeImages(pixels, names), cam=fake_cam).read_text()


def test_nothing_is_loaded_from_anywhere(page: str) -> None:
    outline = _Outline(_own(page))
    assert all(load.startswith(("data:", "#")) for load in outline.loads)
    assert not re.findall(r"""(?:url\(|@import|(?:src|href)\s*=)\s*["']?\s*(?:https?:)?//""", _own(page))
    assert "default-src 'none'" in unescape(page)
    assert not outline.open


def test_the_page_is_one_plotly_and_little_else(page: str) -> None:
    assert len(page) - len(get_plotlyjs()) < 1_000_000


def test_every_part_is_there(page: str) -> None:
    outline = _Outline(_own(page))
    figures = {"pareto", "history", "gain", "parallel", "confusion", "operating", "scores"}
    assert {f"figure-{name}" for name in figures} <= set(outline.ids)
    assert {"test", "mistakes", "search", "model", "trials", "provenance"} <= set(outline.ids)
    assert {load[1:] for load in outline.loads if load.startswith("#")} <= set(outline.ids)
    for text in ("Winner and trial 0", "Latency beside peers", "Layer by layer", "Escapes", "timm:efficientnet_b0"):
        assert text in page


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
    assert "No class counts as good here" in page
    assert "figure-operating" not in page


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    run = tmp_path / "run"
    images = make_run(run, classes=("good", EVIL), trials=4, per_class=150, side=8)
    manifest = (run / "manifest.json").read_text()
    (run / "manifest.json").write_text(manifest.replace("plates", "<img src=http://evil>"))
    page = _own(write_report(run, images=images, cam=fake_cam).read_text())
    assert EVIL not in page
    assert "<img src=http" not in page
    outline = _Outline(page)
    harmless = tmp_path / "harmless"
    make_run(harmless, trials=4, per_class=150, side=8)
    assert outline.scripts == _Outline(_own(write_report(harmless).read_text())).scripts
    assert all(load.startswith(("data:", "#")) for load in outline.loads)


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
    assert "stopped before its end. Train it again." in page
    assert "--resume" not in page


def test_a_search_stopped_before_its_first_trial_has_a_page(tmp_path: Path) -> None:
    make_run(tmp_path / "run", trials=1, delivered=False, per_class=2, side=8)
    (tmp_path / "run" / "trials.csv").unlink()
    assert "No trial has ended yet" in write_report(tmp_path / "run").read_text()


def test_a_training_has_a_page_without_a_search(tmp_path: Path) -> None:
    images = make_run(tmp_path / "run", trials=0, side=8)
    page = write_report(tmp_path / "run", images=images).read_text()
    assert "figure-pareto" not in page
    assert "figure-confusion" in page
    assert "figure-operating" in page


def test_a_split_without_groups_is_said(search: Evidence) -> None:
    page = render(Evidence(search.path, {**search.manifest, "data": {"group": "none"}}, (), None), [])
    assert "--group none" in page


def test_a_folder_that_is_no_run_is_left_alone(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="not a run folder"):
        write_report(tmp_path)
    assert list(tmp_path.iterdir()) == []
