"""The search: ask, gate, train, tell, until the designs wanted are trained or the time is up.

One process asks and stores; trials run in it or in worker processes. Everything that decides what comes next is in the
study on disk, so a search that is stopped or killed goes on from there and loses at most the trials in flight.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from typing import Literal

from compressdefect.errors import TrainingError
from compressdefect.runs import RunFolder
from compressdefect.search.agenda import Agenda
from compressdefect.search.asking import Asker, as_admitted
from compressdefect.search.clock import Clock
from compressdefect.search.config import SearchConfig, SearchOutcome
from compressdefect.search.deciding import Decider
from compressdefect.search.draws import derive_seed
from compressdefect.search.evaluate import NO_TIME, Evaluator, TrialJob, TrialResult
from compressdefect.search.gate import Gate
from compressdefect.search.held_out import held_out_path, write_held_out
from compressdefect.search.identity import check_identity
from compressdefect.search.ladder import by_design
from compressdefect.search.objective import baseline
from compressdefect.search.plan import FEWEST, Reserve
from compressdefect.search.planning import Planner
from compressdefect.search.progress import SearchProgress, SearchState, Silent
from compressdefect.search.proposal import SearchDimensions
from compressdefect.search.reach import first_design
from compressdefect.search.repair import Admission
from compressdefect.search.samplers import PROBING, sampler
from compressdefect.search.stopping import StopRule, quartile_rule
from compressdefect.search.study import SearchStudy, StoredTrial
from compressdefect.search.trials import TRAINED, Tally, TrialTable, write_trials
from compressdefect.search.weights import weights_path, write_weights
from compressdefect.search.winner import Choice
from compressdefect.search.workers import OpenWorkers, Workers
from compressdefect.space.genotype import Genotype

FAILURES = 5


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
    check_identity(config.identity(gate), run, resume)
    first = first_design(gate, _named(config, gate))
    table = TrialTable(run.path / "trials.csv")
    with contextlib.closing(_study(config, gate, run)) as study:
        study.interrupt()
        stored = study.trials()
        table.rewrite(by_design(stored))
        first = next((as_admitted(gate, trial) for trial in stored if trial.number == 0), first)
        asker = _asker(config, gate, table, first, study.worker)
        with contextlib.closing(open_workers(evaluator, config.workers, config.threads, run.path)) as workers:
            planner = Planner(config, study, workers, clock, reserve or _nothing, run, first)
            loop = _Search(
                config=config,
                study=study,
                table=table,
                first=first,
                agenda=Agenda(config, asker, planner),
                planner=planner,
                decider=Decider(config.objective, run.path, evaluator.measures),
                workers=workers,
                clock=clock,
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
    first: Admission
    agenda: Agenda
    planner: Planner
    decider: Decider
    workers: Workers
    clock: Clock
    progress: SearchProgress
    run: RunFolder

    trials: list[StoredTrial] = field(init=False)
    designs: list[StoredTrial] = field(init=False)
    choice: Choice | None = field(init=False, default=None)
    running: dict[int, int] = field(init=False, default_factory=dict)  # trials in training and their rungs

    def __post_init__(self) -> None:
        self._look()

    def run_to_end(self) -> SearchOutcome:
        """Work until there is nothing left to do or the user stops it."""
        status: Literal["complete", "stopped"] = "complete"
        try:
            self._work()
        except KeyboardInterrupt:
            status, self.agenda.ended = "stopped", "stopped by the user"
        finally:
            self.workers.close()
            self.study.interrupt()
            self._look()
            self._choose()
            self._write()
        return self._outcome(status)

    def _work(self) -> None:
        """Ask until the workers have enough or there is nothing to start, and again whenever a training is over."""
        self._choose()
        self.planner.begin(lambda: self._show("timing a few steps"))
        while True:
            while len(self.running) < self.workers.size and self._ask():
                pass
            if not self.running:
                return
            while not (finished := self.workers.collect(self._tell)):
                pass
            for number, result in finished:
                self._finish(number, result)

    def _look(self) -> None:
        """Read the study."""
        self.trials = self.study.trials()
        self.designs = by_design(self.trials)

    def _tell(self, share: float) -> None:
        self._show(self._doing, share)

    def _ask(self) -> bool:
        """Start one more trial; False when there is none to start."""
        self._show("asking")
        step = self.agenda.next(self.trials, self.running.values(), self._winner)
        if step is None:
            return False
        plan, short = self.planner.plan, self.config.ladder.rung(step.rung)
        whole, genotype = self.agenda.whole(self.trials), step.admission.verdict.genotype
        job = TrialJob(
            genotype,
            derive_seed(self.config.seed, genotype.fingerprint),
            plan.epochs,
            self._stop_rule(step.admission),
            self.planner.pacing.limit_s(whole, self._winner, first=step.is_first),
            self.planner.threads,
            short,
            probed=self.config.sampler in PROBING,
            with_weights=self.config.ladder.top > 0 or self.config.compress,
        )
        number = self.study.start(step.admission, rung=step.rung, epochs=0 if short else job.epochs)
        self._look()
        if number is None:
            self.planner.agree(plan)
            return True
        self.running[number] = step.rung
        self.workers.submit(number, job)
        return True

    def _stop_rule(self, admission: Admission) -> StopRule:
        """Lower quartile of finished trials, on a Pareto front of those that cost no more; trial 0 is never stopped."""
        verdict = admission.verdict
        if self.config.ladder.top or verdict.genotype == self.first.verdict.genotype:
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
        if result.reason == NO_TIME:
            self.study.withdraw(number)
        else:
            self.study.finish(number, result)
        del self.running[number]
        self._look()
        self.table.rewrite(self.designs)
        self._choose()
        over = [trial for trial in self.designs if trial.state in TRAINED]
        if len(over) >= FAILURES and all(trial.state == "failed" for trial in over):
            raise TrainingError(f"the first {len(over)} trials all failed", got=over[-1].reason)
        self._show(self._doing)

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
        done = sum(trial.state in TRAINED for trial in self.trials)
        self.progress.update(
            SearchState(
                tally=Tally.of([*self.designs, *self.table.infeasible]),
                on_ladder=self.config.ladder.top > 0,
                done=done,
                planned=self._planned(done),
                best_metric=winner.metric if winner else None,
                best_netscore=winner.netscore if winner else None,
                left_s=self._left_s(done),
                limit_s=self.clock.limit_s,
                doing=doing,
                share=share,
            )
        )

    @property
    def _doing(self) -> str:
        """What is trained now, in words."""
        if not self.running:
            return "asking"
        if not self.config.ladder.top:
            return "training"
        return "comparing" if 0 in self.running.values() else "training to the end"

    def _planned(self, done: int) -> int | None:
        if self.config.ladder.top:
            return self._planned_on_ladder()
        if self.config.trials is not None:
            return self.config.trials
        pacing = self.planner.pacing
        trial_s = pacing.usual_s(self.designs)
        if self.clock.limit_s is None or not trial_s:
            return None
        left_s = max(0.0, pacing.left_s(self.designs, self._winner))
        return done + int(left_s * self.workers.size / trial_s)

    def _planned_on_ladder(self) -> int | None:
        """The trainings on both rungs, if none fails; None where only the time says how many there are."""
        designs = self.config.trials
        if designs is None:
            return None
        planned = self.planner.plan.to_the_top
        return designs + min(designs, FEWEST if planned is None else planned + 1)

    def _left_s(self, done: int) -> float | None:
        """What is left of the command's time; without a limit, an estimate for the trials still to be trained."""
        if self.clock.limit_s is not None:
            return self.clock.left_s
        trial_s = self.planner.pacing.usual_s(self.designs)
        if trial_s is None or self.config.trials is None or self.config.ladder.top:
            return None
        return (self.config.trials - done) * trial_s / self.workers.size

    def _write(self) -> None:
        """Leave the tables as the study says, and the time used."""
        self.table.rewrite(self.designs)
        write_trials(self.run.path / "pareto.csv", self.config.objective.front(self.designs))
        self.run.update_manifest(elapsed_s=self.clock.elapsed_s)

    def _outcome(self, status: Literal["complete", "stopped"]) -> SearchOutcome:
        objective = self.config.objective
        return SearchOutcome(
            status=status,
            ended=self.agenda.ended,
            trials=self.designs,
            infeasible=list(self.table.infeasible),
            choice=self.choice,
            baseline=baseline(self.designs),
            front=objective.front(self.designs),
            plan=self.planner.plan,
        )


