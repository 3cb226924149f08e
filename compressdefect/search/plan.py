"""How long each trial trains, and what that takes."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import NamedTuple

import numpy as np
from scipy.optimize import nnls

from compressdefect.search.clock import Clock

DEFAULT_EPOCHS = 20
MIN_EPOCHS, MAX_EPOCHS = 4, 30
TIMED_TRIALS = 12
FEWEST = 4  # designs that are trained to the end, trial 0 among them
SURE = 0.95  # of the time, since what an epoch takes is an estimate
FINAL_EPOCHS = 2  # times those of a training on the top, at most: the threshold is then still that of a like network

Reserve = Callable[[float], float]
"""What must be left of the time when the search ends: from seconds per trial epoch to seconds."""


@dataclass(frozen=True)
class Plan:
    """Fixed for a whole run, resumed or not: all trials train equally long, so that their metrics compare.

    ``epoch_s`` is what an epoch of trial 0 takes, from a few of its steps; None where there is no time limit. A machine
    is ``busy`` when one thread trains clearly faster than one for each core: where threads wait for one another, and
    each for its turn, a training can take ten times as long.

    On a ladder these are the epochs of the trainings on its top. They are planned when the first of these begins, for
    ``to_the_top`` designs besides trial 0, or more if there is time, and to end ``top_until_s``, with the ``limit_s``
    that the search had; until then the epochs are those wanted. ``began_s`` is the time that had gone by when the
    search began.
    """

    epochs: int
    epoch_s: float | None = None
    busy: bool = False
    to_the_top: int | None = None
    top_until_s: float | None = None
    limit_s: float | None = None
    began_s: float = 0.0


class After(NamedTuple):
    """What is trained when the search is over: seconds per epoch, as shares of those of a trial of the same design.

    ``folds`` are the winner's other folds, of as many epochs as the trial; ``final`` is the network that ships.
    """

    folds: float = 0.0
    final: float = 0.0


NOTHING_AFTER = After()


class TopPlan(NamedTuple):
    """How many designs are trained to the end, for how many epochs, and the share of the time that this takes.

    The rest is for what is trained after the search.
    """

    designs: int
    epochs: int
    share: float


@dataclass(frozen=True)
class Speed:
    """Seconds of one epoch of a trial as a line over its macs."""

    base_s: float
    mac_s: float

    def epoch_s(self, macs: int) -> float:
        """Seconds of an epoch of a design, all its trainings and scores included."""
        return self.base_s + self.mac_s * macs


def fit_speed(measured: Sequence[tuple[int, float]]) -> Speed | None:
    """The line through (macs, seconds of an epoch) with the smallest relative errors; None where nothing is measured.

    Both of its terms are at least 0. While the largest design has less than twice the macs of the smallest, a line
    through them says nothing of others, and half of the time is taken to depend on macs.

    >>> round(fit_speed([(10, 3.0), (20, 5.0)]).epoch_s(30), 6)
    7.0
    """
    if not measured:
        return None
    macs, seconds = np.array(measured, dtype=np.float64).T
    if macs.max() < 2 * macs.min():
        half = float(seconds.mean()) / 2
        return Speed(half, half / float(macs.mean()))
    scale = macs.max()
    (base, slope), _ = nnls(np.stack([1 / seconds, macs / scale / seconds], axis=1), np.ones(len(macs)))
    return Speed(float(base), float(slope / scale))


def plan_trials(
    clock: Clock,
    reserve: Reserve,
    epoch_s: float,
    *,
    workers: int,
    trials: int | None,
    cap: int | None,
    least: int = MIN_EPOCHS,
) -> Plan:
    """Share the time that the reserve leaves among the trials wanted, or ``TIMED_TRIALS``.

    Args:
        clock: has a limit.
        reserve: what the rest of the command needs.
        epoch_s: measured seconds of one epoch of a trial.
        workers: trials at a time.
        trials: how many are wanted.
        cap: most epochs of a trial; ``MAX_EPOCHS``, or ``least`` where that is more, when None.
        least: fewest epochs of a trial, unless ``cap`` is lower.
    """
    searching_s = max(0.0, clock.left_s - reserve(epoch_s)) * workers
    epochs = int(searching_s / (trials or TIMED_TRIALS) / epoch_s)
    most = cap or max(MAX_EPOCHS, least)
    return Plan(min(max(least, epochs), most), epoch_s)


def plan_top(
    left_s: float,
    epoch_s: Sequence[float],
    *,
    workers: int,
    wanted: int,
    least: int,
    after: After,
) -> TopPlan:
    """As many designs as can be trained for all epochs wanted; where these are too few, ``FEWEST`` for fewer epochs.

    Fewer still where these would be fewer than ``least`` epochs, but two at any rate. The winner is taken to be as
    large as these are on average: what follows is shortened if it is larger.

    Args:
        left_s: for these trainings, and those after the search.
        epoch_s: seconds of an epoch of each design that may be trained, in their order.
        workers: trainings at a time.
        wanted: epochs of each.
        least: epochs, fewer of which say too little.
        after: what these take.
    """

    def plan(designs: int) -> TopPlan:
        chosen = epoch_s[:designs]
        top_s, folds_s, final_s = _makespan(chosen, workers), *(share * fmean(chosen) for share in after)
        epochs = wanted if math.isinf(left_s) else _epochs(SURE * left_s, top_s + folds_s, final_s, wanted)
        all_s = (top_s + folds_s) * epochs + final_s * final_epochs(epochs, wanted)
        return TopPlan(designs, epochs, top_s * epochs / all_s)

    few = min(FEWEST, len(epoch_s))
    most = few if math.isinf(left_s) else len(epoch_s)
    for designs in range(most, few, -1):
        if plan(designs).epochs == wanted:
            return plan(designs)
    for designs in range(few, 2, -1):
        if plan(designs).epochs >= min(least, wanted):
            return plan(designs)
    return plan(min(2, len(epoch_s)))


def final_epochs(epochs: int, wanted: int) -> int:
    """How long the final training is, where those before it that give its threshold had so many epochs.

    >>> final_epochs(40, 100), final_epochs(60, 100)
    (80, 100)
    """
    return min(wanted, FINAL_EPOCHS * epochs)


def _epochs(left_s: float, epoch_s: float, final_s: float, wanted: int) -> int:
    """The most epochs that fit, where each takes so many seconds and one of the final training ``final_s``."""
    both = int(left_s / (epoch_s + FINAL_EPOCHS * final_s))
    if FINAL_EPOCHS * both > wanted:
        both = int((left_s - wanted * final_s) / epoch_s)
    return min(wanted, max(1, both))


def _makespan(seconds: Sequence[float], workers: int) -> float:
    """When the last of some jobs ends, if each starts as soon as a worker is free: two, then the longest."""
    ends = [0.0] * workers
    for job_s in [*seconds[:2], *sorted(seconds[2:], reverse=True)]:
        heapq.heapreplace(ends, ends[0] + job_s)
    return max(ends)
