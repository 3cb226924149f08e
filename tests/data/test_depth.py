"""Images of 10, 12 or 14 bits in files of 16: one range for a whole data set, found or given."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from compressdefect.data import depth
from compressdefect.data.audit.audit import audit
from compressdefect.data.depth import Decoder, depth_of
from compressdefect.data.images import Images
from compressdefect.data.load import load_images
from compressdefect.data.pixels import decode, decode_stored, is_deep, peak
from compressdefect.data.read import read_all
from compressdefect.errors import DataError


def ramp(white: int, side: int = 64) -> np.ndarray:
    """A grey ramp over a side × side picture, from 0 to the value of white, uint16."""
    return np.linspace(0, white, side * side).round().astype(np.uint16).reshape(side, side)


def write(path: Path, pixels: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def noisy(white: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, white + 1, (64, 64)).astype(np.uint16)


@pytest.fixture
def twelve_bits(tmp_path: Path) -> Path:
    """Good images up to 4011, and dents that are a quarter as bright."""
    for number in range(12):
        write(tmp_path / "good" / f"{number:02}.png", noisy(4011, number))
        write(tmp_path / "dent" / f"{number:02}.png", noisy(1000, 100 + number))
    write(tmp_path / "good" / "ramp.png", ramp(4095))
    return tmp_path


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_the_largest_value_of_the_bits_is_white(tmp_path: Path, bits: int) -> None:
    path = write(tmp_path / "a.png", ramp(2**bits - 1))
    expected = np.linspace(0, 255, 64 * 64)
    np.testing.assert_allclose(decode(path, bits).ravel(), expected, atol=0.5 + 255 / (2**bits - 1))
    assert decode_stored(path, bits).channels == 1
    assert depth_of([path]).bits == bits


def test_one_range_holds_for_the_whole_data_set(twelve_bits: Path) -> None:
    images = load_images(twelve_bits, input=64)
    assert images.bits == 12
    assert images.remarks[0] == "16-bit images use 12 bits: 4095 is white; --bits says otherwise"
    (row,) = images.pixels[images.names.index("good/ramp.png")]
    assert len(np.unique(row)) == 256
    good, dent = (images.pixels[images.labels == images.classes.index(name)].mean() for name in ("good", "dent"))
    assert good / dent == pytest.approx(4011 / 1000, rel=0.03)


def test_bits_that_are_given_hold(twelve_bits: Path) -> None:
    images = load_images(twelve_bits, input=64, bits=14)
    assert (images.bits, images.remarks) == (14, ())
    assert images.pixels.max() == round(255 * 4095 / (2**14 - 1))
    with pytest.raises(DataError, match=r"good/00\.png is brighter than --bits 10 allows: got 4\d\d\d, where 1023 is"):
        load_images(twelve_bits, input=64, bits=10)
    with pytest.raises(DataError, match="--bits is 8, 10, 12, 14 or 16: got 11"):
        load_images(twelve_bits, input=64, bits=11)


def test_images_of_8_bits_are_not_looked_into_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for label in ("good", "dent"):
        for number in range(3):
            write(tmp_path / label / f"{number}.png", noisy(255, number).astype(np.uint8))
    monkeypatch.setattr(depth, "peak", lambda path: pytest.fail("looked into again"))
    images = load_images(tmp_path, input=16, group="none")
    assert (images.bits, images.remarks) == (None, ())


def test_images_of_8_bits_are_the_same_beside_deeper_ones(twelve_bits: Path) -> None:
    path = write(twelve_bits / "good" / "plain.png", noisy(255, 1).astype(np.uint8))
    images = load_images(twelve_bits, input=64)
    np.testing.assert_array_equal(images.pixels[images.names.index("good/plain.png")][0], decode(path)[..., 0])


def test_bits_travel_with_the_images(twelve_bits: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    images = load_images(twelve_bits, input=16)
    folder = tmp_path_factory.mktemp("saved")
    images.save(folder)
    assert Images.load(folder).bits == 12


def test_unreadable_images_do_not_decide(tmp_path: Path) -> None:
    broken = write(tmp_path / "a.png", ramp(60000))
    broken.write_bytes(broken.read_bytes()[:60])
    whole = write(tmp_path / "b.png", ramp(900))
    assert depth_of([broken, whole, tmp_path / "gone.png"]) == (10, (whole,))


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _deep_colour(white: int) -> bytes:
    """A PNG file of 16 × 16 pixels of three times 16 bits, which Pillow reads and does not write."""
    values = np.linspace(0, white, 16 * 16 * 3).astype(">u2").reshape(16, 16 * 3)
    rows = zlib.compress(b"".join(b"\0" + row.tobytes() for row in values))
    header = struct.pack(">IIBBBBB", 16, 16, 16, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", rows) + _chunk(b"IEND", b"")


def test_colour_of_few_bits_is_refused_and_not_blackened() -> None:
    assert decode(_deep_colour(65535)).max() == 255
    assert (is_deep(_deep_colour(4095)), peak(_deep_colour(4095))) == (True, 4095)
    with pytest.raises(DataError, match="16-bit colour of which 12 bits are used"):
        decode(_deep_colour(4095), 12)


def test_a_format_that_states_its_white_is_taken_at_its_word() -> None:
    values = ramp(900, 8)
    content = b"P5\n8 8\n1023\n" + values.astype(">u2").tobytes()
    assert (is_deep(content), peak(content)) == (False, None)
    for bits in (8, 12, 16):
        np.testing.assert_allclose(decode(content, bits)[..., 0], values / 1023 * 255, atol=1)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "JPEG2000"])
def test_deep_files_of_every_kind_are_told(kind: str) -> None:
    for pixels, deep in ((ramp(4095), True), (ramp(255).astype(np.uint8), False)):
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, kind)
        assert is_deep(buffer.getvalue()) is deep
        assert (peak(buffer.getvalue()) is None) is not deep


def test_a_decoder_looks_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [write(tmp_path / f"{number}.png", ramp(2000 + number)) for number in range(4)]
    looked: list[Path] = []
    monkeypatch.setattr(depth, "peak", lambda path: looked.append(path) or peak(path))
    decoder = Decoder(paths)
    for path in paths:
        decoder.decode(path.read_bytes(), path.name)
    assert looked == paths


def test_the_audit_says_that_bits_are_not_used(twelve_bits: Path) -> None:
    result = audit(read_all(twelve_bits))
    (found,) = [finding for finding in result.findings if finding.kind == "bit-depth"]
    assert (len(found.files), found.message) == (25, "16-bit files whose values take 12 bits: 4095 is taken for white")
    assert result.to_json()["bits"] == 12
    assert not [f for f in audit(read_all(twelve_bits), bits=12).findings if f.kind in ("bit-depth", "unreadable")]
    small = [f.files for f in audit(read_all(twelve_bits), bits=10).findings if f.kind == "bit-depth"]
    assert sum(map(len, small)) == 13
    write(twelve_bits / "good" / "bright.png", ramp(65535))
    assert "bit-depth" not in {finding.kind for finding in audit(read_all(twelve_bits)).findings}
