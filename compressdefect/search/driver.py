"""The search: ask, gate, train, tell, until the designs wanted are trained or the time is up.

One process asks and stores; trials run in it or in worker processes. Everything that decides what comes next is in the
study on disk, so a search that is stopped or killed goes on from there and loses at most the trials in flight.
"""

from __future__ import annotations

import contextlib
import math
import os
from dataclasses import asdict, dataclass, field, replace
from typing import Literal

from compressdefect.errors import RunError, TrainingError
from compressdefect.runs import RunFolder
from compressdefect.search.asking import Asker
from compressdefect.search.clock import Clock
from compressdefect.search.config import SearchConfig, SearchOutcome
from compressdefect.search.deciding import Decider
from compressdefect.search.evaluate import Evaluator, TrialJob, TrialResult
from compressdefect.search.gate import Gate
from compressdefect.search.held_out import held_out_path, write_held_out
from compressdefect.search.identity import check_identity
from compressdefect.search.ladder import by_design, climbers, floor_of, on_rung
from compressdefect.search.objective import baseline
from compressdefect.search.pacing import Pacing
from compressdefect.search.plan import DEFAULT_EPOCHS, MOST, Plan, Reserve, plan_top, plan_trials
from compressdefect.search.progress import SearchProgress, SearchState, Silent
from compressdefect.search.reach import first_design
from compressdefect.search.repair import Admission
from compressdefect.search.samplers import SearchDimensions, derive_seed, sampler
from compressdefect.search.stopping import StopRule, quartile_rule
from compressdefect.search.study import SearchStudy, StoredTrial
from compressdefect.search.trials import TRAINED, TrialTable, write_trials
from compressdefect.search.weights import weights_path, write_weights
from compressdefect.search.winner import Choice
from compressdefect.search.workers import OpenWorkers, Workers
from compressdefect.space.genotype import Genotype

FAILURES = 5
BUSY = 1.25  # times as long as with one thread, so that the rest is noise


def search(
    config: SearchConfig,
    gate: Gate,
    evaluator: Evaluator,
    run: RunFolder,
    *,
    clock: Clock,
    open_workers: OpenWorkers,
    reserve: Reserve | None = None,
    progress: SearchProgress | None = None,
    resume: bool = False,
) -> SearchOutcome:
    """Start or continue a search, and leave study, ``trials.csv`` and ``pareto.csv`` in the run folder.

    Ctrl-C ends it cleanly with what there is; the trials in flight are tried again by a later ``resume``.

    Args:
        config: what to search for.
        gate: the space, its template and the budgets.
        evaluator: trains designs.
        run: the run folder; its manifest keeps the plan and the time used.
        clock: the command's time.
        open_workers: makes the place where trials run.
        reserve: the time to leave, from seconds per trial epoch; nothing when None.
        progress: is told of every step.
        resume: continue the run's study.

    Raises:
        InfeasibleError: no design of the space meets the budgets.
        RunError: the run cannot be continued as asked, or its storage fails.
        SpaceError: unknown sampler or rule.
        TrainingError: the first ``FAILURES`` trials all failed, or a worker process died.
    """
    identity = config.identity(gate)
    check_identity(identity, run, resume)
    first = first_design(gate, _named(config, gate))
    table = TrialTable(run.path / "trials.csv")
    storage = config.storage or f"sqlite:///{(run.path / 'study.db').resolve()}"
    with contextlib.ExitStack() as stack:
        study = SearchStudy(
            storage,
            config.study,
            space=gate.space,
            objective=config.objective,
            run=_run_id(run),
            folder=run.path,
            identity=identity,
        )
        stack.callback(study.close)
        study.interrupt()
        table.rewrite(by_design(study.trials()))
        dimensions = SearchDimensions(gate.space.dimensions, config.objective.directions, first.flat, gate)
        asker = Asker(
            gate,
            config.objective,
            sampler(config.sampler, dimensions),
            table,
            first,
            seed=config.seed,
            worker=study.worker,
        )
        workers = open_workers(evaluator, config.workers, config.threads)
        stack.callback(workers.close)
        loop = _Search(
            config=config,
            study=study,
            table=table,
            asker=asker,
            decider=Decider(config.objective, run.path, evaluator.measures),
            workers=workers,
            clock=clock,
            reserve=reserve or _nothing,
            progress=progress or Silent(),
            run=run,
        )
        return loop.run_to_end()


