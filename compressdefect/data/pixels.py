"""Image and mask files to pixel arrays, the same way in training and on the line (Pillow and numpy only).

Images are uint8 (H, W, C) with C = 1 for grey and 3 for RGB. Of 16-bit grey as many bits count as the data set uses:
the largest value that they hold becomes 255. Masks are uint8 (H, W). Both are turned upright by their own EXIF
orientation, as every viewer shows them: a mask without one is taken as drawn on the upright image.
"""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
from PIL import ExifTags, Image, ImageOps

from compressdefect.errors import DataError

Pixels = np.ndarray
Found = TypeVar("Found")

FORMATS = ("BMP", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
"""Pillow would try 40 more, and run Ghostscript for one of them."""
FULL = 16  # bits; of 16-bit colour Pillow keeps the upper 8

_BROKEN_FILE = (  # what Pillow's plugins raise on damaged, hostile or unsupported files
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    AttributeError,
    LookupError,
    EOFError,
    ArithmeticError,
    AssertionError,
    NotImplementedError,
    RecursionError,
    MemoryError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
    Warning,  # where the process turns warnings into errors
)
_LYING = 5  # EXIF orientations from here on are turned by a quarter
_CHANNELS = {"P": 3, "CMYK": 4, "YCbCr": 3, "LAB": 3, "HSV": 3}

# Threads share the filters, so this is set once; what Pillow only warns of is refused in _check_size.
warnings.simplefilter("ignore", Image.DecompressionBombWarning)


class DepthError(DataError):
    """A pixel's value is larger than the bits hold that are said to be used; ``got`` is the value."""


class Decoded(NamedTuple):
    """The pixels of an image, and how many channels its file stores."""

    pixels: Pixels
    channels: int


def decode(source: Path | bytes, bits: int = FULL) -> Pixels:
    """Decode the first frame of an image file, upright by its EXIF orientation; transparency is dropped.

    Args:
        source: the file or its content.
        bits: how many bits a 16-bit image uses; 2**bits - 1 becomes 255.

    Raises:
        DataError: The file is damaged, too large for Pillow's pixel limit, or of a kind without a defined range.
        DepthError: A value needs more bits.
    """
    return _read(source, lambda image: _upright_uint8(image, bits))


def decode_stored(source: Path | bytes, bits: int = FULL) -> Decoded:
    """Decode an image file as ``decode`` does, and count the channels that it stores.

    Raises:
        DataError: As ``decode``.
    """

    def decoded(image: Image.Image) -> Decoded:
        channels = _CHANNELS.get(image.mode, len(image.getbands()))
        return Decoded(_upright_uint8(image, bits), channels)

    return _read(source, decoded)


def is_deep(source: Path | bytes) -> bool:
    """Whether an image file stores 16 bits a channel without saying which value is white; no pixel is decoded.

    Raises:
        DataError: It is no image file, or too large for Pillow's pixel limit.
    """
    return _read(source, _is_deep)


def peak(source: Path | bytes) -> int | None:
    """The largest value of a 16-bit image file; None of one that is not ``is_deep``, of which no pixel is decoded.

    Raises:
        DataError: As ``decode``.
    """
    return _read(source, _peak)


def decode_mask(source: Path | bytes) -> Pixels:
    """Decode the first frame of a mask file to the values that it stores, uint8 (H, W).

    A coloured palette gives its indices, a grey one its greys; of RGB the largest channel counts, so that no colour on
    black is lost; 1-bit and two-valued 16-bit masks are 0 and 255. Transparency is dropped.

    Raises:
        DataError: The file is damaged, too large for Pillow's pixel limit, or of a kind that is no mask.
    """
    return _read(source, lambda image: _to_mask(ImageOps.exif_transpose(image)))


def stored_size(source: Path | bytes) -> tuple[int, int]:
    """Height and width that an image file says it has, before it is turned upright; no pixel is decoded.

    Raises:
        DataError: It is no image file, or too large for Pillow's pixel limit.
    """
    return _read(source, lambda image: (image.height, image.width))


def upright_size(source: Path | bytes) -> tuple[int, int]:
    """Height and width of an image file as ``decode`` turns it upright; no pixel is decoded.

    Raises:
        DataError: As ``stored_size``.
    """
    return _read(source, lambda image: _turned(image, image.height, image.width))


def _turned(image: Image.Image, height: int, width: int) -> tuple[int, int]:
    lies = image.getexif().get(ExifTags.Base.Orientation, 1) >= _LYING
    return (width, height) if lies else (height, width)


def resize(pixels: Pixels, height: int, width: int) -> Pixels:
    """Resize (H, W, C) bilinearly; shrinking averages over the pixels that fall together (antialiasing)."""
    if pixels.shape[:2] == (height, width):
        return pixels
    image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    return _with_channels(np.asarray(image.resize((width, height), Image.Resampling.BILINEAR)))


def resize_mask(mask: Pixels, height: int, width: int) -> Pixels:
    """Resize class indices (H, W), 0 = background, so that small and thin defects are not lost.

    A connected region (8 neighbours, one class) gets the pixels that it covers by half. One so small or thin that it
    covers less than half of what it touches gets those that it covers half as much as the average of them: so there
    is always one, and a scratch stays one scratch. Where regions want the same pixel, the one with fewer has it: of
    two that want one and no other, or that touch once they are small, one is all that is left.
    """
    mask = mask[_nearest(mask.shape[0], height)][:, _nearest(mask.shape[1], width)]  # growing loses nothing
    if mask.shape == (height, width):
        return mask
    small = np.zeros(height * width, dtype=np.uint8)
    y, x, region, values = _regions(mask)
    if not len(values):
        return small.reshape(height, width)
    rows, columns = _cells(mask.shape[0], height), _cells(mask.shape[1], width)
    pixel = rows[y] * width + columns[x]
    wanted, covered = np.unique(region * small.size + pixel, return_counts=True)
    region, pixel = np.divmod(wanted, small.size)
    share = covered / np.outer(np.bincount(rows), np.bincount(columns)).ravel()[pixel]
    average = np.bincount(region, share) / np.bincount(region)
    has = share >= np.where(average < 0.5, average / 2, 0.5)[region]
    region, pixel = region[has], pixel[has]
    order = np.argsort(-np.bincount(region)[region], kind="stable")  # what has fewest pixels is drawn last
    small[pixel[order]] = values[region[order]]
    return small.reshape(height, width)


def to_channels(pixels: Pixels, channels: int) -> Pixels:
    """Make (H, W, C) grey (1) or RGB (3); colour turns grey by the luma weights of ITU-R 601."""
    if pixels.shape[2] == channels:
        return pixels
    if channels == 1:
        return np.asarray(Image.fromarray(pixels).convert("L"))[..., None]
    return np.repeat(pixels, channels, axis=2)


def is_grey(pixels: Pixels) -> bool:
    """Whether (H, W, C) pixels carry no colour: one channel, or three equal ones."""
    return pixels.shape[2] == 1 or bool((pixels == pixels[..., :1]).all())


def _read(source: Path | bytes, convert: Callable[[Image.Image], Found]) -> Found:
    try:
        with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source, formats=FORMATS) as image:
            _check_size(image)
            return convert(image)
    except _BROKEN_FILE as error:
        name = "image" if isinstance(source, bytes) else str(source)
        raise DataError(f"{name} cannot be read", got=_reason(error), fix="replace or remove the file") from error


