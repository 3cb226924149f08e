"""How long each trial trains, and what that takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls

from compressdefect.search.clock import Clock

DEFAULT_EPOCHS = 20
MIN_EPOCHS, MAX_EPOCHS = 4, 30
TIMED_TRIALS = 12

Reserve = Callable[[float], float]
"""What must be left of the time when the search ends: from seconds per trial epoch to seconds."""


@dataclass(frozen=True)
class Plan:
    """Fixed for a whole run, resumed or not: all trials train equally long, so that their metrics compare.

    ``epoch_s`` is what an epoch of trial 0 takes, from a few of its steps; None where there is no time limit. A machine
    is ``busy`` when one thread trains clearly faster than one for each core: where threads wait for one another, and
    each for its turn, a training can take ten times as long.
    """

    epochs: int
    epoch_s: float | None = None
    busy: bool = False


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

    Both of its terms are at least 0. While all designs have the same macs, half of the time is taken to depend on them.

    >>> round(fit_speed([(10, 3.0), (20, 5.0)]).epoch_s(30), 6)
    7.0
    """
    if not measured:
        return None
    macs, seconds = np.array(measured, dtype=np.float64).T
    if macs.min() == macs.max():
        half = float(seconds.mean()) / 2
        return Speed(half, half / float(macs[0]))
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
