"""Moving a picture by one sampling grid: its pixels, its mask and its boxes alike.

``points`` float32 (N, 2, H, W) say for each pixel of the result where it comes from: x, then y, both from -1 at the
first edge of the picture to 1 at the last. What lies outside is mirrored at the edge, in the mask too. The planes of
x and y stay apart because arithmetic on them is several times faster than on pairs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor
from torch.nn.functional import grid_sample


def still_points(count: int, height: int, width: int) -> Tensor:
    """Points (count, 2, height, width) that leave every pixel where it is."""
    x = (2 * torch.arange(width) + 1) / width - 1
    y = (2 * torch.arange(height) + 1) / height - 1
    return torch.stack([x.expand(height, width), y[:, None].expand(height, width)]).repeat(count, 1, 1, 1)


def sample_pixels(pixels: Tensor, points: Tensor) -> Tensor:
    """Pixels uint8 (N, C, H, W) at ``points``, bilinear, as float32 from 0 to 255."""
    return _sample(pixels.float(), points, "bilinear")


def sample_masks(masks: Tensor, points: Tensor) -> Tensor:
    """Masks of whole numbers (N, H, W) at ``points``: each pixel is of the class of the nearest."""
    return _sample(masks[:, None].float(), points, "nearest")[:, 0].to(masks.dtype)


def move_boxes(boxes: Sequence[Tensor], points: Tensor) -> list[Tensor]:
    """Boxes around what the boxes of each picture cover after sampling it at ``points``.

    A box follows the area that it encloses, not its corners, so it stays around the defect whatever the warp. A box
    that is seen twice, because the picture was mirrored at its edge, gives two; one that is out of sight gives none.

    Args:
        boxes: per picture (n, 4 + k): x0, y0, x1, y1 in pixels, then anything that stays with the box.
        points: (N, 2, H, W).

    Returns:
        As ``boxes``, in whole pixels, in the same order.
    """
    height, width = points.shape[2:]
    folded = 1 - ((points + 1) % 4 - 2).abs()
    sides = torch.tensor([width, height]).view(1, 2, 1, 1)
    places = (folded + 1) / 2 * sides
    return [_moved(rows, place) for rows, place in zip(boxes, places, strict=True)]


def _moved(boxes: Tensor, places: Tensor) -> Tensor:
    """The boxes (n, 4 + k) of one picture, whose pixels come from ``places`` (2, H, W) in pixels."""
    moved = []
    for box in boxes:
        parts, _ = ndimage.label(_covered(box, places).numpy(), structure=np.ones((3, 3)))
        for y, x in ndimage.find_objects(parts):
            moved.append(torch.cat([box.new_tensor([x.start, y.start, x.stop, y.stop]), box[4:]]))
    return torch.stack(moved) if moved else boxes[:0]


def _covered(box: Tensor, places: Tensor) -> Tensor:
    """Which pixels come from inside the box, or from 2 × 2 pixels at its centre where it is too small to be hit."""
    first, last = box[:2].view(2, 1, 1), box[2:4].view(2, 1, 1)
    inside = ((places >= first) & (places <= last)).all(dim=0)
    if inside.any():
        return inside
    margin = (1 - (last - first) / 2).clamp(min=0)
    return ((places >= first - margin) & (places <= last + margin)).all(dim=0)


def _sample(values: Tensor, points: Tensor, mode: Literal["bilinear", "nearest"]) -> Tensor:
    grid = points.permute(0, 2, 3, 1)
    return grid_sample(values, grid, mode=mode, padding_mode="reflection", align_corners=False)


def to_uint8(values: Tensor) -> Tensor:
    """The nearest of the 256 levels."""
    return values.round().clamp_(0, 255).to(torch.uint8)
