"""What the levels of a mask picture stand for: one defect, or several classes in one picture.

Three kinds are found. One defect is drawn at one level, perhaps with soft edges, or with the noise of lossy compression
near 0 and near that level. Class numbers are small, 1, 2, 3, perhaps with 255 for what nobody decided. Or classes are
spread out to be seen: 50, 100, 150, 200.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

FEW = 16  # levels; antialiasing and lossy compression leave more
APART = 32  # levels by which classes differ at least, from each other and from 0, in a picture that has many
HALF = 128  # of 255: a pixel of a soft edge that is covered by half
NOISE = 8  # levels by which compression changes a plain area

_COMPARED = 256  # rows and columns, at most, that tell a copy


class Marking(NamedTuple):
    """From which level on a mask's pixels are defect, and the levels of its classes, none if it shows but one."""

    lowest: int
    classes: tuple[int, ...] = ()


def marking(levels: NDArray[np.uint8]) -> Marking:
    """How to read a mask (H, W): every class counts, and what is left of a soft edge or of compression does not.

    Of one defect the pixels from 128 on count, or all but 0 where none reaches 128. Of several classes those from half
    the lowest on; classes that are numbered count from 1.

    >>> spread = np.repeat(np.repeat(np.array([[0, 50, 200]], dtype=np.uint8), 3, axis=0), 3, axis=1)
    >>> marking(spread), marking(np.minimum(spread, 50)), marking(np.maximum(spread, 1))
    (Marking(lowest=25, classes=(50, 200)), Marking(lowest=1, classes=()), Marking(lowest=1, classes=(1, 50, 200)))
    """
    used, coded = levels_of(levels), coded_levels(levels)
    several = tuple(coded) if len(coded) > 1 else ()
    if not used or used[-1] < HALF:
        return Marking(1, several)
    spread = tuple(level for level in coded if level >= APART)
    if several and _is_exact(used, spread):
        return Marking(1 if coded[0] < APART else (coded[0] + 1) // 2, several)
    return Marking((spread[0] + 1) // 2, spread) if len(spread) > 1 else Marking(HALF)


def _is_exact(used: list[int], spread: tuple[int, ...]) -> bool:
    """Whether a mask has plain areas alone, without the levels that soft edges and compression leave."""
    return (
        len(used) <= FEW and spread == tuple(level for level in used if level >= APART) and used[-1] - used[-2] >= NOISE
    )


def marked(levels: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Which pixels of a mask (H, W) are defect, as ``marking`` tells."""
    return levels >= marking(levels).lowest


def coded_levels(levels: NDArray[np.uint8]) -> list[int]:
    """The levels of a mask (H, W), without 0, that each fill a square of 3 × 3 pixels somewhere.

    What antialiasing leaves lies along edges and fills none. Where lossy compression has left many levels, those that
    are close to each other, or to 0, are one.

    >>> coded_levels(np.repeat(np.repeat(np.array([[0, 50, 100]], dtype=np.uint8), 3, axis=0), 3, axis=1))
    [50, 100]
    """
    used = levels_of(levels)
    if len(used) < 2:
        return used
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


def levels_of(levels: NDArray[np.uint8]) -> list[int]:
    """The levels that a mask uses, without 0, rising."""
    return [int(level) + 1 for level in np.bincount(levels.ravel(), minlength=256)[1:].nonzero()[0]]


def is_copy(levels: NDArray[np.uint8], pixels: NDArray[np.uint8]) -> bool:
    """Whether a mask (H, W) shows the image (H, W, C) itself, perhaps compressed: no mask has its shades."""
    rows, columns = (slice(None, None, 1 + side // _COMPARED) for side in levels.shape)
    mask = levels[rows, columns].astype(np.float64)
    image = pixels[rows, columns].max(axis=2).astype(np.float64)
    shades = (mask >= NOISE) & (mask < mask.max() - NOISE)
    if shades.mean() < _SHADED or np.abs(mask - image).mean() > _CLOSE or image.std() == 0:
        return False
    return bool(np.corrcoef(mask.ravel(), image.ravel())[0, 1] >= _ALIKE)


_SHADED = 0.2  # of a picture that is neither black nor as bright as its brightest; of a mask these are edges
_CLOSE, _ALIKE = 12.0, 0.9  # mean difference in levels, and correlation, of a picture and its copy
