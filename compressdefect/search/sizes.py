"""Designs of different sizes beside each other, when all that is known of them is a short training.

After a few steps small designs are ahead, and at the end they are not. On the evaluation table (`benchmarks/`) scores
that allow for it rank designs better, and where the best score alone decides, small designs fill every place.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest

import numpy as np

SIZE_WEIGHT = 0.5
LIMITS = (0.5, 0.25)  # of trial 0's macs, at most, in the second tier and the third
TIERS = len(LIMITS) + 1


def tier_of(macs: int, most: int) -> int:
    """0 for a design over a half of ``most`` macs, 1 over a quarter, 2 below.

    >>> tier_of(60, 100), tier_of(50, 100), tier_of(20, 100)
    (0, 1, 2)
    """
    return sum(macs <= share * most for share in LIMITS)


def size_adjusted(scores: Sequence[float], params: Sequence[int], weight: float = SIZE_WEIGHT) -> list[float]:
    """Scores in [0, 1] of designs after a short training, less what small ones owe to learning fast.

    A design one standard deviation above the others in log params gets ``weight`` standard deviations of the scores.
    If the best of them comes to more than 1, all are lowered by what it is above.

    >>> size_adjusted([0.5, 0.7], [10, 1000])
    [0.45, 0.75]
    """
    sizes = np.log(np.maximum(params, 1))
    if len(scores) < 2 or not sizes.std():
        return list(scores)
    adjusted = np.array(scores) + weight * np.std(scores) * (sizes - sizes.mean()) / sizes.std()
    adjusted -= max(0.0, float(adjusted.max()) - 1)
    return [float(value) for value in np.maximum(adjusted, 0.0).round(12)]


def in_tiers(merits: Sequence[float], macs: Sequence[int], most: int) -> list[int]:
    """The order in which designs climb, as their indices: in turn the best not yet taken of each size.

    Sizes are over a half of ``most`` macs, over a quarter, and below. So what could end as the best is there, and so is
    what could take its place for less: small designs are ahead after a few steps and not at the end.

    >>> in_tiers([0.9, 0.8, 0.5, 0.7], [100, 90, 40, 20], most=100)
    [0, 2, 3, 1]
    """
    tiers: list[list[int]] = [[] for _ in range(TIERS)]
    for index in sorted(range(len(merits)), key=lambda index: -merits[index]):
        tiers[tier_of(macs[index], most)].append(index)
    return [index for turn in zip_longest(*tiers) for index in turn if index is not None]
