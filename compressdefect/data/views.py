"""What differs between images of one fixed view: parts in one fixture look alike, and only this tells them apart.

From each image the median of all is subtracted, under the light and at the place that fit the image best: a constant
and the median, both also sloping across the image, and the median's derivatives, which shift it by about a pixel. Two
photographs of one part agree in what is left, two parts do not.
"""

from __future__ import annotations

import numpy as np
from scipy.linalg import orth

MIN_CORRELATION = 0.6  # of what is left, much of which is noise; of different parts it hardly exceeds 0.5
_BLOCK = 1024

Pair = tuple[int, int, float]


def pairs_by_what_differs(thumbnails: np.ndarray, *, limit: int) -> list[Pair] | None:
    """Pairs (i, j, correlation), i < j, of thumbnails uint8 (N, T, T) of one view that differ from it alike.

    None if there are more than ``limit``.
    """
    known = _view(thumbnails)
    pairs: list[Pair] = []
    for start in range(0, len(thumbnails), _BLOCK):
        rows = what_differs(thumbnails[start : start + _BLOCK], known)
        for other in range(start, len(thumbnails), _BLOCK):
            columns = rows if other == start else what_differs(thumbnails[other : other + _BLOCK], known)
            correlation = rows @ columns.T
            i, j = np.nonzero(np.triu(correlation >= MIN_CORRELATION, k=start - other + 1))
            if len(pairs) + len(i) > limit:
                return None
            pairs += zip((i + start).tolist(), (j + other).tolist(), correlation[i, j].tolist(), strict=True)
    return pairs


def what_differs(thumbnails: np.ndarray, known: np.ndarray) -> np.ndarray:
    """What is left of thumbnails (N, T, T) without the span of ``known`` (T·T, K): float32 (N, T·T) of length 1."""
    flat = thumbnails.reshape(len(thumbnails), -1).astype(np.float32)
    flat -= flat @ known @ known.T
    flat /= np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-6)
    return flat


def _view(thumbnails: np.ndarray) -> np.ndarray:
    """Orthonormal columns float32 (T·T, K ≤ 8) that span what a view shows in any light, or shifted."""
    median = np.median(thumbnails, axis=0)
    y, x = np.meshgrid(*(np.linspace(-1, 1, side) for side in median.shape), indexing="ij")
    parts = [np.ones_like(median), y, x, median, y * median, x * median, *np.gradient(median)]
    return orth(np.stack([part.ravel() for part in parts], axis=1)).astype(np.float32)
