"""``search``: explore under budgets, then finish the winner."""

from __future__ import annotations

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
from compressdefect.flow.finish import parse_peers, time_beside_peers, write_run_report
from compressdefect.flow.prepare import Prepared, Voice, budgets_of, check_free, prepare
from compressdefect.flow.train import FINISH_S, fit_config
from compressdefect.models.design import Design
from compressdefect.models.templates import TEMPLATES
from compressdefect.options import SearchOptions
from compressdefect.runs import RunFolder
from compressdefect.search.clock import Clock
from compressdefect.search.constraints import Budgets
from compressdefect.search.driver import SearchConfig, SearchOutcome, search
from compressdefect.search.evaluate import FOLDS, TrainingEvaluator
from compressdefect.search.gate import Gate
from compressdefect.search.latency import LatencyProbe
from compressdefect.search.objective import Objective
from compressdefect.search.progress import Bar
from compressdefect.search.quantity import parse_seconds
from compressdefect.search.reach import first_design
from compressdefect.search.samplers import SAMPLERS, SearchDimensions, sampler
from compressdefect.search.study import StoredTrial
from compressdefect.space.space import Space

DEFAULT_SPACE = "lightdefectnet"
DEFAULT_TIME = "6m"
LEAST_STEPS = 200  # of each training of a timed trial: after fewer, its metric says little about the design
FINAL_SHARE = 0.3  # most of a time limit that the final training may take
FINISH_SHARE = 0.2  # most of a time limit that export, latency and report may take


@dataclass(frozen=True)
class Plan:
    """Everything that was asked for, checked before any work is done."""

    options: SearchOptions
    space: Space
    budgets: Budgets
    objective: Objective
    peers: list[ModelRef]
    limit_s: float | None

    @classmethod
    def make(cls, options: SearchOptions) -> Plan:
        """Check the options.

        Raises:
            SpaceError: a space, budget, time or sampler is wrong.
            ModelError: a peer is unknown.
        """
        space = find_space(options.space or DEFAULT_SPACE)
        if space.template not in TEMPLATES:
            raise SpaceError(
                f"{space.name} has no known template", got=space.template, fix=known_names(space.template, TEMPLATES)
            )
        if options.sampler not in SAMPLERS:
            raise SpaceError("no such sampler", got=options.sampler, fix=known_names(options.sampler, SAMPLERS))
        for name in ("trials", "epochs", "workers", "threads_per_trial", "threads"):
            value = getattr(options, name)
            if value is not None and value < 1:
                raise SpaceError(f"--{name.replace('_', '-')} must be at least 1", got=value)
        timed = options.time or (None if options.trials else DEFAULT_TIME)
        return cls(
            options,
            space,
            Budgets.parse(**budgets_of(options)),
            Objective(
                options.objective,
                axis="latency_ms" if options.budget_latency else "macs",
                latency_exponent=options.latency_exponent,
            ),
            parse_peers(options.peers),
            None if timed is None else parse_seconds(timed, "--time"),
        )

    def config(self, data: Prepared) -> SearchConfig:
        """What the driver is told."""
        options = self.options
        train = len(data.split.train) if len(data.split.val) else len(data.split.train) * (FOLDS - 1) // FOLDS
        steps = math.ceil(train / fit_config(options, len(data.split.train)).batch_size)
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
        )

    def reserve(self, data: Prepared, epoch_s: float) -> float:
        """Seconds to leave for the final training and all that follows it, from seconds per epoch of a trial."""
        final_s = fit_config(self.options, len(data.split.train)).epochs * epoch_s
        if not len(data.split.val):
            final_s /= 2  # an epoch of a trial passes over the images twice: three folds of two thirds each
        return min(final_s, FINAL_SHARE * (self.limit_s or final_s)) + self.finish_s

    @property
    def finish_s(self) -> float:
        """Seconds to leave after the final training."""
        return FINISH_S if self.limit_s is None else min(FINISH_S, FINISH_SHARE * self.limit_s)


def run_search(options: SearchOptions, run: RunFolder | None, *, run_dir: Path | None = None) -> dict[str, Any]:
    """Search and deliver the winner; see ``api.search``. A ``run`` that is given is gone on with."""
    began = time.monotonic()
    plan, voice, resume = Plan.make(options), Voice(), run is not None
    check_free(run_dir)
    split = None if run is None else str(run.path / "split.json")
    data = prepare(_with_split(options, split), input=options.input or plan.space.input or 224, voice=voice)
    evaluator = _evaluator(data, options)
    gate = _gate(plan, data, evaluator)
    _check_start(plan, gate)
    if run is None:
        run = RunFolder.create(run_dir, data.task.name, _manifest(plan, data))
        run.write_json("split.json", data.split.to_json(data.images))
    clock = Clock(plan.limit_s, float(run.manifest.get("elapsed_s", 0.0)), began)
    run.update_manifest(status="running", finished=None)
    best = None
    try:
        outcome = _explore(plan, data, gate, evaluator, run, clock, voice, resume)
        if outcome.status == "complete":
            best = _deliver(plan, data, run, outcome, clock, voice)
    finally:
        run.update_manifest(elapsed_s=clock.elapsed_s)
        run.finish("stopped" if best is None else "complete")
        write_run_report(run, images=data.images)
    return _result(run, outcome, best)


