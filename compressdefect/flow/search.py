"""``search``: explore under budgets, then finish the winner."""

from __future__ import annotations

import contextlib
import hashlib
import math
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from compressdefect.catalog import find_space
from compressdefect.deploy.bundle import Bundle
from compressdefect.deploy.deliver import Assignment, Delivered, deliver, describe_data, pixel_statistics
from compressdefect.deploy.model_ref import ModelRef
from compressdefect.errors import SpaceError, TrainingError, known_names
from compressdefect.flow.finish import parse_peers, recorded, time_beside_peers, write_run_report
from compressdefect.flow.prepare import (
    Prepared,
    budgets_of,
    check_free,
    check_options,
    check_split,
    choose_task,
    prepare,
    say_what_hides,
)
from compressdefect.flow.stored import anchored
from compressdefect.flow.train import FEW_IMAGES, FINISH_S, fit_config
from compressdefect.flow.voice import Voice
from compressdefect.models.family_design import FamilyDesign
from compressdefect.models.template import check_genes
from compressdefect.models.templates import TEMPLATES
from compressdefect.options import SearchOptions
from compressdefect.runs import RunFolder
from compressdefect.search.clock import Clock
from compressdefect.search.constraints import Budgets, active_rules
from compressdefect.search.driver import SearchConfig, SearchOutcome, search
from compressdefect.search.evaluate import TrainingEvaluator
from compressdefect.search.gate import Gate
from compressdefect.search.identity import check_identity
from compressdefect.search.latency import LatencyProbe
from compressdefect.search.objective import Objective
from compressdefect.search.progress import Bar
from compressdefect.search.quantity import parse_seconds
from compressdefect.search.reach import first_design
from compressdefect.search.samplers import SearchDimensions, sampler
from compressdefect.search.study import StoredTrial, check_storage
from compressdefect.space.space import Space
from compressdefect.train.batches import steps_per_epoch
from compressdefect.train.schedule import Deadline
from compressdefect.train.tasks import TASKS

DEFAULT_TIME = "6m"
LEAST_STEPS = 200  # of each training of a trial: after fewer, its metric says little about the design
FINAL_SHARE = 0.4  # most of a time limit that the final training may take, with the folds that give its threshold
FINISH_SHARE = 0.2  # most of a time limit that export, latency and report may take
_NOT_RECIPE = ("epochs", "seed", "threads", "accelerator")


@dataclass(frozen=True)
class Request:
    """Everything that was asked for, checked before any work is done; the space holds designs for the task alone."""

    options: SearchOptions
    task: str
    space: Space
    budgets: Budgets
    objective: Objective
    peers: list[ModelRef]
    limit_s: float | None

    @classmethod
    def make(cls, options: SearchOptions) -> Request:
        """Check the options.

        Raises:
            SpaceError: a space, budget, time or sampler is wrong.
            MissingExtraError: the sampler needs a package that is not installed.
            ModelError: a peer is unknown.
            DataError: another option, or the data folder, is wrong.
        """
        task, space = _space(options)
        if space.template not in TEMPLATES:
            raise SpaceError(
                f"{space.name} has no known template", got=space.template, fix=known_names(space.template, TEMPLATES)
            )
        check_options(options, task)
        check_split(options)
        fit_config(options, FEW_IMAGES, task)
        check_genes(space, TEMPLATES[space.template])
        active_rules(space.rules)
        objective = Objective(
            options.objective,
            axis="latency_ms" if options.budget_latency else "macs",
            latency_exponent=options.latency_exponent,
        )
        sampler(options.sampler, SearchDimensions(space.dimensions, objective.directions, {}))
        timed = options.time or (None if options.trials else DEFAULT_TIME)
        return cls(
            options,
            task,
            space,
            Budgets.parse(**budgets_of(options)),
            objective,
            parse_peers(options.peers, task),
            None if timed is None else parse_seconds(timed, "--time"),
        )

    def config(self, data: Prepared) -> SearchConfig:
        """What the driver is told."""
        options = self.options
        steps = steps_per_epoch(data.shown_to_decide, fit_config(options, data.shown, self.task).batch_size)
        return SearchConfig(
            objective=self.objective,
            sampler=options.sampler,
            seed=options.seed,
            trials=options.trials,
            epochs=options.epochs,
            least_epochs=math.ceil(LEAST_STEPS / steps),
            workers=options.workers,
            threads=options.threads_per_trial,
            storage=options.storage,
            study=options.study,
            data=_fingerprint(data),
            recipe=self.recipe(data),
        )

    def recipe(self, data: Prepared) -> dict[str, Any]:
        """How trials are trained, but for what a trial sets itself and what only says where it is trained."""
        config = asdict(fit_config(self.options, data.shown, self.task))
        return {name: value for name, value in config.items() if name not in _NOT_RECIPE}

    def reserve(self, data: Prepared, epoch_s: float) -> float:
        """Seconds to leave for the final training and all that follows it, from seconds per epoch of a trial."""
        final_s = fit_config(self.options, data.shown, self.task).epochs * epoch_s
        if not len(data.split.val):
            final_s *= 1.5  # a trial's epoch passes over the images twice, in three folds of two thirds; then once more
        return min(final_s, FINAL_SHARE * (self.limit_s or final_s)) + self.finish_s

    @property
    def finish_s(self) -> float:
        """Seconds to leave after the final training."""
        return FINISH_S if self.limit_s is None else min(FINISH_S, FINISH_SHARE * self.limit_s)


