"""From one kind of annotation to another: mask to boxes, regions to a mask of classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from compressdefect.data.marks.levels import is_copy, marking
from compressdefect.data.marks.shapes import Box, Ellipse, Mask, MaskFile, Polygon
from compressdefect.data.sample import Region
from compressdefect.errors import DataError

MAX_CLASSES = 255

_EIGHT_NEIGHBOURS = np.ones((3, 3), dtype=np.bool_)


class CopyError(DataError):
    """What should be a mask shows the image itself."""


class ReadMask(NamedTuple):
    """The defect's pixels, bool (H, W), and the levels of the classes that the file shows if it shows several."""

    pixels: Mask
    classes: tuple[int, ...]


def read_mask(shape: MaskFile, pixels: NDArray[np.uint8]) -> ReadMask:
    """Read the mask of an image (H, W, C).

    Raises:
        DataError: The file cannot be read.
        SizeMismatchError: It is a mask of another size.
        CopyError: It is no mask.
    """
    levels = shape.levels(*pixels.shape[:2])
    if is_copy(levels, pixels):
        raise CopyError(f"the mask {shape.path.name} is no mask", got="it is a copy of the image", fix="remove it")
    lowest, classes = marking(levels)
    return ReadMask(levels >= lowest, classes)


def boxes_of(mask: Mask) -> list[Box]:
    """The box around each connected part (8 neighbours) of a mask, bool (H, W), from top to bottom.

    >>> boxes_of(np.array([[1, 0, 0], [0, 1, 0], [0, 0, 0], [1, 0, 0]], dtype=bool))[1]
    Box(x0=0, y0=3, x1=1, y1=4, relative=False)
    """
    from scipy import ndimage

    parts, _ = ndimage.label(mask, structure=_EIGHT_NEIGHBOURS)
    return [Box(columns.start, rows.start, columns.stop, rows.stop) for rows, columns in ndimage.find_objects(parts)]


def region_boxes(region: Region, height: int, width: int) -> list[Box]:
    """The boxes of a region in pixels of an image of this size, uncut: its own, or those around what it covers.

    Raises:
        DataError: Its mask cannot be read or is one of another size.
    """
    shape = region.shape
    if isinstance(shape, Box):
        return [shape.in_pixels(height, width)]
    if isinstance(shape, Polygon):
        xs, ys = zip(*(point for part in shape.in_pixels(height, width).parts for point in part), strict=True)
        return [Box(min(xs), min(ys), max(xs), max(ys))]
    return boxes_of(shape.rasterize(height, width))


def mask_of(regions: Sequence[Region], height: int, width: int, classes: Sequence[str]) -> NDArray[np.uint8]:
    """Draw regions as a mask of classes, uint8 (H, W): 0 is background, 1 + i the i-th of ``classes``.

    Regions of other classes are left out. Where some overlap, the smallest has the pixel.

    Raises:
        DataError: A mask cannot be read or is one of another size, or a shape lies outside the image.
    """
    if len(classes) > MAX_CLASSES:
        raise DataError(f"a mask holds at most {MAX_CLASSES} classes", got=len(classes), fix="merge some with --labels")
    wanted = [region for region in regions if region.label in classes]
    if len(wanted) > 1:  # drawn twice, since hundreds of masks of a large image do not fit in memory together
        wanted.sort(key=lambda region: -np.count_nonzero(region.shape.rasterize(height, width)))
    mask = np.zeros((height, width), dtype=np.uint8)
    for region in wanted:
        drawn = region.shape.rasterize(height, width)
        if isinstance(region.shape, Box | Polygon | Ellipse) and not drawn.any():
            raise DataError("an annotation cannot be used", got=f"{region.label} is marked outside the image")
        mask[drawn] = 1 + classes.index(region.label)
    return mask
