"""What of a search ships: its finalists are quantized, the fastest of the best is taught, pruned and quantized again.

The winner is chosen by the graphs that would ship. Among designs that validation cannot tell from the best
(``search.winner``, on the answers of those graphs), and that ``--max-drop`` allows in its place, it is the one whose
graph is fastest, timed in turns on this machine; one whose graph breaks a budget cannot win. Trial 0 is treated as the
winner is, so that they compare.

All that is trained is kept in the run folder, and so is the choice: a run that was interrupted goes on from there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from compressdefect.compress.delivery import Account, rows_of, ship
from compressdefect.compress.drop import Drop
from compressdefect.compress.pipeline import (
    EPOCHS_SHARE,
    Outcome,
    Plan,
    calibration_rows,
    compress,
    quantized_stage,
    reachable,
)
from compressdefect.compress.precision import BRIEFLY_S, FP32, to_int8
from compressdefect.compress.prune import PruneConfig
from compressdefect.compress.shelf import Shelf
from compressdefect.compress.stage import Bench, Stage
from compressdefect.compress.target import Target
from compressdefect.compress.teaching import Teacher
from compressdefect.cost.latency import measure
from compressdefect.deploy.assignment import Assignment
from compressdefect.deploy.deliver import Delivered
from compressdefect.errors import InfeasibleError, ModelError
from compressdefect.flow.prepare import Prepared
from compressdefect.flow.request import Request
from compressdefect.flow.teachers import learned_from
from compressdefect.flow.train import fit_config
from compressdefect.flow.voice import Voice
from compressdefect.models.family_design import FamilyDesign
from compressdefect.models.inspector import Inspector
from compressdefect.models.weights import load_weights, weights_of
from compressdefect.runs import RunFolder
from compressdefect.search.clock import Clock
from compressdefect.search.config import SearchOutcome
from compressdefect.search.draws import derive_seed
from compressdefect.search.held_out import measures_of
from compressdefect.search.study import StoredTrial
from compressdefect.search.weights import read_weights, weights_path
from compressdefect.search.winner import TOLERANCE, Candidate, Choice, choose
from compressdefect.train.config import FitConfig
from compressdefect.train.schedule import Deadline

FOLDER = "compression"
FINALISTS = 5  # that keep the budgets
CHOOSING_SHARE = 0.4  # of the time kept for compressing, after which no further finalist is quantized
TEACHERS = 2
PRUNED = 0.5  # of the macs stay, where that holds
WINNER_SHARE = 0.6  # of the time that is left; the rest is trial 0's


@dataclass(frozen=True)
class Finalist:
    """A finished design with the graph that it would ship, and what of the budgets that breaks, in words."""

    trial: StoredTrial
    shipped: Stage
    broken: str


@dataclass(frozen=True)
class Shipping:
    """The part of a search behind its trials, where what was found is compressed.

    Attributes:
        request: what was asked for.
        data: images, split and task; there is a validation part.
        run: keeps the choice, and all that is trained.
        clock: the command's time.
        voice: says what is done.
        outcome: of the search.
        folder: where graphs are written.
    """

    request: Request
    data: Prepared
    run: RunFolder
    clock: Clock
    voice: Voice
    outcome: SearchOutcome
    folder: Path

    def choose(self) -> SearchOutcome:
        """The search's outcome with the winner by what ships; the same again where nothing was finished since.

        Raises:
            InfeasibleError: no finalist's graph keeps the budgets.
        """
        order = self._order()
        known, pool = self._noted, [trial.number for trial in order]
        if known.get("pool") != pool:
            found = self._finalists(order)
            rows = [_finalist_row(finalist) for finalist in found]
            choice = self._choice(found)
            known = {"pool": pool, "finalists": rows, "choice": choice.to_json()}
            self._note(known)
        choice = replace(Choice.from_json(known["choice"]), left_out=self._left_out)
        led = list(self.run.manifest.get("led", ()))
        led += [choice.winner] if choice.winner not in led[-1:] else []
        self.run.update_manifest(choice=choice.to_json(), led=led, elapsed_s=self.clock.elapsed_s)
        return replace(self.outcome, choice=choice)

    def _order(self) -> list[StoredTrial]:
        """Who may win: those a point below the best metric or less, the best first, the others by their NetScore.

        Behind them are the rest by their metric, for where none of those keeps the budgets.
        """
        finished = [trial for trial in self._pool if read_weights(self._weights_of(trial)) is not None]
        if not finished:
            raise ModelError("the weights of all finished designs are out of reach", fix="start a new run")
        best = max(finished, key=lambda trial: (trial.metric or 0.0, trial.netscore or 0.0))
        near = [t for t in finished if (t.metric or 0.0) >= (best.metric or 0.0) - TOLERANCE and t is not best]
        near.sort(key=lambda trial: (-(trial.netscore or 0.0), trial.number or 0))
        rest = [trial for trial in finished if trial is not best and trial not in near]
        return [best, *near, *sorted(rest, key=lambda trial: (-(trial.metric or 0.0), trial.number or 0))]

    def _finalists(self, order: Sequence[StoredTrial]) -> list[Finalist]:
        """The first so many designs that keep the budgets and may win, those that break them between."""
        found: list[Finalist] = []
        for trial in order:
            feasible = [finalist.trial.metric or 0.0 for finalist in found if not finalist.broken]
            is_far = bool(feasible) and (trial.metric or 0.0) < max(feasible) - TOLERANCE
            if is_far or len(feasible) == FINALISTS or (feasible and not self._is_time_to_choose):
                break
            self.voice.say(f"quantizing finalist {len(found) + 1}, trial {trial.number}")
            found.append(self._finalist(trial))
            if found[-1].broken:
                self.voice.say(f"trial {trial.number} breaks a budget as it would ship: {found[-1].broken}")
        return found

    @property
    def _is_time_to_choose(self) -> bool:
        left_s = self.clock.left_s - self.request.finish_s
        return left_s > (1 - CHOOSING_SHARE) * self.request.compress_s

    def _finalist(self, trial: StoredTrial) -> Finalist:
        stage = self.stage(trial)
        pixels = self.data.images.pixels[calibration_rows(self.bench)]

        def judge(graph: Path) -> Drop:
            return self.bench.drop(stage.records, self.bench.answers(graph))

        found = to_int8(
            stage.graph,
            self.folder,
            pixels,
            judge,
            seconds=BRIEFLY_S,
            threads=self.bench.threads,
            thorough=False,
        )
        stages = [stage, *([quantized_stage(stage, found, self.bench.answers(found.path))] if found.drop.holds else [])]
        timed = {"fp32": found.latency_ms[FP32], "int8": found.latency_ms[found.flavour.name]}
        return Finalist(trial, *self._within(stages, timed))

    def _within(self, stages: Sequence[Stage], latency_ms: dict[str, float]) -> tuple[Stage, str]:
        """The fastest graph of some that keeps the budgets, or the fastest and what it breaks."""
        broken = {}
        for stage in stages:
            checks = self.request.budgets.shipped_checks(stage.bytes, latency_ms[stage.precision])
            broken[stage.precision] = "; ".join(check.text for check in checks if check.violation > 0)
        best = min(stages, key=lambda stage: (bool(broken[stage.precision]), latency_ms[stage.precision]))
        return best, broken[best.precision]

    def _choice(self, finalists: Sequence[Finalist]) -> Choice:
        """The fastest of those that are as good as the best and may replace it by ``--max-drop``, timed in turns."""
        feasible = {finalist.trial.number or 0: finalist for finalist in finalists if not finalist.broken}
        if not feasible:
            raise InfeasibleError(
                "no finished design keeps the budgets as it would ship",
                got="; ".join(f"trial {finalist.trial.number} {finalist.broken}" for finalist in finalists),
                fix="raise the budget",
            )
        best = max((finalist.shipped for finalist in feasible.values()), key=_quality)
        feasible = {number: one for number, one in feasible.items() if self._may_replace(best, one)}
        graphs = {str(number): finalist.shipped.graph for number, finalist in feasible.items()}
        timed = measure(graphs, threads=(self.request.options.threads,), max_seconds=1.0)
        worth = {int(row.name): -row.median_ms for row in timed}
        candidates = [Candidate(number, worth[number], one.shipped.records) for number, one in feasible.items()]
        found = choose(candidates, measures_of(self.data.task, self.data.images, self.data.split.val))
        assert found is not None
        return found

    def _may_replace(self, best: Stage, finalist: Finalist) -> bool:
        """Whether a finalist costs no more beside the best than a step of a compression may."""
        drop = self.bench.drop(best.records, finalist.shipped.records)
        if not drop.holds:
            self.voice.say(f"trial {finalist.trial.number} cannot win: {'; '.join(drop.reasons)}")
        return drop.holds

    def deliver(self, name: str, trial: StoredTrial, deviations: tuple[str, ...]) -> Delivered:
        """Teach, prune and quantize the winner, test it once, and leave its bundle."""
        zero = self.outcome.baseline
        share = 1.0 if zero is None or zero.number == trial.number else WINNER_SHARE
        found, rows = self._treated(trial, share)
        job = self._job(name, trial, deviations=(*deviations, *found.notes))
        training = {**asdict(job.config), "epochs_trained": trial.epochs, "seconds": trial.seconds}
        if found.best is not found.stages[0]:
            training |= {"compressed_with": asdict(self._recipe(trial)), "taught_by": self._teacher[1]}
        heard = frozenset[str]().union(*(learned_from(bundle) for _, bundle in self.request.teachers))
        job = replace(job, design=found.best.design, heard=heard)
        done = ship(self.run.best, job, self.bench, found, Account(training, rows), say=self.voice.say)
        self._note({**self._noted, "winner": trial.fingerprint, "notes": list(found.notes)})
        return done

    def treat_zero(self, winner: StoredTrial) -> None:
        """Do with trial 0 what was done with the winner, but for the test; note what each step gave."""
        zero = self.outcome.baseline
        if zero is None or zero.number == winner.number or "zero" in self._noted:
            return
        if read_weights(self._weights_of(zero)) is None:
            self.voice.say("the weights of trial 0 are out of reach: it is not compressed")
            return
        self.voice.say("trial 0 gets the same treatment")
        found, rows = self._treated(zero, 1.0)
        self._note({**self._noted, "zero": {"steps": rows, "notes": list(found.notes)}})

    def is_delivered(self, trial: StoredTrial) -> bool:
        """Whether the run has this trial's bundle."""
        return self._noted.get("winner") == trial.fingerprint and (self.run.best / "bundle.json").is_file()

    def _treated(self, trial: StoredTrial, share: float) -> tuple[Outcome, list[dict[str, Any]]]:
        """A design after all steps, and these as rows."""
        deadline = None
        if self.request.limit_s is not None:
            left_s = self.clock.left_s - self.request.finish_s
            deadline = Deadline.after(share * max(left_s, 0.0))
        first = self.stage(trial)
        plan = Plan(None, PruneConfig(), self._recipe(trial), teacher=self._teacher, lesson=self._lesson(trial))
        try:
            plan = replace(plan, target=reachable(Target("macs", share=PRUNED), self.bench, first))
        except ModelError as error:
            self.voice.say(f"not pruned: {error}")
        found = compress(
            self.bench,
            first,
            plan,
            deadline=deadline,
            on_epoch=self.voice.epoch,
            say=self.voice.say,
            shelf=self._shelf(trial, first.network),
        )
        rows = rows_of(found, self.request.options.threads)
        return self._settled(found, rows)

    def _shelf(self, trial: StoredTrial, network: Inspector) -> Shelf:
        """What was trained of these weights by these teachers: after further trials others may teach."""
        digest = hashlib.sha256()
        for one in (network, *self._teacher[0].networks):
            digest.update(weights_of(one))
        folder = self.run.path / FOLDER / f"{trial.fingerprint}-{digest.hexdigest()[:8]}"
        return Shelf(folder, self.data.images.shape[0], self.data.task.heads)

    def _settled(self, found: Outcome, rows: list[dict[str, Any]]) -> tuple[Outcome, list[dict[str, Any]]]:
        """The outcome with the graph as the default that keeps the budgets, if it is not that already."""
        last = found.stages[-1]
        quantized = [last] if found.int8 is not None and last.drop.holds else []
        by_graph = {stage.graph: row["latency_ms"] for stage, row in zip(found.stages, rows, strict=True)}
        stages = [found.best, *quantized]
        best, broken = self._within(stages, {stage.precision: by_graph[stage.graph] for stage in stages})
        if broken:
            self.voice.say(f"over a budget when measured again: {broken}")
        for stage, row in zip(found.stages, rows, strict=True):
            row["ships"] = stage is best
        return replace(found, shipped=best), rows

    @cached_property
    def bench(self) -> Bench:
        """Measures every stage."""
        data = self.data
        options = self.request.options
        return Bench(data.images, data.split, data.task, self.folder, options.max_drop / 100, threads=options.threads)

    def stage(self, trial: StoredTrial) -> Stage:
        """A finished design as the search left it."""
        return self.bench.stage("as it was found", self._job("", trial).design, self._network(trial))

    def _job(self, name: str, trial: StoredTrial, deviations: tuple[str, ...] = ()) -> Assignment:
        data, options = self.data, self.request.options
        config = fit_config(options, data.shown, self.request.task)
        if self.outcome.plan.busy:
            config = replace(config, threads=1)
        seed = derive_seed(options.seed, trial.fingerprint)
        return Assignment(
            name,
            FamilyDesign(name, trial.design, input=data.images.shape[1]),
            data.images,
            data.split,
            data.task,
            replace(config, seed=seed),
            threads=options.threads,
            budgets=limits(self.request),
            deviations=deviations,
        )

    def _network(self, trial: StoredTrial) -> Inspector:
        network, weights = self._job("", trial).network(), read_weights(self._weights_of(trial))
        assert weights is not None, "only designs with weights are compressed"
        load_weights(network, weights)
        return network.eval()

    def _weights_of(self, trial: StoredTrial) -> Path:
        own = weights_path(self.run.path, trial.fingerprint)
        return own if own.is_file() else weights_path(trial.folder, trial.fingerprint)

    def _recipe(self, trial: StoredTrial) -> FitConfig:
        """The search's own for fewer epochs, as ``compress`` has it."""
        config = self._job("", trial).config
        epochs = max(1, round(EPOCHS_SHARE * (trial.epochs or config.epochs)))
        return replace(config, epochs=epochs, gradual=None)

    def _lesson(self, trial: StoredTrial) -> int:
        """Epochs of the first lesson: what the trial lacks of a whole training, or a round's where that is more."""
        return max(self._recipe(trial).epochs, self._job("", trial).config.epochs - (trial.epochs or 0))

    @cached_property
    def _teacher(self) -> tuple[Teacher, str]:
        """Those that were asked for, or the finished designs of the best metric; all know the training part alone."""
        given = self.request.teachers
        if given:
            networks = [bundle.network() for _, bundle in given]
            return Teacher(networks, self.data.task), ", ".join(bundle.manifest.name for _, bundle in given)
        finished = [trial for trial in self._pool if read_weights(self._weights_of(trial)) is not None]
        best = sorted(finished, key=lambda trial: (-(trial.metric or 0.0), trial.number or 0))[:TEACHERS]
        name = " and ".join(f"trial {trial.number}" for trial in best)
        return Teacher([self._network(trial) for trial in best], self.data.task), name

    @property
    def _pool(self) -> list[StoredTrial]:
        """The finished designs that can be compared."""
        trials = self.request.objective.pool(self.outcome.trials)
        return [trial for trial in trials if trial.number not in self._left_out]

    @property
    def _left_out(self) -> tuple[int, ...]:
        return self.outcome.choice.left_out if self.outcome.choice else ()

    @property
    def _noted(self) -> dict[str, Any]:
        return dict(self.run.manifest.get(FOLDER) or {})

    def _note(self, found: dict[str, Any]) -> None:
        self.run.update_manifest(**{FOLDER: found, "elapsed_s": self.clock.elapsed_s})


def limits(request: Request) -> dict[str, float]:
    """The budgets by the names that a card uses."""
    return {name.removesuffix("_bytes").removesuffix("_ms"): limit for name, limit in request.budgets.to_json().items()}


def _quality(stage: Stage) -> tuple[float, float]:
    """A stage's metric and, for where that is the same, its loss: higher is better."""
    return stage.drop.metric_after, -stage.drop.loss_after


def _finalist_row(finalist: Finalist) -> dict[str, Any]:
    stage = finalist.shipped
    return {
        "trial": finalist.trial.number,
        "precision": stage.precision,
        "metric": stage.drop.metric_after,
        "bytes": stage.bytes,
        "broken": finalist.broken,
    }


def ships(steps: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The row of the steps that ships."""
    return next(row for row in steps if row["ships"])
