"""Figures of a classifier on a set of images, and how sure one can be of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest, rankdata

CONFIDENCE = 0.95


def confusion(probabilities: NDArray[np.floating], targets: NDArray[np.integer]) -> NDArray[np.int64]:
    """Count images by true class (rows) and predicted class (columns): (n, K), (n,) → (K, K)."""
    classes = probabilities.shape[1]
    pairs = targets.astype(np.int64) * classes + probabilities.argmax(axis=1)
    return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)


def accuracy(table: NDArray[np.int64]) -> float:
    """Share of images on the diagonal of a confusion table; nan when it is empty."""
    return float(table.trace() / table.sum()) if table.any() else float("nan")


def balanced_accuracy(table: NDArray[np.int64]) -> float:
    """Mean recall over the classes that occur in a confusion table; nan when none does."""
    support = table.sum(axis=1)
    seen = support > 0
    return float((table.diagonal()[seen] / support[seen]).mean()) if seen.any() else float("nan")


def area_under_roc(scores: NDArray[np.floating], positive: NDArray[np.bool_]) -> float:
    """The chance that a positive outscores a negative, ties counting half; nan where there are not both.

    Args:
        scores: (n,), higher speaks for positive.
        positive: (n,).

    >>> area_under_roc(np.array([0.1, 0.4, 0.35, 0.8]), np.array([False, False, True, True]))  # scikit-learn's example
    0.75
    """
    n, n_positive = len(scores), int(np.count_nonzero(positive))
    if n_positive in (0, n):
        return float("nan")
    above = rankdata(scores)[positive].sum() - n_positive * (n_positive + 1) / 2  # Mann and Whitney's U
    return float(above / (n_positive * (n - n_positive)))


def wilson_interval(hits: int, n: int) -> tuple[float, float]:
    """Wilson's 95 % score interval of a proportion; the whole of [0, 1] when nothing was tried.

    >>> low, high = wilson_interval(81, 263)  # Newcombe (1998), table I
    >>> round(low, 4), round(high, 4)
    (0.2553, 0.3662)
    """
    if n == 0:
        return 0.0, 1.0
    found = binomtest(hits, n).proportion_ci(confidence_level=CONFIDENCE, method="wilson")
    return float(found.low), float(found.high)


def interval(
    hits: NDArray[np.bool_], groups: NDArray[np.integer] | None = None, *, resamples: int = 2000
) -> tuple[float, float]:
    """95 % interval of the share of hits: Wilson's, widened where images come in groups.

    Images of one group (duplicates, exposures of one part) are not independent. Where there are such groups the
    interval is made to hold a bootstrap over whole groups too; where every group agrees the bootstrap has no
    width, and the groups are counted as if each were one image.

    Args:
        hits: per image (n,), true where the verdict is right (or wrong: whatever the share counts).
        groups: group number per image (n,); None when every image is on its own.
        resamples: bootstrap samples, drawn with a fixed seed.
    """
    low, high = wilson_interval(int(hits.sum()), len(hits))
    if groups is None or len(hits) == 0:
        return low, high
    _, member = np.unique(groups, return_inverse=True)
    size = np.bincount(member)
    if size.max() == 1:
        return low, high
    if hits.all() or not hits.any():
        return wilson_interval(len(size) if hits.all() else 0, len(size))
    weights = np.random.default_rng(0).multinomial(len(size), np.full(len(size), 1 / len(size)), size=resamples)
    shares = (weights @ np.bincount(member, weights=hits)) / (weights @ size)
    tail = (1 - CONFIDENCE) / 2
    return min(low, float(np.quantile(shares, tail))), max(high, float(np.quantile(shares, 1 - tail)))


def rate(
    hits: NDArray[np.bool_], among: NDArray[np.bool_], groups: NDArray[np.integer] | None = None
) -> tuple[float | None, tuple[float, float] | None]:
    """The share of hits (n,) among the images that ``among`` (n,) names, and its ``interval``; None without any."""
    if not among.any():
        return None, None
    return float(hits[among].mean()), interval(hits[among], None if groups is None else groups[among])
