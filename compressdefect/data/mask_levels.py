"""What the levels of a mask picture stand for: one defect, or several classes in one picture."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FEW = 16  # levels; antialiasing and lossy compression leave more
APART = 32  # levels by which classes differ at least in a picture that has many


def coded_levels(levels: NDArray[np.uint8]) -> list[int]:
    """The levels of a mask (H, W), without 0, that each fill a square of 3 × 3 pixels somewhere.

    What antialiasing leaves lies along edges and fills none. Where lossy compression has left many levels, those that
    are close to each other, or to 0, are one.

    >>> coded_levels(np.repeat(np.repeat(np.array([[0, 50, 100]], dtype=np.uint8), 3, axis=0), 3, axis=1))
    [50, 100]
    """
    used = np.bincount(levels.ravel(), minlength=256)[1:].nonzero()[0] + 1
    if len(used) < 2:
        return [int(level) for level in used]
    middle = levels[1:-1, 1:-1]
    flat = np.ones(middle.shape, dtype=np.bool_)
    for row in range(3):
        for column in range(3):
            flat &= levels[row : row + middle.shape[0], column : column + middle.shape[1]] == middle
    found: list[int] = []
    for level in np.unique(middle[flat & (middle > 0)]).tolist():
        if len(used) <= FEW or level - (found[-1] if found else 0) >= APART:
            found.append(level)
    return found
