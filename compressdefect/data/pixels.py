"""Image files to pixel arrays, the same way in training and on the line (Pillow and numpy only).

Arrays are uint8 (H, W, C) with C = 1 for grey and 3 for RGB. 16-bit grey is full scale: 65535 becomes 255.
"""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from compressdefect.errors import DataError

Pixels = np.ndarray

_BROKEN_FILE = (  # what Pillow's plugins raise on damaged, hostile or unsupported files
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    AttributeError,
    LookupError,
    EOFError,
    ArithmeticError,
    MemoryError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
)


def decode(source: Path | bytes) -> Pixels:
    """Decode the first frame of an image file, upright by its EXIF orientation; transparency is dropped.

    Raises:
        DataError: The file is damaged, too large for Pillow's pixel limit, or of a kind without a defined range.
    """
    name = "image" if isinstance(source, bytes) else str(source)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as image:
                return _to_uint8(ImageOps.exif_transpose(image))
        except _BROKEN_FILE as error:
            raise DataError(f"{name} cannot be read", got=_reason(error), fix="replace or remove the file") from error


def resize(pixels: Pixels, height: int, width: int) -> Pixels:
    """Resize (H, W, C) bilinearly; shrinking averages over the pixels that fall together (antialiasing)."""
    if pixels.shape[:2] == (height, width):
        return pixels
    image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    return _with_channels(np.asarray(image.resize((width, height), Image.Resampling.BILINEAR)))


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


def _to_uint8(image: Image.Image) -> Pixels:
    if image.mode in ("1", "L", "LA", "La"):
        return _with_channels(np.asarray(image.convert("L")))
    if image.mode == "I" or image.mode.startswith("I;16"):
        values = np.asarray(image).astype(np.int64)
        if values.min() < 0 or values.max() > 0xFFFF:
            raise ValueError("32-bit pixels have no defined range")
        return _with_channels(((values + 128) // 257).astype(np.uint8))
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
