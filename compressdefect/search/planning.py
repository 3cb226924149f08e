"""The plan of a run: made from a few steps on a clock, kept in its manifest, and agreed on with those who share it."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace

from compressdefect.errors import RunError, TrainingError
from compressdefect.runs import RunFolder
from compressdefect.search.clock import Clock
from compressdefect.search.config import SearchConfig
from compressdefect.search.ladder import on_rung
from compressdefect.search.pacing import Pacing
from compressdefect.search.plan import DEFAULT_EPOCHS, FEWEST, Plan, Reserve, fit_speed, plan_top, plan_trials
from compressdefect.search.repair import Admission
from compressdefect.search.study import SearchStudy, StoredTrial
from compressdefect.search.workers import Workers

BUSY = 1.25  # times as long as with one thread, so that the rest is noise
LEAST_SHARE = 4  # a training on the top of a ladder has at least one in so many of the epochs wanted


class Planner:
    """Holds the plan, as ``pacing``, from before the first trial to the end.

    Args:
        config: what is searched for.
        study: other runs of it may have set the epochs.
        workers: where trials are timed.
        clock: the command's time.
        reserve: the time to leave.
        run: its manifest keeps the plan.
        first: trial 0.
    """

    def __init__(
        self,
        config: SearchConfig,
        study: SearchStudy,
        workers: Workers,
        clock: Clock,
        reserve: Reserve,
        run: RunFolder,
        first: Admission,
    ) -> None:
        self._config, self._study, self._workers = config, study, workers
        self._clock, self._reserve, self._run, self._first = clock, reserve, run, first
        self._wanted = config.epochs or config.whole or max(DEFAULT_EPOCHS, config.least_epochs)
        self.pacing = self._paced(Plan(self._wanted))
        self._timing: Callable[[], None] = lambda: None

    @property
    def plan(self) -> Plan:
        """The plan as it is."""
        return self.pacing.plan

    def begin(self, timing: Callable[[], None]) -> None:
        """Take up the run's plan or make one: the epochs asked, else what fits the time by a few steps of trial 0.

        A run that had no time limit so far keeps its epochs and is timed when it gets one. ``timing`` is called before
        steps are timed, here and later.

        Raises:
            RunError: the study's trials train for other epochs than were asked.
            TrainingError: trial 0's design cannot be trained.
        """
        self._timing = timing
        stored = self._run.manifest.get("plan")
        plan = self.plan if stored is None else Plan(**stored)
        if self._clock.limit_s is not None and plan.epoch_s is None:
            timing()
            epoch_s, busy = self._timed_first()
            wanted = self._planned_for(epoch_s) if stored is None else plan
            plan = replace(wanted, epoch_s=epoch_s, busy=busy)
        self.agree(plan if stored is not None else replace(plan, began_s=self._clock.elapsed_s))

    def agree(self, plan: Plan) -> None:
        """Take a plan with the epochs of the study's first trial to the end, which all who share it keep.

        Raises:
            RunError: other epochs were asked.
        """
        epochs, asked = self._study.epochs or plan.epochs, self._config.epochs
        fits = asked is None or epochs in (asked, plan.epochs) or (self._clock.limit_s is not None and epochs < asked)
        if not fits:
            raise RunError(
                f"the study {self._config.study} in the storage trains each design for {epochs} epochs",
                got=f"--epochs {asked}",
                fix="leave it out, or choose another --study name",
            )
        plan = replace(plan, epochs=epochs)
        self._run.update_manifest(plan=asdict(plan))
        self.pacing = self._paced(plan)

    def plan_top(self, candidates: Sequence[StoredTrial], trials: Sequence[StoredTrial]) -> None:
        """Plan the trainings on the top of the ladder by a few steps of each, once for each time limit.

        Args:
            candidates: the designs that may be trained there, the best first and trial 0 among them.
            trials: all that are stored.
        """
        there = {trial.fingerprint for trial in on_rung(trials, self._config.ladder.top)}
        waiting = [trial for trial in candidates if trial.fingerprint not in there]
        planned = self.plan.to_the_top is not None and self.plan.limit_s == self._clock.limit_s
        if not waiting or (planned and (there or self._clock.limit_s is None)):
            return
        is_limited = self._clock.limit_s is not None
        epochs_s = self._timed(waiting) if is_limited else [1.0] * len(waiting)
        left_s = self._clock.left_s - self._reserve(0.0)
        found = plan_top(
            left_s,
            epochs_s,
            workers=self._workers.size,
            wanted=self._study.epochs or self._wanted,
            least=max(self._config.least_epochs, self._wanted // LEAST_SHARE),
            after=self._config.after,
        )
        plan = replace(
            self.plan,
            epochs=found.epochs,
            to_the_top=len(there) + found.designs - 1,
            top_until_s=self._clock.elapsed_s + found.share * left_s if is_limited else None,
            limit_s=self._clock.limit_s,
        )
        self.agree(plan)

    @property
    def threads(self) -> int | None:
        """The CPU threads of a trial, where these are not the ones that its worker has."""
        return self._threads(self.plan.busy)

    def _threads(self, busy: bool) -> int | None:
        return 1 if busy and self._config.threads is None else None

    def _paced(self, plan: Plan) -> Pacing:
        return Pacing(plan, self._clock, self._reserve, self._first.verdict.cost.macs)

    def _planned_for(self, epoch_s: float) -> Plan:
        if self._config.ladder.top:
            return Plan(self._wanted, epoch_s)
        return plan_trials(
            self._clock,
            self._reserve,
            epoch_s,
            workers=self._workers.size,
            trials=self._config.trials,
            cap=self._config.epochs,
            least=self._config.least_epochs,
        )

    def _timed(self, candidates: Sequence[StoredTrial]) -> list[float]:
        """Seconds of an epoch of each candidate: of the first few by some steps, of the others by their macs."""
        self._timing()
        threads = self.threads or self._workers.threads
        timed = dict(enumerate(self._workers.epochs_s([trial.design for trial in candidates[:FEWEST]], threads)))
        known = {place: epoch_s for place, epoch_s in timed.items() if math.isfinite(epoch_s)}
        speed = fit_speed([(candidates[place].macs, epoch_s) for place, epoch_s in known.items()])
        if speed is None:
            return [self.plan.epoch_s or 1.0] * len(candidates)
        return [known.get(place, speed.epoch_s(trial.macs)) for place, trial in enumerate(candidates)]

    def _timed_first(self) -> tuple[float, bool]:
        """Seconds of an epoch of trial 0's design, and whether one thread is faster than one for each core."""
        first, cores = self._first.verdict.genotype, os.cpu_count() or 1
        try:
            epoch_s = {1: self._workers.epoch_s(first, 1)}
            if cores > 1:
                epoch_s[cores] = self._workers.epoch_s(first, cores, epoch_s[1])
            busy = epoch_s[cores] > BUSY * epoch_s[1]
            threads = self._threads(busy) or self._workers.threads
            found = epoch_s.get(threads, math.inf)
            if math.isinf(found):  # not timed yet, or not to its end
                found = self._workers.epoch_s(first, threads)
            return max(found, 1e-3), busy
        except TrainingError as error:
            raise TrainingError("trial 0's design cannot be trained", got=error) from error
