from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from compressdefect.data.images import Images
from compressdefect.errors import DataError
from compressdefect.report.originals import Box, Extent, Loaded, Originals, extents


def test_files_are_whole_and_undistorted(tmp_path: Path) -> None:
    for name, value in (("good", 80), ("bad", 120)):
        (tmp_path / name).mkdir()
        Image.fromarray(np.full((30, 90), value, np.uint8)).save(tmp_path / name / "a.png")
    found = Originals.open(str(tmp_path))
    assert set(found.names) == {"good/a.png", "bad/a.png"}
    pixels = found.picture("good/a.png")
    assert pixels is not None
    assert pixels.shape == (1, 30, 90)
    assert found.extent("good/a.png") is None


def test_defects_are_measured_in_pixels_of_the_file(tmp_path: Path) -> None:
    """Masks beside images: the area is of all parts, the box of the largest one."""
    for name in ("a", "b"):
        Image.fromarray(np.full((40, 60), 90, np.uint8)).save(tmp_path / f"{name}.jpg")
    mask = np.zeros((40, 60), np.uint8)
    mask[5:7, 10:30] = 255
    mask[30, 50] = 255
    Image.fromarray(mask).save(tmp_path / "a.png")
    Image.fromarray(np.zeros_like(mask)).save(tmp_path / "b.png")
    found = Originals.open(str(tmp_path))
    assert extents(found, ["a.jpg", "b.jpg", "c.jpg"]) == {"a.jpg": Extent(41, Box(5, 10, 7, 30))}


def test_a_file_that_is_gone_or_broken_is_none(tmp_path: Path) -> None:
    for name in ("a", "b"):
        Image.fromarray(np.full((40, 60), 90, np.uint8)).save(tmp_path / f"{name}.jpg")
        Image.fromarray(np.full((40, 60), 255, np.uint8)).save(tmp_path / f"{name}.png")
    found = Originals.open(str(tmp_path))
    (tmp_path / "a.jpg").unlink()
    (tmp_path / "b.png").write_bytes(b"no mask")
    assert found.picture("a.jpg") is None
    assert found.extent("a.jpg") is None
    assert found.extent("b.jpg") is None


def test_images_turned_by_their_exif_keep_their_boxes(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.full((40, 60), 90, np.uint8)).save(tmp_path / "a.jpg", exif=exif)
    mask = np.zeros((60, 40), np.uint8)
    mask[50:52, 3:5] = 255
    Image.fromarray(mask).save(tmp_path / "a.png")
    found = Originals.open(str(tmp_path))
    assert found.picture("a.jpg").shape == (1, 60, 40)  # type: ignore[union-attr]
    assert found.extent("a.jpg") == Extent(4, Box(50, 3, 52, 5))


def test_a_folder_that_is_gone_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        Originals.open(str(tmp_path / "no"))


def test_images_without_files_are_as_the_network_sees_them() -> None:
    images = Images(
        np.zeros((2, 1, 8, 8), np.uint8),
        labels=np.array([0, 1]),
        names=("a", "b"),
        hashes=("a", "b"),
        classes=("good", "bad"),
        groups=np.arange(2),
        masks=np.stack([np.zeros((8, 8), np.uint8), np.eye(8, dtype=np.uint8)]),
    )
    found = Loaded(images)
    assert found.picture("b").shape == (1, 8, 8)  # type: ignore[union-attr]
    assert extents(found, found.names) == {"b": Extent(8, Box(0, 0, 8, 8))}