def _space(options: SearchOptions) -> tuple[str, Space]:
    """The task, and the space as far as it has designs for it."""
    if options.space is None:
        task = choose_task(options, tuple(TASKS), "a search")
        space = find_space(TASKS[task].space)
    else:
        space = find_space(options.space)
        task = choose_task(options, space.tasks, space.name)
    return task, space.for_task(task)


def run_search(options: SearchOptions, run: RunFolder | None, *, run_dir: Path | None = None) -> dict[str, Any]:
    """Search and deliver the winner; see ``api.search``. Resumes ``run`` if given."""
    began = time.monotonic()
    request, voice, resume = Request.make(options), Voice(), run is not None
    check_free(run_dir)
    say_what_hides(voice)
    with contextlib.ExitStack() as stack:
        if run is not None:
            stack.enter_context(run.held())
        split = None if run is None else str(run.path / "split.json")
        data = prepare(
            _with_split(options, split),
            input=options.input or request.space.input or 224,
            task=request.task,
            voice=voice,
        )
        data.check_decidable()
        evaluator = _evaluator(data, options)
        gate = _gate(request, data, evaluator)
        if run is not None:
            check_identity(request.config(data).identity(gate), run, resume)
        _check_start(request, gate)
        if run is None:
            run = RunFolder.create(run_dir, data.task.name, _manifest(request, data))
            stack.enter_context(run.held())
            run.write_json("split.json", data.split.to_json(data.images))
        clock = Clock(request.limit_s, float(run.manifest.get("elapsed_s", 0.0)), began)
        return _run_to_end(request, data, gate, evaluator, run, clock, voice, resume)


def _run_to_end(
    request: Request,
    data: Prepared,
    gate: Gate,
    evaluator: TrainingEvaluator,
    run: RunFolder,
    clock: Clock,
    voice: Voice,
    resume: bool,
) -> dict[str, Any]:
    """Search, deliver, report."""
    best = None
    run.update_manifest(status="running", finished=None)
    with recorded(run, data.images):
        outcome = _explore(request, data, gate, evaluator, run, clock, voice, resume)
        if outcome.status == "complete":
            best = _deliver(request, data, run, outcome, clock, voice)
    run.update_manifest(elapsed_s=clock.elapsed_s)
    run.finish("stopped" if best is None else "complete")
    write_run_report(run, images=data.images)
    return _result(run, outcome, best)


