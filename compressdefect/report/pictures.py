"""Pixels as the pictures of a page: scaled to fit, with what is laid over them, and cropped to what matters."""

from __future__ import annotations

import base64
import io
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from compressdefect.report.originals import Box

SIDE = 320
"""The longer side of a picture on the page, in pixels."""
CROP = 64
"""The shortest side of a crop, in pixels of the original."""
CROPPED = 0.6
"""A crop whose longer side is more than this share of the picture's shows nothing new."""
FRAME = (255, 215, 0)

Pixels = NDArray[np.uint8]
Values = TypeVar("Values", bound=NDArray[Any])


def picture(pixels: Pixels, overlay: Pixels | None = None, frame: Box | None = None) -> Image.Image:
    """Scale pixels (C, H, W), grey or RGB, down to ``SIDE``; small ones are enlarged, each pixel to a square.

    Args:
        pixels: grey or RGB.
        overlay: RGBA (4, h, w) to lay over the whole picture, of any size.
        frame: a part to draw a frame around, in pixels of the original.
    """
    height, width = pixels.shape[1:]
    image = Image.fromarray(pixels[0] if len(pixels) == 1 else np.ascontiguousarray(pixels.transpose(1, 2, 0)))
    image.thumbnail((SIDE, SIDE))
    times = SIDE // max(image.size)
    if times > 1:
        image = image.resize((times * image.width, times * image.height), Image.Resampling.NEAREST)
    if overlay is None and frame is None:
        return image
    image = image.convert("RGBA")
    if overlay is not None:
        layer = Image.fromarray(np.ascontiguousarray(overlay.transpose(1, 2, 0)))
        image.alpha_composite(layer.resize(image.size, Image.Resampling.BILINEAR))
    if frame is not None:
        down, across = image.height / height, image.width / width
        corners = [frame.left * across, frame.top * down, frame.right * across - 1, frame.bottom * down - 1]
        ImageDraw.Draw(image).rectangle(corners, outline=FRAME, width=2)
    return image.convert("RGB")


def cropped(pixels: Values, part: Box) -> Values:
    """A part of an array (…, H, W)."""
    return cast(Values, pixels[..., part.top : part.bottom, part.left : part.right])


def around(box: Box, height: int, width: int) -> Box | None:
    """The square to crop an image to so that a part of it is seen: twice its side; None where that is most of it.

    >>> around(Box(100, 100, 140, 120), height=1000, width=2000)
    Box(top=80, left=70, bottom=160, right=150)
    """
    side = max(CROP, 2 * max(box.bottom - box.top, box.right - box.left))
    if side > CROPPED * max(height, width):
        return None
    top, bottom = _span((box.top + box.bottom) // 2, side, height)
    left, right = _span((box.left + box.right) // 2, side, width)
    return Box(top, left, bottom, right)


def heat(values: NDArray[np.floating[Any]]) -> Pixels:
    """A map (H, W) in [0, 1] as RGBA (4, H, W): clear where cold, then yellow, then red."""
    warm = np.clip(np.nan_to_num(np.asarray(values, dtype=np.float32)), 0.0, 1.0)
    red, green, blue = np.full_like(warm, 255.0), 225.0 * (1.0 - warm**1.5), np.full_like(warm, 30.0)
    return np.stack([red, green, blue, 190.0 * warm]).round().astype(np.uint8)


def address(image: Image.Image) -> str:
    """A picture as a JPEG data address."""
    buffer = io.BytesIO()
    image.save(buffer, format="JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def _span(middle: int, side: int, length: int) -> tuple[int, int]:
    start = min(max(0, middle - side // 2), max(0, length - side))
    return start, min(start + side, length)
