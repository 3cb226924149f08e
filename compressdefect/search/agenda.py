"""What a search trains next: a design that climbs the ladder, or a new one on its foot."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

from compressdefect.search.asking import Asker
from compressdefect.search.config import SearchConfig
from compressdefect.search.ladder import as_seen_by_samplers, by_design, climbers, on_rung
from compressdefect.search.plan import MOST
from compressdefect.search.planning import Planner
from compressdefect.search.repair import Admission
from compressdefect.search.study import StoredTrial
from compressdefect.search.trials import TRAINED

PLANNED_SHARE = 0.75  # of a training that was planned: estimates are off by so much, and it is rather shortened
_UNDER_WAY = (*TRAINED, "running")


class Step(NamedTuple):
    """A design to train, and the rung to train it on."""

    admission: Admission
    rung: int = 0


class Agenda:
    """Decides by what is stored and by the time that is left; ``ended`` says in words why nothing new was asked.

    Args:
        config: what is searched for.
        asker: gives new designs.
        planner: knows the plan and its pace.
    """

    def __init__(self, config: SearchConfig, asker: Asker, planner: Planner) -> None:
        self._config, self._asker, self._planner = config, asker, planner
        self._ladder, self._first = config.ladder, asker.first.verdict.genotype.fingerprint
        self.ended = ""

    def next(self, trials: Sequence[StoredTrial], running: Collection[int], winner: StoredTrial | None) -> Step | None:
        """The next training; None when there is none before another one ends, or none at all.

        New designs come first, as long as any are wanted. What climbs to a rung is decided when nothing is left in
        training on those below.

        Args:
            trials: all that are stored.
            running: the rungs of those that this run has in training.
            winner: who leads so far.
        """
        for rung in range(self._ladder.top + 1):
            if any(below < rung for below in running):
                return None
            found = self._climber(trials, rung, winner) if rung else self._proposal(trials, winner)
            if found is not None:
                return found
        return None

    def whole(self, trials: Sequence[StoredTrial]) -> list[StoredTrial]:
        """The trials on the top of the ladder."""
        return [trial for trial in trials if trial.rung == self._ladder.top]

    def _proposal(self, trials: Sequence[StoredTrial], winner: StoredTrial | None) -> Step | None:
        """A new design."""

        def may_ask() -> bool:
            return self._wants_more(trials) and self._is_time_for(trials, winner, rung=0, macs=0)

        if not may_ask():
            return None
        entered, floor = list(trials), None
        if self._ladder.top:
            entered, floor = as_seen_by_samplers(trials, self._config.objective)
        admission = self._asker.next(entered, may_ask, floor)
        if admission is None:
            self.ended = self.ended or "no further feasible design was found"
            return None
        is_time = self._is_time_for(trials, winner, rung=0, macs=admission.verdict.cost.macs)
        return Step(admission) if is_time else None

    def _wants_more(self, trials: Sequence[StoredTrial]) -> bool:
        started = sum(design.state in _UNDER_WAY for design in by_design(trials))
        if self._config.trials is None or started < self._config.trials:
            return True
        self.ended = "as many as were wanted"
        return False

    def _climber(self, trials: Sequence[StoredTrial], rung: int, winner: StoredTrial | None) -> Step | None:
        """A design that is to climb to a rung: the best one, trial 0, then the largest of those planned.

        So the workers end together. One that there is no time for gives way to a smaller one.
        """
        if rung == self._ladder.top:
            self._planner.plan_top(climbers(trials, rung, MOST, self._first), trials)
            plan = self._planner.plan
            planned = plan.to_the_top or 0
            count = MOST if plan.top_until_s is not None else planned
        else:
            planned = count = self._ladder.climbing(sum(trial.state == "compared" for trial in on_rung(trials, 0)))
        there = {trial.fingerprint for trial in on_rung(trials, rung)}
        chosen = climbers(trials, rung, count, self._first)
        waiting = [trial for trial in chosen if trial.fingerprint not in there]
        due = waiting[: max(1, planned + 1 - len(there))]
        share = PLANNED_SHARE if len(there) <= planned else 1.0
        for trial in sorted(due, key=lambda trial: -trial.macs) if len(there) > 1 else due[:1]:
            if self._is_time_for(trials, winner, rung=rung, macs=trial.macs, share=share):
                return Step(self._asker.again(trial), rung)
        return None

    def _is_time_for(
        self, trials: Sequence[StoredTrial], winner: StoredTrial | None, *, rung: int, macs: int, share: float = 1.0
    ) -> bool:
        """Whether a share of a training of so many macs fits into the time left, to which the whole is then shortened.

        For the first of a rung there always is time.
        """
        if not any(trial.rung == rung and trial.state in _UNDER_WAY for trial in trials):
            return True
        short, pacing = self._ladder.rung(rung), self._planner.pacing
        if short is not None:
            is_time = pacing.share < short.until
        else:
            whole = self.whole(trials)
            trial_s = pacing.trial_s(whole, macs)
            is_time = trial_s is None or pacing.left_s(whole, winner) >= share * trial_s
        if not is_time:
            self.ended = "the time is used"
        return is_time
