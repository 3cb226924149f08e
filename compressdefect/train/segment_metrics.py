"""How well masks agree, pixel by pixel, and what that says of whole images."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from compressdefect.train.metrics import CONFIDENCE, rate


class Counts(NamedTuple):
    """Pixels by class, (…, K) with the background first: found where they are, found at all, there at all."""

    hit: NDArray[np.int64]
    predicted: NDArray[np.int64]
    labelled: NDArray[np.int64]

    def pooled(self) -> Counts:
        """The counts of all images together: (n, K) → (K,)."""
        return Counts(*(count.sum(axis=0) for count in self))


class Overlap(NamedTuple):
    """Dice and IoU: of each class (K,), nan where it is neither there nor found; means over the defect classes."""

    dice: NDArray[np.float64]
    iou: NDArray[np.float64]

    @property
    def mean_dice(self) -> float:
        """Mean Dice over the defect classes that are there or found; nan when none is."""
        return _mean(self.dice[1:])

    @property
    def mean_iou(self) -> float:
        """Mean IoU over the defect classes that are there or found; nan when none is."""
        return _mean(self.iou[1:])


def overlap(counts: Counts) -> Overlap:
    """Dice = 2·hit / (predicted + labelled) and IoU = hit / (predicted + labelled − hit) of a set of images.

    Pixels are pooled over the set: an image with an empty mask adds nothing but its false alarms, and each defect
    weighs as much as its area. So no convention is needed for the Dice of an image in which nothing is to be found.

    Args:
        counts: (n, K), or pooled (K,).

    >>> both = overlap(Counts(*(np.array([n]) for n in ([90, 6], [92, 8], [92, 8]))))
    >>> float(both.dice[1]), float(both.iou[1])
    (0.75, 0.6)
    """
    hit, predicted, labelled = counts.pooled() if counts.hit.ndim == 2 else counts
    total = predicted + labelled
    with np.errstate(invalid="ignore"):
        return Overlap(2 * hit / total, hit / (total - hit))


def overlap_intervals(
    counts: Counts, groups: NDArray[np.integer] | None = None, *, resamples: int = 1000
) -> tuple[tuple[float, float], tuple[float, float]] | None:
    """95 % intervals of mean Dice and mean IoU: a percentile bootstrap over images, whole groups at a time.

    A set on which every group agrees has an interval without width, whatever its size. None where no defect is there
    or found.

    Args:
        counts: (n, K).
        groups: group number per image (n,); None when every image is on its own.
        resamples: bootstrap samples, drawn with a fixed seed.
    """
    _, member = np.unique(np.arange(len(counts.hit)) if groups is None else groups, return_inverse=True)
    size = int(member.max(initial=-1)) + 1
    if not size or np.isnan(overlap(counts).mean_dice):
        return None
    flat = np.concatenate(counts, axis=1)
    by_group = np.stack([np.bincount(member, weights=column, minlength=size) for column in flat.T], axis=1)
    rng, means = np.random.default_rng(0), []
    for _ in range(resamples):
        drawn = overlap(Counts(*np.split(rng.multinomial(size, np.full(size, 1 / size)) @ by_group, 3)))
        means.append((drawn.mean_dice, drawn.mean_iou))
    tail = (1 - CONFIDENCE) / 2
    (dice_low, iou_low), (dice_high, iou_high) = np.nanquantile(means, [tail, 1 - tail], axis=0)
    return (float(dice_low), float(dice_high)), (float(iou_low), float(iou_high))


class Detection(NamedTuple):
    """Whole images: called defective when any of their pixels is; a rate is None where there is no such image.

    ``tpr`` is the share of defective images called so, ``tnr`` that of good ones called good.
    """

    tpr: float | None
    tnr: float | None
    tpr_interval: tuple[float, float] | None
    tnr_interval: tuple[float, float] | None

    @property
    def macc(self) -> float | None:
        """Mean of TPR and TNR, mAcc (Huang et al., 2020, equation 8)."""
        return None if self.tpr is None or self.tnr is None else (self.tpr + self.tnr) / 2


def detection(
    called: NDArray[np.bool_], defective: NDArray[np.bool_], groups: NDArray[np.integer] | None = None
) -> Detection:
    """TPR and TNR of images (n,), with 95 % intervals (over groups where images come in groups)."""
    tpr, tnr = rate(called, defective, groups), rate(~called, ~defective, groups)
    return Detection(tpr[0], tnr[0], tpr[1], tnr[1])


def detection_accuracy(called: NDArray[np.bool_], defective: NDArray[np.bool_]) -> float:
    """A = 1 − [(N_lab − N_det_lab) + (N_det − N_det_lab)] / N (equation 10), of images (n,); nan when there is none.

    N_lab images are defective, N_det are called so and N_det_lab are both: what is taken off are misses and false
    alarms.

    >>> detection_accuracy(np.array([True, True, False, False]), np.array([True, False, True, False]))
    0.5
    """
    both = int((called & defective).sum())
    wrong = (int(defective.sum()) - both) + (int(called.sum()) - both)
    return 1 - wrong / len(called) if len(called) else float("nan")


def _mean(values: NDArray[np.float64]) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")
