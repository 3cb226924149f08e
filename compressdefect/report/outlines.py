"""Where a defect is and where the model sees one, as outlines to lay over an image."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, binary_erosion

TRUE, ANSWER = (0, 200, 255), (255, 120, 0)
"""Colours: blue around what is there, orange inside the border of the model's answer."""


def outlines(truth: NDArray[np.bool_], answer: NDArray[np.bool_], side: int) -> NDArray[np.uint8]:
    """A see-through layer, RGBA (4, H, W), with the outlines of two masks (H, W).

    The true outline runs just outside its mask and the answer one just inside, so both are seen where they agree, and a
    single pixel has an outline too. They are as thick as still shows when the layer is scaled down to ``side`` pixels;
    small masks are enlarged first, each pixel to a square, so that the outlines are fine lines.
    """
    times = max(1, side // max(truth.shape))
    truth, answer = (mask.repeat(times, axis=0).repeat(times, axis=1) for mask in (truth, answer))
    width = math.ceil(1.5 * max(truth.shape) / side)
    around = binary_dilation(truth, iterations=width) & ~truth
    inside = answer & ~binary_erosion(answer, iterations=width)
    layer = np.zeros((4, *truth.shape), dtype=np.uint8)
    for where, color in ((inside, ANSWER), (around, TRUE)):
        layer[:, where] = np.array([*color, 255], dtype=np.uint8)[:, None]
    return layer
