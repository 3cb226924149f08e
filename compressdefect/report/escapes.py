"""Which defects escape: by their type, by their size, and at other thresholds than the chosen one.

A defect escapes when its part is passed. One that is rejected under the name of another type does not.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from compressdefect import units
from compressdefect.data.verdict import defect_scores, rejected
from compressdefect.report.evidence import Evidence, Predictions
from compressdefect.report.originals import Extent
from compressdefect.report.table import Bar, Row, Table, named
from compressdefect.report.verdicts import answers
from compressdefect.train.metrics import rate
from compressdefect.train.operating_point import Choice

SIZES = 4
"""Ranges of sizes, each with as many defective images."""
FEWEST = 5
"""Images in a range of sizes; with fewer, there are fewer ranges."""

Interval = tuple[float, float] | None


class Share(NamedTuple):
    """So many of ``n`` images, with a 95 % interval of the share; both None of no images."""

    hits: int
    n: int
    share: float | None
    interval: Interval

    @property
    def text(self) -> str:
        """The share and what it is of.

        >>> Share(3, 40, 0.075, None).text
        '7.5 % (3 of 40)'
        """
        return f"{units.percent(self.share)} ({self.hits} of {self.n})"


class OfType(NamedTuple):
    """The defects of one class: how many passed, and how many were rejected as another class."""

    name: str
    passed: Share
    renamed: int


class OfSize(NamedTuple):
    """The defective images with from ``low`` up to ``high`` marked pixels of the original."""

    low: int
    high: int
    passed: Share


class AtOverkill(NamedTuple):
    """What a threshold that validation gave for an overkill does on test images; ``chosen`` is the delivered one."""

    choice: Choice
    overkill: Share
    escape: Share
    chosen: bool


def by_type(evidence: Evidence) -> list[OfType]:
    """The escapes of each defect class at the threshold; empty without one, a good class or test answers."""
    tested, good = _tested(evidence), evidence.good
    if tested is None or good is None or tested.threshold is None:
        return []
    given = answers(tested, good)
    rows = []
    for index, name in enumerate(evidence.classes):
        of_type = tested.labels == index
        if index != good and of_type.any():
            renamed = int((of_type & (given != good) & (given != index)).sum())
            rows.append(OfType(name, _share(given == good, of_type, tested.groups), renamed))
    return rows


def by_size(evidence: Evidence, extents: Mapping[str, Extent]) -> list[OfSize]:
    """The escapes by how large the defects are marked, in ranges of as many images; empty where it is not known."""
    tested, good = _tested(evidence), evidence.good
    if tested is None or good is None or tested.threshold is None:
        return []
    areas = np.array([extents[name].area if name in extents else 0 for name in tested.names], dtype=np.int64)
    marked = (tested.labels != good) & (areas > 0)
    ranges = min(SIZES, int(marked.sum()) // FEWEST)
    if not ranges:
        return []
    given = answers(tested, good)
    in_order = np.sort(areas[marked])
    starts = [in_order[len(in_order) * k // ranges] for k in range(ranges)]
    edges = np.unique([*starts, in_order[-1] + 1])
    rows = []
    for low, end in pairwise(edges):
        within = marked & (areas >= low) & (areas < end)
        rows.append(OfSize(int(low), int(end) - 1, _share(given == good, within, tested.groups)))
    return rows


def by_overkill(evidence: Evidence) -> list[AtOverkill]:
    """What the thresholds that validation gave for several overkills do on the test images, by rising overkill."""
    tested, good = _tested(evidence), evidence.good
    if tested is None or good is None or tested.threshold is None:
        return []
    scores, is_good = defect_scores(tested.probabilities, good), tested.labels == good
    rows = []
    for choice in evidence.choices:
        reject = rejected(scores, choice.threshold)
        overkill, escape = _share(reject, is_good, tested.groups), _share(~reject, ~is_good, tested.groups)
        rows.append(AtOverkill(choice, overkill, escape, choice.aim == evidence.overkill_aim))
    return rows


def type_table(rows: list[OfType]) -> Table:
    """The escapes by type, as many as pass."""
    cells = [
        (r.name, str(r.passed.n), str(r.passed.hits), _bar(r.passed), units.interval(r.passed.interval), str(r.renamed))
        for r in rows
    ]
    columns = named("defect", "images", "passed", "escape", "95 % interval", "rejected as another")
    return Table(columns, [Row(row) for row in cells])


def size_table(rows: list[OfSize]) -> Table:
    """The escapes by size, the smallest defects first."""
    cells = [
        Row((_range(r), str(r.passed.n), str(r.passed.hits), _bar(r.passed), units.interval(r.passed.interval)))
        for r in rows
    ]
    return Table(named("marked pixels", "images", "passed", "escape", "95 % interval"), cells)


def overkill_table(rows: list[AtOverkill]) -> Table:
    """The thresholds by rising overkill; the delivered one is set off."""
    cells = [
        Row(
            (
                f"{100 * r.choice.aim:g} %" + (" (delivered)" if r.chosen else ""),
                units.probability(r.choice.threshold),
                r.overkill.text,
                units.interval(r.overkill.interval),
                r.escape.text,
                units.interval(r.escape.interval),
            ),
            "winner" if r.chosen else "",
        )
        for r in rows
    ]
    return Table(named("overkill allowed", "threshold", "overkill", "95 % interval", "escape", "95 % interval"), cells)


def overkill_note(rows: list[AtOverkill]) -> str:
    """Where the thresholds come from, and which overkills too few good parts cannot tell apart."""
    good = rows[0].choice.good
    text = f"Thresholds were chosen on {good} good images, none of them tested; the rates are of the test images."
    unsure = [row.choice.aim for row in rows if row.choice.aim * good < 1]
    if unsure:
        text += f" Of so few, less than {units.percent(1 / good)} overkill can only mean to reject none of them."
    return text


def _tested(evidence: Evidence) -> Predictions | None:
    return evidence.best.predictions if evidence.best else None


def _share(hits: NDArray[np.bool_], among: NDArray[np.bool_], groups: NDArray[np.int64] | None) -> Share:
    share, interval = rate(hits, among, groups)
    return Share(int((hits & among).sum()), int(among.sum()), share, interval)


def _bar(share: Share) -> Bar:
    return Bar(units.percent(share.share), share.share or 0.0)


def _range(row: OfSize) -> str:
    low, high = units.count(row.low), units.count(row.high)
    return low if low == high else f"{low} to {high}"