def _explore(
    request: Request,
    data: Prepared,
    gate: Gate,
    evaluator: TrainingEvaluator,
    run: RunFolder,
    clock: Clock,
    voice: Voice,
    resume: bool,
) -> SearchOutcome:
    with Bar(voice.console) as bar:
        outcome = search(
            request.config(data),
            gate,
            evaluator,
            run,
            clock=clock,
            reserve=lambda epoch_s: request.reserve(data, epoch_s),
            progress=bar,
            resume=resume,
        )
    voice.say(f"{outcome.trained} designs trained of {outcome.asked} asked: {outcome.ended}")
    return outcome


def _evaluator(data: Prepared, options: SearchOptions) -> TrainingEvaluator:
    mean, std = pixel_statistics(data.images, data.split.train)
    config = fit_config(options, data.shown, data.task.name)
    return TrainingEvaluator(data.images, data.split, data.task, config, mean, std)


def _gate(request: Request, data: Prepared, evaluator: TrainingEvaluator) -> Gate:
    shape, probe = data.images.shape, None
    if request.budgets.latency_ms is not None or request.objective.needs_latency:
        probe = LatencyProbe(
            lambda genotype: evaluator.build(genotype, data.images), data.task, shape, threads=request.options.threads
        )
    return Gate(
        request.space,
        TEMPLATES[request.space.template],
        request.budgets,
        input_shape=shape,
        heads=data.task.heads,
        latency=probe,
    )


def _check_start(request: Request, gate: Gate) -> None:
    """Fail before a run folder exists where nothing fits the budgets or the storage cannot be opened.

    Raises:
        InfeasibleError: no design of the space meets the budgets.
        RunError: the storage cannot be opened.
    """
    if request.options.storage is not None:
        check_storage(request.options.storage)
    first_design(gate, next(iter(request.space.designs.values()), None))


def _manifest(request: Request, data: Prepared) -> dict[str, Any]:
    options = request.options
    return {
        "command": "search",
        "task": data.task.name,
        "space": request.space.name,
        "metric": data.task.metric,
        "objective": options.objective,
        "sampler": options.sampler,
        "budgets": request.budgets.to_json(),
        "seed": options.seed,
        "data": describe_data(data.images, data.split),
        "skipped": [list(entry) for entry in data.images.skipped],
        "options": asdict(anchored(options)),
    }


@dataclass(frozen=True)
class Best:
    """The winner and what became of it."""

    name: str
    trial: StoredTrial
    delivered: Delivered
    passed_over: dict[str, Any] | None


def _deliver(
    request: Request, data: Prepared, run: RunFolder, outcome: SearchOutcome, clock: Clock, voice: Voice
) -> Best:
    """Train the winner to the end and time it beside its peers, as far as this run has not done so before."""
    trial = outcome.winner
    if trial is None:
        raise TrainingError(
            "no design was trained to its end", got=outcome.ended, fix="give it more --time or --trials"
        )
    name = _name(request.space, trial)
    delivered = _delivered_before(run, trial)
    if delivered is None:
        delivered = _train_winner(request, data, run, outcome, trial, clock, voice)
    else:
        voice.say(f"{name} is delivered already")
    run.update_manifest(netscore=trial.netscore)
    if all(row["model"] != name for row in run.manifest.get("peers", ())):
        time_beside_peers(run, request.peers, threads=request.options.threads)
    return Best(name, trial, delivered, _passed_over(request.space, outcome))


def _train_winner(
    request: Request,
    data: Prepared,
    run: RunFolder,
    outcome: SearchOutcome,
    trial: StoredTrial,
    clock: Clock,
    voice: Voice,
) -> Delivered:
    name = _name(request.space, trial)
    job = Assignment(
        name,
        FamilyDesign(name, trial.design, input=data.images.shape[1]),
        data.images,
        data.split,
        data.task,
        fit_config(request.options, data.shown, request.task),
        threads=request.options.threads,
        budgets=_limits(request.budgets),
        deviations=_deviations(request, data, run, outcome),
    )
    deadline = None
    if request.limit_s is not None:
        left_s = max(clock.left_s - request.finish_s, FINAL_SHARE * request.limit_s / 3)
        deadline = Deadline.after(left_s)
    delivered = deliver(run, job, deadline=deadline, on_epoch=voice.epoch, say=voice.say)
    limit_ms = request.budgets.latency_ms
    if limit_ms is not None and delivered.latency_ms > limit_ms:
        voice.say(f"over the latency budget when measured again: {delivered.latency_ms:.3f} ms; is the machine busy?")
    return delivered


