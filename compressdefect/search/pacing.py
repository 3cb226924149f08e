"""How a search keeps its time: what the next trial will take, and what is left for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from compressdefect.search.clock import Clock
from compressdefect.search.evaluate import SHORTENED
from compressdefect.search.plan import Plan, Reserve, Speed, fit_speed
from compressdefect.search.trials import TRAINED, TrialRecord

FIRST_SHARE = 0.1  # of a time limit that trial 0 has at least, whatever loading the images took


@dataclass(frozen=True)
class Pacing:
    """Answers from the trials so far; nothing is remembered, so a resumed search goes on alike.

    Attributes:
        plan: how long trials train.
        clock: the command's time.
        reserve: what to leave of it.
        first_macs: of trial 0's design.
    """

    plan: Plan
    clock: Clock
    reserve: Reserve
    first_macs: int

    @property
    def share(self) -> float:
        """The share of the search's time that has gone by, 0 without a limit."""
        if self.clock.limit_s is None:
            return 0.0
        whole_s = self.clock.limit_s - self.reserve(0.0) - self.plan.began_s
        return (self.clock.elapsed_s - self.plan.began_s) / max(whole_s, 1e-3)

    def speed(self, trials: Sequence[TrialRecord]) -> Speed | None:
        """What trials took that were trained to their end; before there is one, what trial 0 was timed to take."""
        whole = [trial for trial in trials if trial.state == "complete" and trial.reason != SHORTENED]
        measured = [(trial.macs, trial.seconds / self.plan.epochs) for trial in whole if trial.seconds]
        if not measured and self.plan.epoch_s is not None:
            measured = [(self.first_macs, self.plan.epoch_s)]
        return fit_speed(measured)

    def trial_s(self, trials: Sequence[TrialRecord], macs: int) -> float | None:
        """How long a trial of a design of so many macs takes; None when unknown."""
        speed = self.speed(trials)
        return None if speed is None else self.plan.epochs * speed.epoch_s(macs)

    def usual_s(self, trials: Sequence[TrialRecord]) -> float | None:
        """How long trials take as a rule, stopped ones too; None when unknown."""
        took = [trial.seconds for trial in trials if trial.state in TRAINED and trial.seconds is not None]
        return median(took) if took else self.trial_s(trials, self.first_macs)

    def left_s(self, trials: Sequence[TrialRecord], winner: TrialRecord | None) -> float:
        """Time left for trials, if the winner so far is what will be trained to the end; below 0 when it is over."""
        if self.plan.top_until_s is not None and self.plan.limit_s == self.clock.limit_s:
            return self.plan.top_until_s - self.clock.elapsed_s
        speed = self.speed(trials)
        epoch_s = 0.0 if speed is None else speed.epoch_s(self.first_macs if winner is None else winner.macs)
        return self.clock.left_s - self.reserve(epoch_s)

    def limit_s(self, trials: Sequence[TrialRecord], winner: TrialRecord | None, *, first: bool) -> float | None:
        """The most that a trial that starts now may take: what is left; the first always gets some time."""
        if self.clock.limit_s is None:
            return None
        return max(self.left_s(trials, winner), FIRST_SHARE * self.clock.limit_s if first else 0.0)
