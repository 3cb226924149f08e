"""The brightness of a dataset's pixels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from compressdefect.data.images import Images


def pixel_statistics(images: Images, indices: NDArray[np.int64]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel over some images or their tiles, on the scale 0..255."""
    sums, rows = np.zeros((2, images.shape[0])), images.rows(indices)
    for start in range(0, len(rows), 64):
        pixels = images.pixels[rows[start : start + 64]].astype(np.float32)
        sums += pixels.sum(axis=(0, 2, 3), dtype=np.float64), np.square(pixels).sum(axis=(0, 2, 3), dtype=np.float64)
    mean, square = sums / (len(rows) * images.shape[1] * images.shape[2])
    std = np.sqrt(np.maximum(square - mean**2, 1.0))
    return tuple(map(float, mean)), tuple(map(float, std))
