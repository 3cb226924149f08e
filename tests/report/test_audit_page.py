"""The page of an audit is one file, escapes every name, and shows what was found."""

from __future__ import annotations

import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from compressdefect.data.audit.audit import audit
from compressdefect.data.marks.shapes import Box
from compressdefect.data.read import read_all
from compressdefect.data.sample import Listing, Region, Sample
from compressdefect.report.audit import compute, render, write_audit

NASTY = "<img src=x onerror=alert(1)>"


class Tags(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for label in ("good", NASTY):
        (tmp_path / label).mkdir()
        for number in range(4):
            coarse = Image.fromarray(rng.integers(0, 256, (8, 8), dtype=np.uint8))
            coarse.resize((40, 30)).save(tmp_path / label / f"{number}.png")
    shutil.copy(tmp_path / "good/0.png", tmp_path / NASTY / f"{NASTY}.png")
    (tmp_path / "good/broken.png").write_text("no image")
    return tmp_path


def test_the_page_is_one_file_and_escapes_names(folder: Path, tmp_path: Path) -> None:
    write_audit(audit(read_all(folder)), tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    tags = Tags(page).found
    sources = [attributes.get("src") or "" for tag, attributes in tags if tag == "img"]
    assert len(sources) == 4  # the copies, as a duplicate and as a conflict
    assert all(source.startswith("data:image/jpeg;base64,") for source in sources)
    assert not any(tag in ("script", "link", "iframe") for tag, _ in tags)
    assert not any(name.startswith("on") for _, attributes in tags for name in attributes)
    assert not re.search(r"https?://", page)
    assert "&lt;img src=x onerror=alert(1)&gt;" in page
    assert "read as class_folders" in page
    anchors = {attributes["href"] for tag, attributes in tags if tag == "a"}
    assert anchors == {"#images", "#unreadable", "#label-conflict", "#duplicate", "#small-class"}
    assert {f"#{attributes['id']}" for tag, attributes in tags if tag == "section"} == anchors


def test_groups_are_shown_side_by_side_and_large_ones_first(folder: Path) -> None:
    for number in range(7):
        shutil.copy(folder / "good/1.png", folder / f"good/copy{number}.png")
    kinds = {kind.kind: kind for kind in compute(audit(read_all(folder)))}
    cards = kinds["duplicate"].cards
    assert [len(card.finding.files) for card in cards] == [8, 2]
    assert [len(card.pictures) for card in cards] == [6, 2]
    assert kinds["unreadable"].cards == []
    assert "2 more are not shown" in render(audit(read_all(folder)), list(kinds.values()))


def test_only_so_many_pictures_are_shown_but_every_file_is_listed(tmp_path: Path) -> None:
    samples = []
    for number in range(5):
        path = tmp_path / f"{number}.png"
        Image.fromarray(np.full((8, 8), 40 * number, dtype=np.uint8)).save(path)
        samples.append(Sample(path, None, regions=(Region("dent", Box(2, 2, 12, 6)),)))
    found = audit(Listing("made", tmp_path, tuple(samples), (), region_classes=("dent",)))
    kinds = compute(found, per_kind=2)
    boxes = next(kind for kind in kinds if kind.kind == "box-out-of-bounds")
    assert (len(boxes.findings), len(boxes.cards)) == (5, 2)
    assert boxes.marked == [("dent", "#d9494b")]
    page = render(found, kinds)
    assert all(f"{number}.png" in page for number in range(5))


def test_clean_data_says_so(tmp_path: Path) -> None:
    listing = Listing("made", tmp_path, (), ())
    assert "nothing is wrong" in render(audit(listing), [])
