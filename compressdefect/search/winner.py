"""Which finished design wins: the best NetScore among those that validation cannot tell from the best one.

NetScore pays for cost below the budget, also where the saving lets defects pass. So a design may win only if it is
nearly as good as the best: with d = metric(best) − metric(design), if d ≤ min(SE, 1 point). That is the one-standard-
error rule (Breiman et al., 1984, section 3.4.3) with two changes of ours. SE is the standard error of the paired
difference, from bootstraps in which both designs are measured on the same draw of images, whole groups at a time:
designs err on the same images, so it is smaller than that of either metric. And it is capped, since on few images it
is so large that nearly everything would pass. Whatever else is measured has to pass the same test.

One image more or less is exactly one standard error, whatever the number of images: the variance of n differences of
which one is 1 and the others 0 is 1/n by its unbiased estimate. So that this passes and the luck of the draws does not
decide, the estimate is the unbiased one, and what bootstraps leave in doubt of it is allowed for.

Everything here is a function of the answers that designs gave; nothing is read or trained.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from compressdefect.train.task import Records

TOLERANCE = 0.01
DRAWS = 1000
DOUBT = 1.1  # so many draws give the error of one image (Poisson, of variance 1) to 2.7 %: nearly four times that
_ROUNDING = 1e-9

Figure = Callable[[Records, NDArray[np.integer]], float]


@dataclass(frozen=True)
class Measures:
    """How answers on some images are measured.

    Attributes:
        figures: by name, the metric first. Each takes records (m, …) and which of the images they are of (m,), and
            returns a number that is higher the better, nan where such images give none.
        groups: of the images (n,); those of one group are drawn together.
    """

    figures: Mapping[str, Figure]
    groups: NDArray[np.integer]

    def draws(self) -> Iterator[NDArray[np.intp]]:
        """``DRAWS`` bootstrap samples of the images' indices: as many groups as there are, drawn with replacement."""
        _, member = np.unique(self.groups, return_inverse=True)
        size = int(member.max()) + 1
        rng = np.random.default_rng(0)
        for _ in range(DRAWS):
            times = np.bincount(rng.integers(size, size=size), minlength=size)
            yield np.repeat(np.arange(len(member)), times[member])


class Candidate(NamedTuple):
    """A finished design: its trial's number, its NetScore, and its answers (n, …) on the images that decide.

    Anything else that is higher the better can stand in place of the NetScore, such as minus the latency of what ships.
    """

    number: int
    netscore: float
    records: Records


class Gap(NamedTuple):
    """How much better the best design is in one figure, and the standard error of that difference."""

    difference: float
    standard_error: float

    @property
    def is_small(self) -> bool:
        """Whether the images leave open which of the two is better, and it would be by a point at most.

        >>> Gap(0.008, 0.009).is_small, Gap(0.008, 0.007).is_small, Gap(0.02, 0.03).is_small, Gap(0.0, 0.0).is_small
        (True, False, False, True)
        """
        return self.difference <= min(DOUBT * self.standard_error, TOLERANCE) + _ROUNDING


@dataclass(frozen=True)
class Choice:
    """The trial that wins, the one with the best metric, and the winner's gap to that one in every figure.

    ``competed`` counts the designs that were compared. ``left_out`` are the trials of those that could not be, since
    their answers are out of reach or on other images.
    """

    winner: int
    best: int
    competed: int
    gaps: Mapping[str, Gap]
    left_out: tuple[int, ...] = ()

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Choice:
        """The choice that ``to_json`` gave."""
        gaps = {name: Gap(**gap) for name, gap in stored["gaps"].items()}
        return cls(**{**stored, "gaps": gaps, "left_out": tuple(stored["left_out"])})

    def to_json(self) -> dict[str, Any]:
        """The choice as JSON values."""
        gaps = {name: gap._asdict() for name, gap in self.gaps.items()}
        return {**asdict(self), "gaps": gaps, "left_out": list(self.left_out)}


def choose(candidates: Sequence[Candidate], measures: Measures) -> Choice | None:
    """The winner among designs that answered on the same images; None where there are none.

    The best design is that of the best metric; of equal ones that which is better in the other figures, then in
    NetScore, then the earlier one. It may always win, so there always is a winner.
    """
    if not candidates:
        return None
    found = {candidate.number: _measure(candidate, measures) for candidate in candidates}
    best = max(candidates, key=lambda c: (*found[c.number].values(), c.netscore, -c.number))
    compare = _Comparison(best, measures)
    for candidate in sorted(candidates, key=lambda c: (-c.netscore, c.number)):
        differences = {name: value - found[candidate.number][name] for name, value in found[best.number].items()}
        if all(difference <= TOLERANCE + _ROUNDING for difference in differences.values()):
            gaps = compare.gaps(candidate, differences)
            if all(gap.is_small for gap in gaps.values()):
                return Choice(candidate.number, best.number, len(candidates), gaps)
    raise AssertionError("the best design is as good as itself")


def _measure(candidate: Candidate, measures: Measures) -> dict[str, float]:
    """The figures that the images give at all; which these are is the same for every design."""
    everything = np.arange(len(measures.groups))
    found = {name: figure(candidate.records, everything) for name, figure in measures.figures.items()}
    return {name: value for name, value in found.items() if not np.isnan(value)}


class _Comparison:
    """The best design against others, on draws that are the same for all of them."""

    def __init__(self, best: Candidate, measures: Measures) -> None:
        self._best, self._measures = best, measures

    def gaps(self, candidate: Candidate, differences: Mapping[str, float]) -> dict[str, Gap]:
        """The differences with their standard errors."""
        if candidate is self._best:
            return {name: Gap(0.0, 0.0) for name in differences}
        drawn = self._of_best - self._drawn(candidate)
        groups = len(np.unique(self._measures.groups))
        unbiased = math.sqrt(groups / max(1, groups - 1))
        errors = {name: unbiased * _deviation(row) for name, row in zip(self._measures.figures, drawn, strict=True)}
        return {name: Gap(value, errors[name]) for name, value in differences.items()}

    @cached_property
    def _of_best(self) -> NDArray[np.float64]:
        return self._drawn(self._best)

    def _drawn(self, candidate: Candidate) -> NDArray[np.float64]:
        """Every figure of every draw: (figures, ``DRAWS``)."""
        drawn = ((candidate.records[rows], rows) for rows in self._measures.draws())
        figures = self._measures.figures.values()
        return np.array([[figure(records, rows) for figure in figures] for records, rows in drawn]).T


def _deviation(drawn: NDArray[np.float64]) -> float:
    """The standard deviation of the draws that give the figure."""
    known = drawn[~np.isnan(drawn)]
    return float(known.std(ddof=1)) if len(known) > 1 else 0.0