def _explore(
    plan: Plan,
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
            plan.config(data),
            gate,
            evaluator,
            run,
            clock=clock,
            reserve=lambda epoch_s: plan.reserve(data, epoch_s),
            progress=bar,
            resume=resume,
        )
    voice.say(f"{outcome.trained} designs trained of {outcome.asked} asked: {outcome.ended}")
    return outcome


def _evaluator(data: Prepared, options: SearchOptions) -> TrainingEvaluator:
    mean, std = pixel_statistics(data.images, data.split.train)
    return TrainingEvaluator(data.images, data.split, data.task, fit_config(options, len(data.split.train)), mean, std)


def _gate(plan: Plan, data: Prepared, evaluator: TrainingEvaluator) -> Gate:
    shape, probe = data.images.shape, None
    if plan.budgets.latency_ms is not None or plan.objective.needs_latency:
        probe = LatencyProbe(
            lambda genotype: evaluator.build(genotype, data.images), data.task, shape, threads=plan.options.threads
        )
    return Gate(
        plan.space,
        TEMPLATES[plan.space.template],
        plan.budgets,
        input_shape=shape,
        classes=len(data.task.classes),
        latency=probe,
    )


def _check_start(plan: Plan, gate: Gate) -> None:
    """Fail before a run folder exists where nothing fits the budgets or a sampler lacks its package.

    Raises:
        InfeasibleError: no design of the space meets the budgets.
        MissingExtraError: the sampler needs a package that is not installed.
    """
    named = next(iter(plan.space.designs.values()), None)
    first = first_design(gate, named)
    sampler(plan.options.sampler, SearchDimensions(plan.space.dimensions, plan.objective.directions, first.flat))


def _manifest(plan: Plan, data: Prepared) -> dict[str, Any]:
    options = plan.options
    return {
        "command": "search",
        "task": data.task.name,
        "space": plan.space.name,
        "metric": options.metric,
        "objective": options.objective,
        "sampler": options.sampler,
        "budgets": plan.budgets.to_json(),
        "seed": options.seed,
        "data": describe_data(data.images, data.split),
        "skipped": [list(entry) for entry in data.images.skipped],
        "options": asdict(options),
    }


@dataclass(frozen=True)
class Best:
    """The winner and what became of it."""

    name: str
    trial: StoredTrial
    delivered: Delivered


def _deliver(plan: Plan, data: Prepared, run: RunFolder, outcome: SearchOutcome, clock: Clock, voice: Voice) -> Best:
    """Train the winner to the end, unless this run has delivered it before."""
    trial = outcome.winner
    if trial is None:
        raise TrainingError(
            "no design was trained to its end", got=outcome.ended, fix="give it more --time or --trials"
        )
    name = _name(plan.space, trial)
    before = _delivered_before(run, trial)
    if before is not None:
        voice.say(f"{name} is delivered already")
        return Best(name, trial, before)
    deviations = (
        ("an earlier winner of this run was tested on the same test images",)
        if (run.best / "bundle.json").is_file()
        else ()
    )
    job = Assignment(
        name,
        Design(name, trial.design, input=data.images.shape[1]),
        data.images,
        data.split,
        data.task,
        fit_config(plan.options, len(data.split.train)),
        threads=plan.options.threads,
        budgets=_limits(plan.budgets),
        deviations=deviations,
    )
    deadline = None
    if plan.limit_s is not None:
        left_s = max(clock.left_s - plan.finish_s, FINAL_SHARE * plan.limit_s / 3)
        deadline = time.monotonic() + left_s
    val = None if len(data.split.val) else trial.val
    delivered = deliver(run, job, val=val, deadline=deadline, on_epoch=voice.epoch, say=voice.say)
    run.update_manifest(netscore=trial.netscore)
    time_beside_peers(run, plan.peers, threads=plan.options.threads)
    return Best(name, trial, delivered)


def _delivered_before(run: RunFolder, trial: StoredTrial) -> Delivered | None:
    if not (run.best / "bundle.json").is_file():
        return None
    bundle = Bundle.open(run.best)
    manifest = bundle.manifest
    if manifest.genotype != trial.design.to_json():
        return None
    return Delivered(bundle, manifest.metrics["val"], manifest.metrics["test"], manifest.latency[0].median_ms)


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
        }
    return result