def _study(config: SearchConfig, gate: Gate, run: RunFolder) -> SearchStudy:
    return SearchStudy(
        config.storage or f"sqlite:///{(run.path / 'study.db').resolve()}",
        config.study,
        space=gate.space,
        objective=config.objective,
        run=_run_id(run),
        folder=run.path,
        identity=config.identity(gate),
    )


def _run_id(run: RunFolder) -> str:
    """What the run's trials are known by in a storage that others may use, also after the folder is moved."""
    known = run.manifest.get("run_id")
    if known is None:
        known = f"{run.manifest['started']} {run.path.resolve()}"
        run.update_manifest(run_id=known)
    return str(known)


def _asker(config: SearchConfig, gate: Gate, table: TrialTable, first: Admission, worker: int) -> Asker:
    proposer = sampler(config.sampler, _dimensions(config, gate, first))
    return Asker(gate, config.objective, proposer, table, first, seed=config.seed, worker=worker)


def _dimensions(config: SearchConfig, gate: Gate, first: Admission) -> SearchDimensions:
    domains, directions = gate.space.dimensions, config.objective.directions
    return SearchDimensions(domains, directions, first.flat, gate, of_all_sizes=config.ladder.top > 0)


def _named(config: SearchConfig, gate: Gate) -> Genotype | None:
    designs = gate.space.designs
    name = config.first or next(iter(designs), None)
    return None if name is None else designs[name]


def _nothing(epoch_s: float) -> float:
    return 0.0
