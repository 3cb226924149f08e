"""How long each trial trains, and whether there is time for another one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

from compressdefect.search.clock import Clock

DEFAULT_EPOCHS = 20
MIN_EPOCHS, MAX_EPOCHS = 4, 30
TIMED_TRIALS = 12
CALIBRATION_EPOCHS = (1, 3)  # of two short trainings; the first also pays for all that happens once

Reserve = Callable[[float], float]
"""What must be left of the time when the search ends: from seconds per trial epoch to seconds."""


@dataclass(frozen=True)
class Plan:
    """Fixed for a whole run, resumed or not: all trials train equally long, so that their metrics compare."""

    epochs: int
    epoch_s: float | None = None

    def trial_s(self, finished_s: Sequence[float]) -> float | None:
        """How long the next trial may take: the median so far, before that what was planned; None when unknown."""
        if finished_s:
            return median(finished_s)
        return None if self.epoch_s is None else self.epochs * self.epoch_s


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
