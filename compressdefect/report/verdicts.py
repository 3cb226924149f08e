"""What the delivered model decides on the test images at its threshold, where that is wrong, and where nearly so."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from compressdefect.data.verdict import defect_scores, rejected
from compressdefect.report.evidence import Predictions

ESCAPE, OVERKILL, CONFUSION = "escape", "overkill", "confusion"
"""Mistakes in the order of what they cost: a defect passed, a good part rejected, a defect of another class."""


NEAR_ESCAPE, NEAR_OVERKILL, NEAR_CONFUSION = "near-escape", "near-overkill", "near-confusion"
"""Right verdicts that were nearly wrong: a defect hardly rejected, a good part hardly passed, a class hardly named."""

NEAR = 8


class Mistake(NamedTuple):
    """One wrong answer, or one nearly so; ``score`` is the probability of a defect, or that of the class named.

    ``answer`` is the class given; of a near confusion it is the runner-up, of near overkill the likeliest defect.
    """

    kind: str
    row: int
    name: str
    label: int
    answer: int
    score: float


def answers(predictions: Predictions, good: int | None) -> NDArray[np.int64]:
    """The class (n,) of each image: the most probable one or, with a threshold, good below it and else a defect."""
    probabilities, threshold = predictions.probabilities, predictions.threshold
    if good is None or threshold is None:
        return probabilities.argmax(axis=1).astype(np.int64)
    defects = probabilities.copy()
    defects[:, good] = -np.inf
    reject = rejected(defect_scores(probabilities, good), threshold)
    return np.where(reject, defects.argmax(axis=1), good).astype(np.int64)


def confusion_counts(predictions: Predictions, good: int | None) -> NDArray[np.int64]:
    """How many images of each class (rows) got each answer (columns)."""
    classes = predictions.probabilities.shape[1]
    cells = predictions.labels * classes + answers(predictions, good)
    return np.bincount(cells, minlength=classes * classes).reshape(classes, classes).astype(np.int64)


def mistakes(predictions: Predictions, good: int | None) -> list[Mistake]:
    """Every wrong answer: escapes first, then overkill, then confusions; the most confident ones first in each."""
    given = answers(predictions, good)
    wrong = [_mistake(predictions, given, good, int(i)) for i in np.flatnonzero(given != predictions.labels)]
    order = (ESCAPE, OVERKILL, CONFUSION)
    return sorted(wrong, key=lambda m: (order.index(m.kind), m.score if m.kind == ESCAPE else -m.score, m.name))


def near_misses(predictions: Predictions, good: int | None, *, limit: int = NEAR) -> list[Mistake]:
    """The right verdicts nearest to wrong ones, at most ``limit`` of each kind, the nearest first.

    With a threshold they are the rejected defects and the passed good parts whose scores are nearest to it; without,
    the right answers with the smallest lead over another class.
    """
    given = answers(predictions, good)
    if good is None or predictions.threshold is None:
        return _near_confusions(predictions, np.flatnonzero(given == predictions.labels), limit)
    scores = defect_scores(predictions.probabilities, good)
    distance = np.abs(scores - predictions.threshold)
    bad, reject = predictions.labels != good, given != good
    closest = []
    defects = predictions.probabilities.copy()
    defects[:, good] = -np.inf
    nearly = np.where(bad, given, defects.argmax(axis=1))
    for kind, right in ((NEAR_ESCAPE, bad & reject), (NEAR_OVERKILL, ~bad & ~reject)):
        nearest = sorted(np.flatnonzero(right), key=lambda i: (distance[i], predictions.names[i]))[:limit]
        closest += [_verdict(kind, predictions, int(i), int(nearly[i]), scores[i]) for i in nearest]
    return closest


def _near_confusions(predictions: Predictions, right: NDArray[np.int64], limit: int) -> list[Mistake]:
    order = predictions.probabilities.argsort(axis=1)
    first, second = (np.take_along_axis(predictions.probabilities, order[:, [-k]], axis=1)[:, 0] for k in (1, 2))
    nearest = sorted(right, key=lambda i: (first[i] - second[i], predictions.names[i]))[:limit]
    return [_verdict(NEAR_CONFUSION, predictions, int(i), int(order[i, -2]), first[i]) for i in nearest]


def _verdict(kind: str, predictions: Predictions, index: int, answer: int, score: float) -> Mistake:
    return Mistake(kind, index, predictions.names[index], int(predictions.labels[index]), answer, float(score))


def _mistake(predictions: Predictions, given: NDArray[np.int64], good: int | None, index: int) -> Mistake:
    label, answer = int(predictions.labels[index]), int(given[index])
    kind = CONFUSION if good is None else {answer: ESCAPE, label: OVERKILL}.get(good, CONFUSION)
    row = predictions.probabilities[index]
    score = row[answer] if kind == CONFUSION or good is None else 1.0 - row[good]
    return _verdict(kind, predictions, index, answer, score)
