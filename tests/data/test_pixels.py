"""Every kind of image file becomes the same kind of array."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image
from scipy import ndimage

from compressdefect.data.pixels import (
    decode,
    decode_mask,
    decode_stored,
    is_grey,
    resize,
    resize_mask,
    to_channels,
    upright_size,
)
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


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _bomb() -> bytes:
    """A small PNG file of 60000 × 60000 pixels."""
    header, rows = struct.pack(">IIBBBBB", 60_000, 60_000, 1, 0, 0, 0, 0), zlib.compress(bytes(10_000_000))
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", rows) + _chunk(b"IEND", b"")


def _text_bomb() -> bytes:
    """A PNG whose compressed comment fills 100 MB."""
    header, comment = struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0), zlib.compress(bytes(100_000_000))
    pixel = _chunk(b"IDAT", zlib.compress(b"\0\0"))
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"zTXt", b"a\0\0" + comment) + pixel


def _dds() -> bytes:
    """A picture of a kind that Pillow reads, in an encoding that it does not."""
    kind = struct.pack("<II4sIIIII", 32, 4, b"ZZZZ", 0, 0, 0, 0, 0)
    return b"DDS " + struct.pack("<7I", 124, 0x1007, 16, 16, 0, 0, 0) + bytes(44) + kind + bytes(120)


BROKEN = {
    "empty": b"",
    "text": b"not an image",
    "magic": b"\x89PNG\r\n\x1a\n",
    "header": b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", b"\0\0"),
    "bomb": _bomb(),
    "text bomb": _text_bomb(),
    "ppm": b"P6\n5 x\n255\n",
    "dds": _dds(),
    "im": b"Image type: wonder\r\nFile size (no of images): x\r\n".ljust(511, b"\0") + b"\x1a",
}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
def test_broken_files_are_a_data_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "broken.png").write_bytes(content)
    for read in (decode, decode_mask, decode_stored):
        with pytest.raises(DataError, match=r"broken\.png cannot be read.*replace or remove the file"):
            read(tmp_path / "broken.png")


def test_a_bomb_is_named_as_one() -> None:
    with pytest.raises(DataError, match=r"image cannot be read: got Image size \(3600000000 pixels\) exceeds limit"):
        decode_mask(_bomb())


def test_a_document_named_like_an_image_starts_no_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[object] = []
    monkeypatch.setattr("subprocess.Popen", lambda *arguments, **_: started.append(arguments))
    (tmp_path / "page.png").write_bytes(
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n%%EOF\n"
    )
    with pytest.raises(DataError, match="not an image"):
        decode(tmp_path / "page.png")
    assert not started


def test_stored_channels_are_counted(tmp_path: Path) -> None:
    for mode, channels in (("L", 1), ("P", 3), ("RGBA", 4), ("CMYK", 4)):
        Image.fromarray(RED_GREEN).convert(mode).save(tmp_path / "a.tif")
        pixels, found = decode_stored(tmp_path / "a.tif")
        assert found == channels
        np.testing.assert_array_equal(pixels, decode(tmp_path / "a.tif"))


@pytest.mark.parametrize("kind", ["png", "jpg", "bmp", "tif", "jp2"])
def test_truncated_files_are_a_data_error(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"cut.{kind}"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40), dtype=np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    for read in (decode, decode_mask):
        with pytest.raises(DataError, match="cannot be read"):
            read(path)


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


def _png(pixels: np.ndarray | Image.Image, **options: object) -> bytes:
    buffer = io.BytesIO()
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(buffer, "PNG", **options)
    return buffer.getvalue()


def _palette(colours: list[int]) -> Image.Image:
    image = Image.fromarray(np.array([[0, 1, 2]], dtype=np.uint8)).convert("P")
    image.putdata([0, 1, 2])
    image.putpalette(colours)
    return image


@pytest.mark.parametrize(
    ("picture", "values"),
    [
        (np.array([[0, 1, 7, 255]], dtype=np.uint8), [0, 1, 7, 255]),
        (np.array([[False, True]]), [0, 255]),
        (np.array([[0, 3, 255]], dtype=np.uint16), [0, 3, 255]),
        (np.array([[0, 65535]], dtype=np.uint16), [0, 255]),
        (np.array([[65535, 65535]], dtype=np.uint16), [255, 255]),
        (np.array([[[0, 0, 0], [0, 0, 200], [9, 9, 9]]], dtype=np.uint8), [0, 200, 9]),
        (np.array([[[0, 0, 0, 255], [80, 0, 0, 0]]], dtype=np.uint8), [0, 80]),
        (_palette([0, 0, 0, 128, 0, 0, 0, 128, 0]), [0, 1, 2]),
        (_palette([255, 255, 255, 0, 0, 0, 60, 60, 60]), [255, 0, 60]),
    ],
    ids=["grey", "bits", "16-bit", "16-bit, two values", "16-bit, full", "rgb", "rgba", "palette", "grey palette"],
)
def test_masks_keep_the_values_that_they_store(picture: np.ndarray | Image.Image, values: list[int]) -> None:
    mask = decode_mask(_png(picture))
    assert mask.dtype == np.uint8
    assert mask.tolist() == [values]


def test_a_mask_with_more_values_than_a_byte_holds_is_refused() -> None:
    with pytest.raises(DataError, match="a mask has values from 0 to 255"):
        decode_mask(_png(np.array([[0, 1, 300]], dtype=np.uint16)))


@pytest.mark.parametrize(("orientation", "size"), [(1, (2, 3)), (3, (2, 3)), (6, (3, 2)), (8, (3, 2))])
def test_the_upright_size_is_that_of_the_decoded_image(orientation: int, size: tuple[int, int]) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = _png(np.zeros((2, 3), dtype=np.uint8), exif=exif)
    assert upright_size(content) == decode(content).shape[:2] == size


def test_a_mask_is_turned_by_its_own_exif_orientation() -> None:
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    row = np.array([[1, 2, 3]], dtype=np.uint8)
    assert decode_mask(_png(row, exif=exif)).tolist() == [[3, 2, 1]]
    assert decode_mask(_png(row)).tolist() == [[1, 2, 3]]


def _regions(mask: np.ndarray) -> tuple[np.ndarray, int]:
    return ndimage.label(mask, structure=np.ones((3, 3)))


@settings(max_examples=200)
@given(
    mask=arrays(np.bool_, st.tuples(st.integers(1, 24), st.integers(1, 24)), fill=st.just(False)),
    height=st.integers(1, 40),
    width=st.integers(1, 40),
)
def test_no_defect_is_lost_and_none_invented(mask: np.ndarray, height: int, width: int) -> None:
    resized = resize_mask(mask.astype(np.uint8), height, width)
    assert resized.shape == (height, width)
    assert resized.dtype == np.uint8
    covered = np.zeros((height, width), dtype=bool)  # every pixel that a defect touches
    labelled, count = _regions(mask)
    rows, columns = _reach(mask.shape[0], height), _reach(mask.shape[1], width)
    for number in range(1, count + 1):
        touched = rows @ (labelled == number) @ columns.T
        assert resized[touched].any()
        covered |= touched
    assert not resized[~covered].any()


def _reach(length: int, target: int) -> np.ndarray:
    """Which of ``length`` pixels overlap which of ``target``: bool (target, length)."""
    sources, targets = np.arange(length)[None], np.arange(target)[:, None]
    return (sources * target < (targets + 1) * length) & ((sources + 1) * target > targets * length)


@given(arrays(np.uint8, (5, 7), elements=st.integers(0, 4)), st.integers(1, 6), st.integers(1, 6))
def test_growing_and_back_gives_the_same_mask(mask: np.ndarray, down: int, right: int) -> None:
    grown = resize_mask(mask, 5 * down, 7 * right)
    np.testing.assert_array_equal(grown, np.repeat(np.repeat(mask, down, axis=0), right, axis=1))
    np.testing.assert_array_equal(resize_mask(grown, 5, 7), mask)


@pytest.mark.parametrize("side", [97, 230, 500, 700, 999])
@pytest.mark.parametrize("angle", [0, 17, 45, 80, 90])
def test_a_hairline_scratch_stays_one_scratch(angle: int, side: int) -> None:
    along = np.linspace(-240, 240, 2000)
    mask = np.zeros((1000, 1000), dtype=np.uint8)
    y, x = 503 + along * np.sin(np.radians(angle)), 503.5 + along * np.cos(np.radians(angle))
    mask[y.astype(int), x.astype(int)] = 1
    small = resize_mask(mask, side, side)
    ys, xs = np.nonzero(small)
    assert _regions(small)[1] == 1
    assert np.hypot(np.ptp(ys), np.ptp(xs)) == pytest.approx(0.480 * side, abs=3)
    assert len(ys) < 2 * 0.480 * side


@pytest.mark.parametrize("side", [30, 64, 97])
def test_a_small_round_defect_keeps_about_its_area(side: int) -> None:
    y, x = np.mgrid[:600, :600]
    mask = (np.hypot(y - 311, x - 207) < 30).astype(np.uint8)
    assert (resize_mask(mask, side, side) > 0).mean() == pytest.approx(mask.mean(), rel=0.2)


def test_a_large_defect_keeps_its_area_and_a_small_one_inside_it_its_class() -> None:
    mask = np.zeros((600, 600), dtype=np.uint8)
    mask[100:407, 50:260] = 1
    mask[200, 200] = 2
    small = resize_mask(mask, 64, 64)
    assert (small > 0).mean() == pytest.approx((mask > 0).mean(), rel=0.05)
    assert (small == 2).sum() == 1


def test_a_resized_mask_is_not_shifted() -> None:
    """Mirrored before or after, it is the same; of odd sides no pixel's centre falls between two others."""
    mask = np.zeros((23, 9), dtype=np.uint8)
    mask[3:14, 1:5] = 1
    small = resize_mask(mask, 15, 27)
    assert (resize_mask(mask[::-1, ::-1], 15, 27) == small[::-1, ::-1]).all()
