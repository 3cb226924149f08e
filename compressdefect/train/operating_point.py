"""Where a line sets its threshold, and what that costs: good parts rejected, defects passed.

A part's defect score is 1 − p(good), of a segmentation the largest of any pixel; the part is rejected when its score is
*above* the threshold. Overkill is the share of good parts rejected, escape the share of defective parts passed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from compressdefect.data.verdict import rejected
from compressdefect.errors import DataError
from compressdefect.train.metrics import rate

OVERKILL = 0.01
AIMS = (0.005, 0.01, 0.02, 0.05)
"""The overkills for which a threshold is kept, beside the one that is asked for."""


class Choice(NamedTuple):
    """The threshold for an overkill of ``aim``, and how many of the good parts it was chosen by it rejects."""

    aim: float
    threshold: float
    rejected: int
    good: int


@dataclass(frozen=True)
class OperatingPoint:
    """A threshold and its error rates on one set of images; a rate is None where no such image is in the set.

    ``choices`` holds other thresholds that these images would have given, where it was chosen on them.
    """

    threshold: float
    overkill: float | None
    escape: float | None
    overkill_interval: tuple[float, float] | None
    escape_interval: tuple[float, float] | None
    choices: tuple[Choice, ...] = ()


def choose_threshold(scores: NDArray[np.floating], is_good: NDArray[np.bool_], *, overkill: float = OVERKILL) -> float:
    """Choose the threshold that passes the fewest defects while it rejects at most this share of the good parts.

    Of n good parts, ⌊overkill · n⌋ may be rejected: below 1/overkill good parts (100 for 1 %) none. The threshold
    lies halfway between the highest score that must pass and the next higher score of any part, or 1 when there
    is none. Every threshold in that gap gives the same verdicts here; its middle keeps the most room on both sides
    for parts not yet seen, which matters when a few good parts stand for all of them.

    Args:
        scores: defect scores (n,) in [0, 1] on validation images.
        is_good: which of them are good (n,).
        overkill: highest share of good parts rejected, in [0, 1).

    Raises:
        DataError: there is no good image to choose by.

    >>> choose_threshold(np.array([0.1, 0.2, 0.6, 0.9]), np.array([True, True, False, False]))
    0.4
    """
    assert np.isfinite(scores).all(), "a defect score is not finite"
    good = np.sort(scores[is_good])[::-1]
    if not len(good):
        raise DataError(
            "no good image to choose the threshold by", got=f"{len(scores)} defective", fix="raise --val-share"
        )
    highest_passed = float(good[math.floor(overkill * len(good) + 1e-9)])
    above = scores[scores > highest_passed]
    return (highest_passed + (float(above.min()) if len(above) else 1.0)) / 2


def choices(
    scores: NDArray[np.floating], is_good: NDArray[np.bool_], aims: Iterable[float] = AIMS
) -> tuple[Choice, ...]:
    """The thresholds that images (n,) give for several overkills, by rising overkill.

    Raises:
        DataError: there is no good image to choose by.

    >>> [c.threshold for c in choices(np.array([0.25, 0.5, 1.0]), np.array([True, True, False]), [0.0, 0.5])]
    [0.75, 0.375]
    """
    found = [(aim, choose_threshold(scores, is_good, overkill=aim)) for aim in sorted(set(aims))]
    passed = scores[is_good]
    return tuple(Choice(aim, t, int(rejected(passed, t).sum()), len(passed)) for aim, t in found)


def operating_point(
    scores: NDArray[np.floating],
    is_good: NDArray[np.bool_],
    threshold: float,
    groups: NDArray[np.integer] | None = None,
) -> OperatingPoint:
    """Error rates of a threshold on images (n,), with 95 % intervals (over groups where images come in groups)."""
    reject = rejected(scores, threshold)
    overkill, escape = rate(reject, is_good, groups), rate(~reject, ~is_good, groups)
    return OperatingPoint(threshold, overkill[0], escape[0], overkill[1], escape[1])


def settle(
    scores: NDArray[np.floating],
    is_good: NDArray[np.bool_],
    threshold: float | None,
    groups: NDArray[np.integer] | None,
    *,
    overkill: float,
    choose: bool,
) -> OperatingPoint | None:
    """The operating point of a given threshold or, where ``choose`` allows it, of one chosen on these images.

    None where there is no threshold, and no good image to choose one by.
    """
    if threshold is None:
        if not choose or not is_good.any():
            return None
        point = operating_point(scores, is_good, choose_threshold(scores, is_good, overkill=overkill), groups)
        return replace(point, choices=choices(scores, is_good, (*AIMS, overkill)))
    return operating_point(scores, is_good, threshold, groups)


def caught(scores: NDArray[np.floating], is_good: NDArray[np.bool_], *, overkill: float) -> float:
    """1 − escape at the allowed overkill, both on these images.

    Raises:
        DataError: all of them are good, or none is.
    """
    check_both_kinds(is_good)
    threshold = choose_threshold(scores, is_good, overkill=overkill)
    return float(rejected(scores[~is_good], threshold).mean())


def check_both_kinds(is_good: NDArray[np.bool_]) -> None:
    """Refuse images (n,) that give no escape at an allowed overkill, whatever is answered.

    Raises:
        DataError: all of them are good, or none is.
    """
    good, defective = int(is_good.sum()), int((~is_good).sum())
    if not good or not defective:
        raise DataError(
            "no defective image to count escapes of" if good else "no good image to choose the threshold by",
            got=f"{good} good, {defective} defective",
            fix="raise --val-share, or choose another --metric",
        )


def figures(point: OperatingPoint | None) -> dict[str, Any]:
    """A point as every task reports it; every value is None where there is none, and ``choices`` is empty."""
    return {
        "threshold": point.threshold if point else None,
        "escape": point.escape if point else None,
        "overkill": point.overkill if point else None,
        "escape_interval": list(point.escape_interval) if point and point.escape_interval else None,
        "overkill_interval": list(point.overkill_interval) if point and point.overkill_interval else None,
        "choices": [choice._asdict() for choice in point.choices] if point else [],
    }
