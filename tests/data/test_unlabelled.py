"""Images that nobody labelled."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from compressdefect.data.load import load_images
from compressdefect.data.unlabelled import load_unlabelled
from compressdefect.errors import DataError


@pytest.fixture
def others(tmp_path: Path) -> Path:
    """Four images of noise, one of them in a folder of its own and one in colour, and no image."""
    folder, rng = tmp_path / "others", np.random.default_rng(5)
    (folder / "more").mkdir(parents=True)
    for name in ("0.png", "1.png", "more/2.png"):
        Image.fromarray(rng.integers(0, 255, (48, 40), dtype=np.uint8)).save(folder / name)
    Image.fromarray(rng.integers(0, 255, (40, 40, 3), dtype=np.uint8)).save(folder / "3.png")
    (folder / "notes.txt").write_text("of Monday")
    return folder


def test_a_plain_folder_is_read_like_the_data(parts: Path, others: Path) -> None:
    images = load_images(parts, input=32)
    found = load_unlabelled(others, images, np.arange(10), parts)
    assert found.images.names == ("0.png", "1.png", "3.png", "more/2.png")
    assert found.images.pixels.shape == (4, 1, 32, 32)
    assert (found.left_out, found.skipped) == (0, ())


@pytest.mark.parametrize(("group", "left_out"), [("auto", 2), ("none", 1), (r"\d+", 3)])
def test_copies_of_what_judges_are_left_out(parts: Path, others: Path, group: str, left_out: int) -> None:
    images = load_images(parts, input=32, group=group)
    judging = np.array([images.names.index("good/07.png"), images.names.index("scratch/03.png")])
    shutil.copy(parts / "good" / "07.png", others / "copy.png")  # numbers in names: 07, and 3 of no image of theirs
    shutil.copy(parts / "good" / "09.png", others / "x-03.png")  # a copy of a training image
    with Image.open(parts / "scratch" / "03.png") as picture:
        Image.fromarray(np.asarray(picture) + np.uint8(2)).save(others / "brighter-07.png")
    found = load_unlabelled(others, images, judging, parts)
    assert found.left_out == left_out
    assert "copy.png" not in found.images.names
    assert ("x-03.png" in found.images.names) == (group != r"\d+")
    assert ("brighter-07.png" in found.images.names) == (group == "none")


def test_tiles_are_cut_as_those_of_the_data(parts: Path, others: Path) -> None:
    images = load_images(parts, input=16)
    images = replace(images, tile=16, sizes=np.full((len(images), 2), 16))
    tiled = load_unlabelled(others, images, np.arange(1), parts).images
    assert len(tiled) == 4
    assert len(tiled.pieces) == len(tiled.pixels) > 4 * 4


def test_what_cannot_be_learned_from_is_refused_in_a_line(parts: Path, others: Path, tmp_path: Path) -> None:
    images = load_images(parts, input=32)
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "0.png").write_bytes(b"no picture")
    for folder, message in (
        (tmp_path / "missing", "does not exist"),
        (tmp_path / "empty", "has no image"),
        (tmp_path / "broken", r"no unlabelled image can be read: got 0\.png"),
        (parts, "no unlabelled image is left to learn from: got 40 that resemble"),
    ):
        with pytest.raises(DataError, match=message):
            load_unlabelled(folder, images, np.arange(40), parts)
    (others / "4.png").write_bytes(b"no picture")
    assert [name for name, _ in load_unlabelled(others, images, np.arange(40), parts).skipped] == ["4.png"]
