"""What the delivered model decides on the test images at its threshold, and where that is wrong."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from compressdefect.data.verdict import defect_scores, rejected
from compressdefect.report.evidence import Predictions

ESCAPE, OVERKILL, CONFUSION = "escape", "overkill", "confusion"
"""Mistakes in the order of what they cost: a defect passed, a good part rejected, a defect of another class."""


class Mistake(NamedTuple):
    """One wrong answer; ``score`` is the probability that the part is defective, or of the class answered."""

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


def _mistake(predictions: Predictions, given: NDArray[np.int64], good: int | None, index: int) -> Mistake:
    label, answer = int(predictions.labels[index]), int(given[index])
    kind = CONFUSION if good is None else {answer: ESCAPE, label: OVERKILL}.get(good, CONFUSION)
    row = predictions.probabilities[index]
    score = row[answer] if kind == CONFUSION or good is None else 1.0 - row[good]
    return Mistake(kind, index, predictions.names[index], label, answer, float(score))