def _check_size(image: Image.Image) -> None:
    limit = Image.MAX_IMAGE_PIXELS
    if limit is not None and image.width * image.height > limit:
        raise Image.DecompressionBombError(
            f"Image size ({image.width * image.height} pixels) exceeds limit of {limit} pixels"
        )


def _to_mask(image: Image.Image) -> Pixels:
    if image.mode == "P":
        indices, palette = np.asarray(image), np.asarray(image.getpalette("RGB"), dtype=np.uint8).reshape(-1, 3)
        return palette[indices, 0] if (palette == palette[:, :1]).all() else indices
    if _is_deep_grey(image):
        values = np.asarray(image)
        if values.min() < 0 or (values.max() > 255 and len(np.unique(values)) > 2):
            raise ValueError("a mask has values from 0 to 255")
        return (values if values.max() <= 255 else 255 * (values > values.max() // 2)).astype(np.uint8)
    return _to_uint8(image).max(axis=2)


def _regions(mask: Pixels) -> tuple[np.ndarray, np.ndarray, np.ndarray, Pixels]:
    """Rows, columns and region numbers of all that is not background, and the class of each region."""
    from scipy import ndimage  # not needed on the line

    places, values = [np.empty((3, 0), dtype=np.int64)], np.empty(0, dtype=np.uint8)
    for value in np.flatnonzero(np.bincount(mask.ravel(), minlength=256)[1:]) + 1:
        labelled, count = ndimage.label(mask == value, structure=np.ones((3, 3)))
        y, x = np.nonzero(labelled)
        places.append(np.stack([y, x, labelled[y, x] - 1 + len(values)]))
        values = np.concatenate([values, np.full(count, value, dtype=np.uint8)])
    y, x, region = np.concatenate(places, axis=1)
    return y, x, region, values


def _cells(length: int, target: int) -> np.ndarray:
    """Which of ``target`` pixels the centre of each of ``length`` pixels falls in."""
    return (2 * np.arange(length) + 1) * target // (2 * length)


def _nearest(length: int, target: int) -> np.ndarray:
    """Which of ``length`` pixels each of ``target`` pixels shows, or all of them where there are fewer to show."""
    return _cells(target, length) if target > length else np.arange(length)


def _upright_uint8(image: Image.Image, bits: int) -> Pixels:
    if bits < FULL and _is_deep_colour(image):
        raise ValueError(f"16-bit colour of which {bits} bits are used")
    bits = bits if _is_deep(image) else FULL
    return _to_uint8(ImageOps.exif_transpose(image), bits)


def _is_deep(image: Image.Image) -> bool:
    states_white = any(tile[0].startswith("ppm") for tile in _tiles(image))  # which Pillow makes 65535
    return _is_deep_colour(image) or (_is_deep_grey(image) and not states_white)


def _is_deep_grey(image: Image.Image) -> bool:
    return image.mode == "I" or image.mode.startswith("I;16")


def _is_deep_colour(image: Image.Image) -> bool:
    """Whether Pillow drops the lower 8 of 16 bits."""
    return not _is_deep_grey(image) and any(";16" in str(tile[3]) for tile in _tiles(image))


def _tiles(image: Image.Image) -> list[Any]:
    """How Pillow will decode an image that it has not decoded yet: codec, place, offset and arguments."""
    return getattr(image, "tile", [])


def _peak(image: Image.Image) -> int | None:
    if not _is_deep(image):
        return None
    return int(_deep_grey(image).max()) if _is_deep_grey(image) else 256 * int(np.asarray(image).max()) + 255


def _deep_grey(image: Image.Image) -> np.ndarray:
    values = np.asarray(image).astype(np.int64)
    if values.min() < 0 or values.max() > 0xFFFF:
        raise ValueError("32-bit pixels have no defined range")
    return values


def _to_uint8(image: Image.Image, bits: int = FULL) -> Pixels:
    if image.mode in ("1", "L", "LA", "La"):
        return _with_channels(np.asarray(image.convert("L")))
    if _is_deep_grey(image):
        values, white = _deep_grey(image), 2**bits - 1
        if values.max() > white:
            raise DepthError(f"an image needs more than {bits} bits", got=int(values.max()))
        return _with_channels(((255 * values + white // 2) // white).astype(np.uint8))
    if image.mode == "F":
        raise ValueError("floating-point pixels have no defined range")
    return np.asarray(image.convert("RGB"))


def _with_channels(pixels: Pixels) -> Pixels:
    return pixels[..., None] if pixels.ndim == 2 else pixels


def _reason(error: BaseException) -> str:
    text = str(error)
    if "cannot identify image file" in text:
        return "not an image, or damaged"
    return text.partition("<")[0].strip() or type(error).__name__