@dataclass(kw_only=True)
class _Search:
    """The loop: what it is given, and below what it has found so far."""

    config: SearchConfig
    study: SearchStudy
    table: TrialTable
    asker: Asker
    decider: Decider
    workers: Workers
    clock: Clock
    reserve: Reserve
    progress: SearchProgress
    run: RunFolder

    trials: list[StoredTrial] = field(init=False)
    designs: list[StoredTrial] = field(init=False)
    choice: Choice | None = field(init=False, default=None)
    running: dict[int, int] = field(init=False, default_factory=dict)  # trials in training and their rungs
    pacing: Pacing = field(init=False)
    ended: str = field(init=False, default="")

    def __post_init__(self) -> None:
        self._look()
        self.pacing = self._paced(Plan(self.config.epochs or max(DEFAULT_EPOCHS, self.config.least_epochs)))

    def run_to_end(self) -> SearchOutcome:
        """Work until there is nothing left to do or the user stops it."""
        status: Literal["complete", "stopped"] = "complete"
        try:
            self._work()
        except KeyboardInterrupt:
            status, self.ended = "stopped", "stopped by the user"
        finally:
            self.workers.close()
            self.study.interrupt()
            self._look()
            self._choose()
            self._write()
        return self._outcome(status)

    def _work(self) -> None:
        self._choose()
        self.pacing = self._paced(self._make_plan())
        while True:
            while len(self.running) < self.workers.size and self._ask():
                pass
            if not self.running:
                return
            for number, result in self.workers.collect(self._tell):
                self._finish(number, result)

    def _look(self) -> None:
        """Read the study."""
        self.trials = self.study.trials()
        self.designs = by_design(self.trials)

    def _tell(self, share: float) -> None:
        self._show("training", share)

    def _paced(self, plan: Plan) -> Pacing:
        macs = self.asker.first.verdict.cost.macs
        return Pacing(plan, self.clock, self.reserve, macs, self.config.final)

    def _make_plan(self) -> Plan:
        """The epochs of every trial: as asked, else what fits the time by a few steps of trial 0's design."""
        stored = self.run.manifest.get("plan")
        if stored is not None:
            return self._agreed(Plan(**stored))
        plan = self.pacing.plan
        if self.clock.limit_s is not None:
            self._show("timing a few steps")
            epoch_s, busy = self._timed_first()
            plan = replace(self._planned_for(epoch_s), busy=busy)
        return self._agreed(replace(plan, began_s=self.clock.elapsed_s))

    def _planned_for(self, epoch_s: float) -> Plan:
        if self.config.ladder.top:
            return Plan(self.pacing.plan.epochs, epoch_s)
        return plan_trials(
            self.clock,
            self.reserve,
            epoch_s,
            workers=self.workers.size,
            trials=self.config.trials,
            cap=self.config.epochs,
            least=self.config.least_epochs,
        )

    def _agreed(self, plan: Plan) -> Plan:
        """The plan with the epochs of the study's first trial, which all who share it keep."""
        epochs, asked = self.study.epochs or plan.epochs, self.config.epochs
        fits = asked is None or epochs == asked or (self.clock.limit_s is not None and epochs < asked)
        if not fits:
            raise RunError(
                f"the study {self.config.study} in the storage trains each design for {epochs} epochs",
                got=f"--epochs {asked}",
                fix="leave it out, or choose another --study name",
            )
        plan = replace(plan, epochs=epochs)
        self.run.update_manifest(plan=asdict(plan))
        return plan

    def _timed_first(self) -> tuple[float, bool]:
        """Seconds of an epoch of trial 0's design, and whether one thread is faster than one for each core."""
        first, cores = self.asker.first.verdict.genotype, os.cpu_count() or 1
        try:
            epoch_s = {1: self.workers.epoch_s(first, 1)}
            if cores > 1:
                epoch_s[cores] = self.workers.epoch_s(first, cores, epoch_s[1])
            busy = epoch_s[cores] > BUSY * epoch_s[1]
            threads = self._threads(busy) or self.workers.threads
            found = epoch_s.get(threads, math.inf)
            if math.isinf(found):  # not timed yet, or not to its end
                found = self.workers.epoch_s(first, threads)
            return max(found, 1e-3), busy
        except TrainingError as error:
            raise TrainingError("trial 0's design cannot be trained", got=error) from error

    def _threads(self, busy: bool) -> int | None:
        """The CPU threads of a trial, where these are not the ones that its worker has."""
        return 1 if busy and self.config.threads is None else None

    @property
    def _whole(self) -> list[StoredTrial]:
        """The trials on the top of the ladder."""
        return [trial for trial in self.trials if trial.rung == self.config.ladder.top]

    @property
    def _started(self) -> int:
        """How many designs are trained or in training."""
        return sum(trial.state in (*TRAINED, "running") for trial in self.designs)

    def _may_ask(self) -> bool:
        """Whether designs are still wanted and there is time for the cheapest that can be."""
        if self.config.trials is not None and self._started >= self.config.trials:
            self.ended = "as many as were wanted"
            return False
        return self._is_time_for(0, macs=0)

    def _is_time_for(self, rung: int, macs: int) -> bool:
        """Whether a design of so many macs can be trained in the time left; the first of a rung is shortened to it."""
        short = self.config.ladder.rung(rung)
        if not any(trial.rung == rung and trial.state in (*TRAINED, "running") for trial in self.trials):
            return True
        if short is not None:
            is_time = self.pacing.share < short.until
        else:
            trial_s = self.pacing.trial_s(self._whole, macs)
            is_time = trial_s is None or self.pacing.left_s(self._whole, self._winner) >= trial_s
        if not is_time:
            self.ended = "the time is used"
        return is_time

    def _ask(self) -> bool:
        """Start one more trial; False when there is none to start before another one ends, or none at all."""
        self._show("asking")
        for rung in range(self.config.ladder.top + 1):
            if any(below < rung for below in self.running.values()):
                return False  # what they find decides what climbs
            admission = self._climber(rung) if rung else self._proposal()
            if admission is not None:
                self._start(admission, rung)
                return True
        return False

    def _proposal(self) -> Admission | None:
        """A new design."""
        if not self._may_ask():
            return None
        entered = [trial.as_compared(self.config.objective) for trial in self.trials if trial.rung == 0]
        floor = floor_of(entered, self.config.objective) if self.config.ladder.top else None
        admission = self.asker.next(entered, self._may_ask, floor)
        if admission is None:
            self.ended = self.ended or "no further feasible design was found"
            return None
        return admission if self._is_time_for(0, admission.verdict.cost.macs) else None

    def _climber(self, rung: int) -> Admission | None:
        """The best design that is to climb to a rung and has not been trained there."""
        ladder, first = self.config.ladder, self.asker.first.verdict.genotype.fingerprint
        entered = len([trial for trial in on_rung(self.trials, 0) if trial.state == "compared"])
        if rung == ladder.top:
            self._plan_top()
        count = ladder.climbing(entered) if rung < ladder.top else self.pacing.plan.to_the_top or 0
        there = {trial.fingerprint for trial in on_rung(self.trials, rung)}
        chosen = climbers(self.trials, rung, count, first, self.config.objective)
        waiting = [trial for trial in chosen if trial.fingerprint not in there]
        if not waiting or not self._is_time_for(rung, waiting[0].macs):
            return None
        return self.asker.again(waiting[0])

    def _plan_top(self) -> None:
        """Plan the trainings to the end by what those on the short rungs took, unless that is done."""
        plan, first = self.pacing.plan, self.asker.first.verdict.genotype.fingerprint
        if plan.to_the_top is not None and (self.clock.limit_s is None or on_rung(self.trials, self.config.ladder.top)):
            return
        candidates = climbers(self.trials, self.config.ladder.top, MOST, first, self.config.objective)
        if not candidates:
            return
        wanted = self.config.epochs or max(DEFAULT_EPOCHS, self.config.least_epochs)
        found = plan_top(
            self.clock.left_s - self.reserve(0.0),
            self.pacing.epochs_s(candidates, self.trials, first),
            workers=self.workers.size,
            wanted=wanted,
            least=max(self.config.least_epochs, wanted // 4),
            final=self.config.final,
        )
        plan = replace(plan, epochs=found.epochs, to_the_top=found.designs)
        self.pacing = self._paced(self._agreed(plan))

    def _start(self, admission: Admission, rung: int) -> None:
        genotype, plan = admission.verdict.genotype, self.pacing.plan
        short = self.config.ladder.rung(rung)
        job = TrialJob(
            genotype,
            derive_seed(self.config.seed, genotype.fingerprint),
            plan.epochs,
            self._stop_rule(admission),
            self.pacing.limit_s(self._whole, self._winner, first=not self._whole),
            self._threads(plan.busy),
            short,
        )
        number = self.study.start(admission, rung=rung, epochs=0 if short else job.epochs)
        self._look()
        if number is None:
            self.pacing = self._paced(self._agreed(plan))
            return
        self.running[number] = rung
        self.workers.submit(number, job)

    def _stop_rule(self, admission: Admission) -> StopRule:
        """Lower quartile of finished trials, on a Pareto front of those that cost no more; trial 0 is never stopped."""
        verdict = admission.verdict
        if self.config.ladder.top or verdict.genotype.fingerprint == self.asker.first.verdict.genotype.fingerprint:
            return StopRule()
        peers = [trial for trial in self.trials if trial.state == "complete"]
        if self.config.objective.kind == "pareto":
            price = self.config.objective.price(verdict.cost.macs, verdict.latency_ms)
            peers = [t for t in peers if self.config.objective.price(t.macs, t.latency_ms) <= price]
        return quartile_rule([trial.curve for trial in peers])

    def _finish(self, number: int, result: TrialResult) -> None:
        trial = next(trial for trial in self.trials if trial.number == number)
        if result.held_out is not None:
            write_held_out(held_out_path(self.run.path, trial.fingerprint), result.held_out)
        if result.weights is not None:
            write_weights(weights_path(self.run.path, trial.fingerprint), result.weights)
        self.study.finish(number, result)
        del self.running[number]
        self._look()
        self.table.rewrite(self.designs)
        self._choose()
        over = [trial for trial in self.designs if trial.state in TRAINED]
        if len(over) >= FAILURES and all(trial.state == "failed" for trial in over):
            raise TrainingError(f"the first {len(over)} trials all failed", got=over[-1].reason)
        self._show("training")

    def _choose(self) -> None:
        """Name the winner so far, and keep in the manifest which trials have led, one after the other."""
        self.choice = self.decider.choose(self.designs)
        led = list(self.run.manifest.get("led", ()))
        if self.choice is not None and self.choice.winner not in led[-1:]:
            led.append(self.choice.winner)
        self.run.update_manifest(
            elapsed_s=self.clock.elapsed_s, led=led, choice=None if self.choice is None else self.choice.to_json()
        )

    def _numbered(self, number: int) -> StoredTrial:
        return next(design for design in self.designs if design.number == number)

    @property
    def _winner(self) -> StoredTrial | None:
        return None if self.choice is None else self._numbered(self.choice.winner)

    def _show(self, doing: str, share: float | None = None) -> None:
        winner = self._winner
        done = sum(trial.state in TRAINED for trial in self.designs)
        infeasible = len(self.table.infeasible)
        self.progress.update(
            SearchState(
                asked=len({trial.fingerprint for trial in self.trials}) + infeasible,
                infeasible=infeasible,
                done=done,
                planned=self._planned(done),
                running=len(self.running),
                best_metric=winner.metric if winner else None,
                best_netscore=winner.netscore if winner else None,
                left_s=self._left_s(done),
                doing=doing,
                share=share,
                rungs=self._rungs(),
            )
        )

    def _rungs(self) -> tuple[int, ...]:
        """How many designs were trained on each rung of the ladder; nothing without one."""
        top = self.config.ladder.top
        over = [trial.rung for trial in self.trials if trial.state in TRAINED]
        return tuple(over.count(rung) for rung in range(top + 1)) if top else ()

    def _planned(self, done: int) -> int | None:
        if self.config.trials is not None:
            return self.config.trials
        if self.config.ladder.top:
            return None
        left_s, trial_s = self._left_s(done), self.pacing.usual_s(self.designs)
        return None if left_s is None or not trial_s else done + int(left_s * self.workers.size / trial_s)

    def _left_s(self, done: int) -> float | None:
        """Estimated time to the end of the search."""
        trial_s, known = self.pacing.usual_s(self._whole), []
        if trial_s is not None and self.config.trials is not None and not self.config.ladder.top:
            known.append((self.config.trials - done) * trial_s / self.workers.size)
        if trial_s is not None and self.clock.limit_s is not None:
            known.append(max(0.0, self.pacing.left_s(self._whole, self._winner)))
        return min(known, default=None)

    def _write(self) -> None:
        """Leave the tables as the study says, and the time used."""
        self.table.rewrite(self.designs)
        write_trials(self.run.path / "pareto.csv", self.config.objective.front(self.designs))
        self.run.update_manifest(elapsed_s=self.clock.elapsed_s)

    def _outcome(self, status: Literal["complete", "stopped"]) -> SearchOutcome:
        objective = self.config.objective
        return SearchOutcome(
            status=status,
            ended=self.ended,
            trials=self.designs,
            infeasible=list(self.table.infeasible),
            choice=self.choice,
            baseline=baseline(self.designs),
            front=objective.front(self.designs),
            plan=self.pacing.plan,
        )


def _run_id(run: RunFolder) -> str:
    """What the run's trials are known by in a storage that others may use, also after the folder is moved."""
    known = run.manifest.get("run_id")
    if known is None:
        known = f"{run.manifest['started']} {run.path.resolve()}"
        run.update_manifest(run_id=known)
    return str(known)


def _named(config: SearchConfig, gate: Gate) -> Genotype | None:
    designs = gate.space.designs
    name = config.first or next(iter(designs), None)
    return None if name is None else designs[name]


def _nothing(epoch_s: float) -> float:
    return 0.0
