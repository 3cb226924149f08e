"""An image with its annotations drawn on it, small enough for a page or a contact sheet."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from PIL import Image, ImageDraw
from scipy.ndimage import binary_erosion

from compressdefect.data.audit.scan import box_fits, extent
from compressdefect.data.marks.shapes import Box
from compressdefect.data.pixels import resize_mask, to_channels
from compressdefect.data.sample import Region
from compressdefect.errors import DataError

Colour = tuple[int, int, int]

COLOURS: tuple[Colour, ...] = (
    (217, 73, 75),
    (47, 125, 225),
    (31, 157, 139),
    (217, 130, 43),
    (154, 111, 216),
    (196, 84, 160),
    (120, 160, 40),
)
_TINT = 0.45  # how much of a mask's colour covers the image
_ROOM = 0.25  # of the side: how far outside the image a box is still drawn
_PAPER: Colour = (128, 128, 128)


def annotated(
    pixels: np.ndarray, regions: Iterable[Region] | None, side: int, classes: Sequence[str] = ()
) -> Image.Image:
    """An image uint8 (H, W, C) with its regions, fitted into ``side`` × ``side``; colours go by index in ``classes``.

    Masks are tinted and never vanish by shrinking; boxes and outlines that leave the image are drawn on grey around
    it. A mask that cannot be read is left out.
    """
    picture = Image.fromarray(to_channels(pixels, 3))
    picture.thumbnail((side, side), Image.Resampling.BOX if max(picture.size) > 2 * side else Image.Resampling.LANCZOS)
    size = pixels.shape[0], pixels.shape[1]
    boxes = []
    for region in regions or ():
        colour = colour_of(region.label, classes)
        box = extent(region, size)
        if box is not None and (isinstance(region.shape, Box) or not box_fits(box, size)):
            boxes.append((box, colour))
        if not isinstance(region.shape, Box):
            mask = _small_mask(region, size, picture)
            picture = picture if mask is None else tinted(picture, mask, colour)
    return framed(picture, boxes, picture.width / size[1])


def colour_of(label: str, classes: Sequence[str]) -> Colour:
    """The colour in which regions of a class are drawn."""
    return COLOURS[classes.index(label) % len(COLOURS) if label in classes else 0]


def tinted(picture: Image.Image, mask: np.ndarray, colour: Colour) -> Image.Image:
    """An RGB picture whose pixels in ``mask`` bool (H, W) are tinted, those at its border fully."""
    values = np.asarray(picture).astype(np.float32)
    values[mask] = (1 - _TINT) * values[mask] + _TINT * np.array(colour, dtype=np.float32)
    values[mask & ~binary_erosion(mask)] = colour
    return Image.fromarray(values.round().astype(np.uint8))


def framed(picture: Image.Image, boxes: Sequence[tuple[Box, Colour]], scale: float = 1.0) -> Image.Image:
    """An RGB picture with boxes in pixels divided by ``scale``, and with grey around it where they leave it."""
    if not boxes:
        return picture
    corners = np.array([(box.x0, box.y0, box.x1, box.y1) for box, _ in boxes]) * scale
    room = _ROOM * max(picture.size)
    left, top = (int(min(room, max(0.0, -corners[:, axis].min()))) for axis in (0, 1))
    right, bottom = (int(min(room, max(0.0, corners[:, 2 + axis].max() - picture.size[axis] - 1))) for axis in (0, 1))
    margins = [margin + 3 if margin else 0 for margin in (left, top, right, bottom)]
    size = picture.width + margins[0] + margins[2], picture.height + margins[1] + margins[3]
    canvas = Image.new("RGB", size, _PAPER)
    canvas.paste(picture, (margins[0], margins[1]))
    pen = ImageDraw.Draw(canvas)
    shift = np.array([margins[0], margins[1], margins[0] - 1, margins[1] - 1])
    for corner, (_, colour) in zip(corners, boxes, strict=True):
        x0, y0, x1, y1 = np.clip(corner + shift, -2, [*size, *size]).tolist()
        pen.rectangle((min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)), outline=colour, width=2)
    return canvas


def _small_mask(region: Region, size: tuple[int, int], picture: Image.Image) -> np.ndarray | None:
    try:
        mask = region.shape.rasterize(*size)
    except (DataError, OSError, ValueError, MemoryError):
        return None
    return resize_mask(mask.astype(np.uint8), picture.height, picture.width).astype(bool)