def _deviations(request: Request, data: Prepared, run: RunFolder, outcome: SearchOutcome) -> tuple[str, ...]:
    """What a reader of the card should know about how this model was chosen."""
    found = []
    if outcome.baseline is None:
        found.append("trial 0 was not finished, so this model was not compared with the named design")
    if not len(data.split.val):
        found.append("validation figures and threshold are out of fold, of trainings by the final one's recipe")
    if data.split.group == "none":
        found.append("duplicates were not kept together, so the test figures may be too good")
    if (run.best / "bundle.json").is_file():
        found.append("an earlier winner of this run was tested on the same test images")
    return tuple(found)


def _delivered_before(run: RunFolder, trial: StoredTrial) -> Delivered | None:
    if not (run.best / "bundle.json").is_file():
        return None
    bundle = Bundle.open(run.best)
    manifest = bundle.manifest
    if bundle.design().genotype != trial.design:
        return None
    return Delivered(bundle, manifest.metrics["val"], manifest.metrics["test"], manifest.shipped.latency[0].median_ms)


def _fingerprint(data: Prepared) -> str:
    """Of the images, how they are shown, what they are told apart by, and how they are split."""
    images, split = data.images, data.split
    shown = (images.shape, images.tile, images.bits)
    parts = (images.fingerprint, *shown, data.task, split.train.tolist(), split.val.tolist())
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def _limits(budgets: Budgets) -> dict[str, float]:
    """The budgets by the names that a card uses."""
    return {name.removesuffix("_bytes").removesuffix("_ms"): limit for name, limit in budgets.to_json().items()}


def _name(space: Space, trial: StoredTrial) -> str:
    """A named design by its name, any other by its space and fingerprint."""
    for name, design in space.designs.items():
        if design.fingerprint == trial.fingerprint:
            return name
    return f"{space.name}-{trial.fingerprint[:8]}"


def _with_split(options: SearchOptions, split: str | None) -> SearchOptions:
    return options if split is None else replace(options, split=split)


def _result(run: RunFolder, outcome: SearchOutcome, best: Best | None) -> dict[str, Any]:
    result: dict[str, Any] = {
        "run": str(run.path),
        "task": run.manifest["task"],
        "status": outcome.status,
        "asked": outcome.asked,
        "infeasible": len(outcome.infeasible),
        "trained": outcome.trained,
        "best": None,
    }
    if best is not None:
        trial, delivered = best.trial, best.delivered
        result["best"] = {
            "design": best.name,
            "input": list(delivered.bundle.manifest.input),
            "params": trial.params,
            "macs": trial.macs,
            "flops": trial.flops,
            "latency_ms": delivered.latency_ms,
            "netscore": trial.netscore,
            "val": delivered.val,
            "test": delivered.test,
            "passed_over": best.passed_over,
        }
    return result


def _passed_over(space: Space, outcome: SearchOutcome) -> dict[str, Any] | None:
    """The design with the best metric where another one won: how much better it is, and what the winner saves."""
    better, winner, choice = outcome.passed_over, outcome.winner, outcome.choice
    if better is None or winner is None or choice is None:
        return None
    gap = next(iter(choice.gaps.values()))
    return {
        "trial": better.number,
        "design": _name(space, better),
        "metric": better.metric,
        "better_by": gap.difference,
        "standard_error": gap.standard_error,
        "params": better.params,
        "macs": better.macs,
        "flops": better.flops,
        "latency_ms": better.latency_ms,
        "netscore": better.netscore,
        "ratios": {name: getattr(winner, name) / getattr(better, name) for name in ("params", "flops")},
    }
