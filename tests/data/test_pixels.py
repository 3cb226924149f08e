"""Every kind of image file becomes the same kind of array."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from compressdefect.data.pixels import decode, is_grey, resize, to_channels
from compressdefect.errors import DataError

RED_GREEN = np.array([[[255, 0, 0], [0, 255, 0]]], dtype=np.uint8)


def test_grey_and_rgb_keep_their_values(tmp_path: Path) -> None:
    grey = np.arange(12, dtype=np.uint8).reshape(3, 4)
    Image.fromarray(grey).save(tmp_path / "grey.png")
    Image.fromarray(RED_GREEN).save(tmp_path / "rgb.png")
    np.testing.assert_array_equal(decode(tmp_path / "grey.png"), grey[..., None])
    np.testing.assert_array_equal(decode((tmp_path / "rgb.png").read_bytes()), RED_GREEN)


def test_sixteen_bits_are_full_scale(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0, 257, 65535, 128, 129]], dtype=np.uint16)).save(tmp_path / "deep.png")
    assert decode(tmp_path / "deep.png").ravel().tolist() == [0, 1, 255, 0, 1]  # v / 257, rounded


def test_palette_and_transparency_become_rgb(tmp_path: Path) -> None:
    Image.fromarray(RED_GREEN).convert("P", palette=Image.Palette.ADAPTIVE).save(
        tmp_path / "palette.png", transparency=0
    )
    Image.fromarray(RED_GREEN).convert("RGBA").save(tmp_path / "alpha.png")
    Image.fromarray(RED_GREEN[..., 0]).convert("LA").save(tmp_path / "grey_alpha.png")
    np.testing.assert_array_equal(decode(tmp_path / "palette.png"), RED_GREEN)
    np.testing.assert_array_equal(decode(tmp_path / "alpha.png"), RED_GREEN)
    np.testing.assert_array_equal(decode(tmp_path / "grey_alpha.png"), RED_GREEN[..., :1])


def test_bilevel_becomes_black_and_white(tmp_path: Path) -> None:
    Image.fromarray(np.array([[True, False]])).save(tmp_path / "bits.png")
    assert decode(tmp_path / "bits.png").ravel().tolist() == [255, 0]


def test_exif_orientation_is_applied(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn 90° clockwise to view
    Image.fromarray(np.array([[10, 20, 30]], dtype=np.uint8)).save(tmp_path / "turned.png", exif=exif)
    np.testing.assert_array_equal(decode(tmp_path / "turned.png")[..., 0], [[10], [20], [30]])


def _bomb() -> bytes:
    """A PNG header that promises 60000 × 60000 pixels."""
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    chunk = b"IHDR" + header
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", len(header)) + chunk + struct.pack(">I", zlib.crc32(chunk))


@pytest.mark.parametrize(
    "content", [b"", b"not an image", b"\x89PNG\r\n\x1a\n", _bomb()], ids=["empty", "text", "magic", "bomb"]
)
def test_broken_files_are_a_data_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "broken.png").write_bytes(content)
    with pytest.raises(DataError, match=r"broken\.png cannot be read"):
        decode(tmp_path / "broken.png")


@pytest.mark.parametrize("kind", ["png", "jpg", "bmp", "tif"])
def test_truncated_files_are_a_data_error(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"cut.{kind}"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40), dtype=np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(DataError, match="cannot be read"):
        decode(path)


def test_pixel_limit_holds_for_the_warning_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.fromarray(np.zeros((30, 30), dtype=np.uint8)).save(tmp_path / "large.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 800)  # Pillow only warns between the limit and its double
    with pytest.raises(DataError, match="exceeds limit"):
        decode(tmp_path / "large.png")


def test_floating_point_is_refused(tmp_path: Path) -> None:
    Image.fromarray(np.ones((4, 4), dtype=np.float32)).save(tmp_path / "float.tif")
    with pytest.raises(DataError, match="no defined range"):
        decode(tmp_path / "float.tif")


def test_shrinking_averages() -> None:
    stripes = np.tile(np.array([0, 255], dtype=np.uint8), (64, 32))[..., None]
    assert np.abs(resize(stripes, 8, 8).astype(int) - 127).max() <= 5  # a mere sample would be 0 or 255


@pytest.mark.parametrize("channels", [1, 3])
def test_resize_keeps_constants_and_channels(channels: int) -> None:
    small = resize(np.full((10, 20, channels), 77, dtype=np.uint8), 7, 33)
    assert small.shape == (7, 33, channels)
    assert (small == 77).all()


def test_channels_convert_both_ways() -> None:
    grey = to_channels(RED_GREEN, 1)
    assert grey.ravel().tolist() == [76, 150]  # 0.299 and 0.587 of 255
    assert is_grey(to_channels(grey, 3))
    assert not is_grey(RED_GREEN)
