"""Images in memory at another size, for trainings that are only to compare designs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from compressdefect.data.images import Images
from compressdefect.data.pixels import resize, resize_mask


def at_side(images: Images, side: int) -> Images:
    """The same images at a height and width of ``side``, with their masks and boxes; they may not be tiled."""
    assert images.sizes is None
    height, width = images.shape[1:]
    if (height, width) == (side, side):
        return images
    pixels = [resize(image.transpose(1, 2, 0), side, side).transpose(2, 0, 1) for image in images.pixels]
    masks = None if images.masks is None else np.stack([resize_mask(mask, side, side) for mask in images.masks])
    scale = np.array([side / width, side / height, side / width, side / height, 1], dtype=np.float32)
    boxes = None if images.boxes is None else tuple(found * scale for found in images.boxes)
    return replace(images, pixels=np.stack(pixels), masks=masks, boxes=boxes)
