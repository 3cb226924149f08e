"""What a search trains next: a design that climbs the ladder, or a new one on its foot."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

from compressdefect.search.asking import Asker
from compressdefect.search.config import SearchConfig
from compressdefect.search.ladder import as_seen_by_samplers, by_design, climbers, on_rung
from compressdefect.search.planning import Planner
from compressdefect.search.repair import Admission
from compressdefect.search.study import StoredTrial
from compressdefect.search.trials import TRAINED

PLANNED_SHARE = 0.75  # of a training that was planned: estimates are off by so much, and it is rather shortened
_UNDER_WAY = (*TRAINED, "running")


class Step(NamedTuple):
    """A design to train, the rung to train it on, and whether it is the first there, which always gets some time."""

    admission: Admission
    rung: int
    is_first: bool


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
        self._begun: set[int] = set()
        self.ended = ""

    def next(self, trials: Sequence[StoredTrial], running: Collection[int], winner: StoredTrial | None) -> Step | None:
        """The next training; None when there is none before another one ends, or none at all.

        New designs come first, as long as any are wanted. What climbs is decided when all of them are compared.

        Args:
            trials: all that are stored.
            running: the rungs of those that this run has in training.
            winner: who leads so far.
        """
        found = self._proposal(trials, winner)
        if found is not None or not self._ladder.top or 0 in running:
            return found
        return self._climber(trials, winner)

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
        return self._step(trials, admission, 0) if is_time else None

    def _wants_more(self, trials: Sequence[StoredTrial]) -> bool:
        started = sum(design.state in _UNDER_WAY for design in by_design(trials))
        if self._config.trials is None or started < self._config.trials:
            return True
        self.ended = "as many as were wanted"
        return False

    def _climber(self, trials: Sequence[StoredTrial], winner: StoredTrial | None) -> Step | None:
        """A design that is to climb to the top: the best one, trial 0, then the largest of those planned.

        So the workers end together. While there is time the others follow in their order. One that there is no time for
        gives way to the next, of those planned and then of the others.
        """
        order, top = climbers(trials, self._first), self._ladder.top
        self._planner.plan_top(order, trials)
        planned = (self._planner.plan.to_the_top or 0) + 1
        there = {trial.fingerprint for trial in on_rung(trials, top)}
        if self._planner.plan.top_until_s is None:
            order = order[:planned]
        waiting = [trial for trial in order if trial.fingerprint not in there]
        missing = max(0, planned - len(there))
        due, others = waiting[:missing], waiting[missing:]
        if len(there) >= 2:
            due = sorted(due, key=lambda trial: -trial.macs)
        for place, trial in enumerate([*due, *others]):
            share = PLANNED_SHARE if place < missing else 1.0
            if self._is_time_for(trials, winner, rung=top, macs=trial.macs, share=share):
                return self._step(trials, self._asker.again(trial), top)
        if not waiting and self._planner.plan.top_until_s is not None:
            self.ended = "all that were compared are finished"
        return None

    def _step(self, trials: Sequence[StoredTrial], admission: Admission, rung: int) -> Step:
        is_first = self._is_first(trials, rung)
        self._begun.add(rung)
        return Step(admission, rung, is_first)

    def _is_first(self, trials: Sequence[StoredTrial], rung: int) -> bool:
        """Whether nothing was trained on a rung, and this run has not tried in vain."""
        return rung not in self._begun and not any(t.rung == rung and t.state in _UNDER_WAY for t in trials)

    def _is_time_for(
        self, trials: Sequence[StoredTrial], winner: StoredTrial | None, *, rung: int, macs: int, share: float = 1.0
    ) -> bool:
        """Whether a share of a training of so many macs fits into the time left, to which the whole is then shortened.

        For the first of a rung there always is time.
        """
        if self._is_first(trials, rung):
            return True
        short, pacing = self._ladder.rung(rung), self._planner.pacing
        if short is not None:
            is_time = pacing.share < short.until
        else:
            whole = self.whole(trials)
            left_s, trial_s = pacing.left_s(whole, winner), pacing.trial_s(whole, macs)
            is_time = left_s > 0 and (trial_s is None or left_s >= share * trial_s)
        if not is_time:
            self.ended = "the time is used"
        return is_time
