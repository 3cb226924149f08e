"""The confusion matrix of the delivered model on the test images, at its threshold."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from compressdefect.report.evidence import Evidence
from compressdefect.report.table import Cell, Column, Row, Shade, Table
from compressdefect.report.verdicts import confusion_counts

FEW = 3
"""Up to so many classes their names stand level over the columns."""


class ConfusionData(NamedTuple):
    """``counts`` is (classes, classes): true classes in rows, answers in columns."""

    classes: tuple[str, ...]
    counts: NDArray[np.int64]


def compute(evidence: Evidence) -> ConfusionData | None:
    """The counts, or None where the run has no test answers."""
    if evidence.best is None or evidence.best.predictions is None:
        return None
    return ConfusionData(evidence.classes, confusion_counts(evidence.best.predictions, evidence.good))


def draw(data: ConfusionData) -> Table:
    """A table with the count in each cell, tinted by its share of the row: blue where right, orange where wrong."""
    shares = data.counts / np.maximum(data.counts.sum(axis=1, keepdims=True), 1)
    upright = len(data.classes) > FEW
    columns = [Column(name, numeric=True, upright=upright) for name in data.classes]
    rows = []
    for i, name in enumerate(data.classes):
        cells = [_cell(int(data.counts[i, j]), float(shares[i, j]), i == j) for j in range(len(data.classes))]
        rows.append(Row((name, *cells)))
    return Table((Column("true class \\ answer"), *columns), rows)


def _cell(count: int, share: float, right: bool) -> Cell:
    """Mistakes are rare and must still be seen: a single one has a tint, which rises with the root of its share."""
    if right:
        return Shade(str(count), share, "right")
    return Shade(str(count), 0.15 + 0.85 * share**0.5, "wrong") if count else "0"
