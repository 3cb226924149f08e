"""``search``: explore under budgets, then finish the winner."""

from __future__ import annotations

import contextlib
import tempfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from compressdefect import units
from compressdefect.compress.pipeline import check_calibration
from compressdefect.compress.stage import Bench
from compressdefect.cost.cost import Cost
from compressdefect.data.statistics import pixel_statistics
from compressdefect.deploy.assignment import Assignment, Earlier, describe_data
from compressdefect.deploy.bundle import Bundle
from compressdefect.deploy.deliver import Delivered, deliver
from compressdefect.errors import DataError, TrainingError
from compressdefect.flow.finish import recorded, time_beside_peers, write_run_report
from compressdefect.flow.prepare import Prepared, check_free, prepare, say_what_hides
from compressdefect.flow.request import FINAL_SHARE, Request
from compressdefect.flow.ship import Shipping, limits, ships
from compressdefect.flow.stored import anchored
from compressdefect.flow.teachers import check_fits, check_leak
from compressdefect.flow.train import fit_config
from compressdefect.flow.voice import Voice
from compressdefect.models.family_design import FamilyDesign
from compressdefect.models.inspector import Inspector
from compressdefect.options import SearchOptions
from compressdefect.runs import RunFolder
from compressdefect.search.clock import Clock
from compressdefect.search.config import SearchConfig
from compressdefect.search.draws import derive_seed
from compressdefect.search.driver import SearchOutcome, search
from compressdefect.search.evaluate import Evaluator, TrainingEvaluator
from compressdefect.search.gate import Gate
from compressdefect.search.held_out import FOLDER, held_out_path, read_held_out
from compressdefect.search.identity import check_identity
from compressdefect.search.latency import LatencyProbe
from compressdefect.search.plan import final_epochs
from compressdefect.search.progress import Bar
from compressdefect.search.reach import first_design
from compressdefect.search.study import StoredTrial, check_study
from compressdefect.search.weights import read_weights, weights_path
from compressdefect.search.workers import open_workers
from compressdefect.space.genotype import Genotype
from compressdefect.space.space import Space
from compressdefect.train.schedule import Deadline
from compressdefect.train.validate import FOLDS, parts_of


def run_search(
    options: SearchOptions, run: RunFolder | None, *, began: float, run_dir: Path | None = None
) -> dict[str, Any]:
    """Search and deliver the winner; see ``api.search``. Resumes ``run`` if given.

    The command ``began`` before its modules were loaded, in ``time.monotonic`` seconds.
    """
    voice, resume = Voice(), run is not None
    request = Request.make(options, voice)
    if run is None:
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
        if options.compress:
            _check_compressible(request, data)
        config, gate = request.config(data), _gate(request, data)
        if run is not None:
            check_identity(config.identity(gate), run, resume)
        _check_start(config, gate)
        if run is None:
            run = RunFolder.create(run_dir, data.task.name, _manifest(request, data, config))
            stack.enter_context(run.held())
            run.write_json("split.json", data.split.to_json(data.images))
        clock = Clock(request.limit_s, float(run.manifest.get("elapsed_s", 0.0)), began)
        return _SearchFlow(request, config, data, gate, run, clock, voice).to_end(resume)


def _check_compressible(request: Request, data: Prepared) -> None:
    """Refuse images by which nobody could say what a step costs, and teachers that cannot or may not teach.

    Raises:
        DataError: there is no validation part, the training images are too few to measure ranges on, or a teacher
            knows images that judge its student.
        ModelError: a teacher answers another question, or looks at other images.
    """
    if not len(data.split.val):
        raise DataError(
            "there is no validation part to say what compressing costs",
            got=f"{len(data.split.train)} training images",
            fix="give more images, or a --split that has one; or leave --compress out",
        )
    check_calibration(Bench(data.images, data.split, data.task, Path()))
    for ref, bundle in request.teachers:
        check_fits(ref, bundle, data)
        check_leak(ref, bundle, data)


def _evaluator(request: Request, config: SearchConfig, data: Prepared) -> Evaluator:
    mean, std = pixel_statistics(data.images, data.split.train)
    recipe = fit_config(request.options, data.shown, data.task.name)
    return TrainingEvaluator(
        request.template, data.images, data.split, data.task, recipe, mean, std, first_fold=config.ladder.top > 0
    )


def _gate(request: Request, data: Prepared) -> Gate:
    shape, probe = data.images.shape, None
    if request.budgets.latency_ms is not None or request.objective.needs_latency:
        probe = _probe(request, data)
    return Gate(
        request.space,
        request.template,
        request.budgets,
        input_shape=shape,
        heads=data.task.heads,
        latency=probe,
        int8=request.options.compress,
    )


def _probe(request: Request, data: Prepared) -> LatencyProbe:
    shape, heads, template = data.images.shape, data.task.heads, request.template
    mean, std = pixel_statistics(data.images, data.split.train)

    def build(genotype: Genotype) -> Inspector:
        return Inspector.from_statistics(template.describe(genotype, heads).build(shape[0]), mean, std)

    return LatencyProbe(build, data.task, shape, threads=request.options.threads, int8=request.options.compress)


def _check_start(config: SearchConfig, gate: Gate) -> None:
    """Fail before a run folder exists where nothing fits the budgets or the study cannot be shared.

    Raises:
        InfeasibleError: no design of the space meets the budgets.
        RunError: the storage cannot be opened, or its study is for something else.
    """
    if config.storage is not None:
        check_study(config.storage, config.study, objective=config.objective, identity=config.identity(gate))
    first_design(gate, next(iter(gate.space.designs.values()), None))


def _manifest(request: Request, data: Prepared, config: SearchConfig) -> dict[str, Any]:
    options = request.options
    return {
        "command": "search",
        "task": data.task.name,
        "space": request.space.name,
        "metric": data.task.metric,
        "objective": options.objective,
        "sampler": config.sampler,
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


@dataclass(frozen=True)
class _SearchFlow:
    """A search from its first trial to its report: what was asked for, of which data, and what all steps work with."""

    request: Request
    config: SearchConfig
    data: Prepared
    gate: Gate
    run: RunFolder
    clock: Clock
    voice: Voice

    def to_end(self, resume: bool) -> dict[str, Any]:
        """Search, deliver, report."""
        best = None
        self.run.update_manifest(status="running", finished=None)
        with recorded(self.run, self.data.images):
            outcome = self._explore(resume)
            if outcome.status == "complete" and outcome.winner is not None and self.request.options.compress:
                outcome, best = self._compress(outcome)
            elif outcome.status == "complete":
                best = self._deliver(outcome)
        self.run.update_manifest(elapsed_s=self.clock.elapsed_s)
        self.run.finish("stopped" if best is None else "complete")
        write_run_report(self.run, images=self.data.images)
        return _result(self.run, outcome, best)

    def _explore(self, resume: bool) -> SearchOutcome:
        reason = self.request.why_no_ladder(self.data)
        if reason is not None:
            self.voice.say(f"every design is trained to the end, without short trainings before: {reason}")
        short = self.config.ladder.short
        on_ladder = short is not None
        if short is not None and short.scale == 1:
            self.voice.say("designs are compared on images as large as the input: smaller ones would lose defects")

        if kept_s := self.request.compress_s:
            self.voice.say(f"{units.duration(kept_s)} of the time are kept to compress what is found")

        def reserve(epoch_s: float) -> float:
            return self.request.reserve(self.data, self.config.ladder, epoch_s)

        with Bar(self.voice.console) as bar:
            outcome = search(
                self.config,
                self.gate,
                _evaluator(self.request, self.config, self.data),
                self.run,
                clock=self.clock,
                open_workers=open_workers,
                reserve=reserve,
                progress=bar,
                resume=resume,
            )
        self.voice.say(f"{_came_to(outcome, on_ladder)}; {outcome.ended}")
        for told in _left_out(self.request.space, outcome):
            self.voice.say(f"{told}: with their files back in {FOLDER}/, --resume compares these too")
        epochs, least = outcome.plan.epochs, self.config.least_epochs
        if epochs < least and epochs != self.request.options.epochs:
            self.voice.say(f"time for {epochs} of the {least} epochs that tell designs apart: more --time is worth it")
        return outcome

    def _deliver(self, outcome: SearchOutcome) -> Best:
        """Train the winner to the end and time it beside its peers, as far as this run has not done so before."""
        trial = outcome.winner
        if trial is None:
            raise TrainingError(
                f"no design was trained to its end: {outcome.ended}", fix="give it more --time or --trials"
            )
        name = _name(self.request.space, trial)
        delivered = self._delivered_before(trial)
        if delivered is None:
            delivered = self._train_winner(name, trial, outcome)
        else:
            self.voice.say(f"{name} is delivered already")
        self.run.update_manifest(netscore=trial.netscore)
        self._time_beside_peers(name)
        return Best(name, trial, delivered, _passed_over(self.request.space, outcome))

    def _compress(self, outcome: SearchOutcome) -> tuple[SearchOutcome, Best]:
        """Choose the winner by what would ship, and compress it and trial 0, as far as this run has not done so."""
        with tempfile.TemporaryDirectory(prefix="compressdefect-") as folder:
            shipping = Shipping(self.request, self.data, self.run, self.clock, self.voice, outcome, Path(folder))
            outcome = shipping.choose()
            trial = outcome.winner
            assert trial is not None
            name = _name(self.request.space, trial)
            self.voice.say(f"of the finalists {name} ships")
            done = self._delivered_before(trial) if shipping.is_delivered(trial) else None
            if done is None:
                self.run.update_manifest(peers=[])  # of an earlier delivery
                done = shipping.deliver(name, trial, self._deviations(outcome, trial))
            shipping.treat_zero(trial)
        cost, metric = done.bundle.manifest.cost, ships(done.bundle.manifest.steps)["metric"]
        shipped = replace(trial, params=cost.params, macs=cost.macs, flops=cost.flops, peak_bytes=cost.peak_bytes)
        netscore = self.request.objective.netscore(
            metric, Cost(cost.params, cost.macs, cost.peak_bytes), done.latency_ms
        )
        self.run.update_manifest(netscore=netscore)
        self._time_beside_peers(name)
        return outcome, Best(name, replace(shipped, netscore=netscore), done, _passed_over(self.request.space, outcome))

    def _time_beside_peers(self, name: str) -> None:
        if all(row["model"] != name for row in self.run.manifest.get("peers", ())):
            time_beside_peers(self.run, self.request.peers, threads=self.request.options.threads)

    def _train_winner(self, name: str, trial: StoredTrial, outcome: SearchOutcome) -> Delivered:
        request, data = self.request, self.data
        config, earlier = fit_config(request.options, data.shown, request.task), None
        if outcome.plan.busy:
            config = replace(config, threads=1)
        if self.config.ladder.top:
            seed = derive_seed(request.options.seed, trial.fingerprint)
            epochs = outcome.plan.epochs
            if not len(data.split.val):
                epochs = final_epochs(trial.epochs or epochs, config.epochs)
            config, earlier = replace(config, epochs=epochs, seed=seed), self._earlier(trial)
        job = Assignment(
            name,
            FamilyDesign(name, trial.design, input=data.images.shape[1]),
            data.images,
            data.split,
            data.task,
            config,
            threads=request.options.threads,
            budgets=limits(request),
            deviations=self._deviations(outcome, trial),
            earlier=earlier,
        )
        deadline = None
        if request.limit_s is not None:
            left_s = max(self.clock.left_s - request.finish_s, FINAL_SHARE * request.limit_s / 3)
            deadline = Deadline.after(left_s)
        delivered = deliver(self.run, job, deadline=deadline, on_epoch=self.voice.epoch, say=self.voice.say)
        self._say_what_breaks(delivered)
        return delivered

    def _say_what_breaks(self, delivered: Delivered) -> None:
        """A budget that the graph which ships does not keep, though the gate's measure of it did."""
        shipped = delivered.bundle.manifest.shipped
        for check in self.request.budgets.shipped_checks(shipped.bytes, delivered.latency_ms):
            if check.violation > 0:
                busy = "; is the machine busy?" if check.name == "latency" else ""
                self.voice.say(f"over the {check.name} budget when measured again: {check.text}{busy}")

    def _earlier(self, trial: StoredTrial) -> Earlier | None:
        """What the search has found of the winner by the final recipe; None where its answers are out of reach."""
        for folder in (self.run.path, trial.folder):
            answers = read_held_out(held_out_path(folder, trial.fingerprint))
            if answers is not None:
                weights = read_weights(weights_path(folder, trial.fingerprint))
                return Earlier(*answers, weights, trial.epochs or 0, trial.seconds or 0.0)
        self.voice.say("what the winner answered in the search is out of reach: it is trained again")
        return None

    def _deviations(self, outcome: SearchOutcome, trial: StoredTrial) -> tuple[str, ...]:
        """What a reader of the card should know about how this model was chosen."""
        found = _left_out(self.request.space, outcome)
        if outcome.baseline is None:
            found.append("trial 0 was not finished, so this model was not compared with the named design")
        if not len(self.data.split.val):
            on_ladder = self.config.ladder.top > 0
            length = f" for {trial.epochs} epochs" if on_ladder else ""
            found.append(
                f"validation figures and threshold are out of fold, of trainings by the final one's recipe{length}"
            )
            if on_ladder:
                compared_on = len(parts_of(self.data.images, self.data.split)[0][1])
                found.append(f"designs were compared by the first of {FOLDS} folds, on {compared_on} images")
        if self.data.split.group == "none":
            found.append("duplicates were not kept together, so the test figures may be too good")
        if (self.run.best / "bundle.json").is_file():
            found.append("an earlier winner of this run was tested on the same test images")
        return tuple(found)

    def _delivered_before(self, trial: StoredTrial) -> Delivered | None:
        if not (self.run.best / "bundle.json").is_file():
            return None
        bundle = Bundle.open(self.run.best)
        manifest = bundle.manifest
        if not self.request.options.compress and bundle.design().genotype != trial.design:
            return None
        return Delivered(bundle, manifest.metrics["val"], manifest.metrics["test"])


def _name(space: Space, trial: StoredTrial) -> str:
    """A named design by its name, any other by its space and fingerprint."""
    for name, design in space.designs.items():
        if design.fingerprint == trial.fingerprint:
            return name
    return f"{space.name}-{trial.fingerprint[:8]}"


def _with_split(options: SearchOptions, split: str | None) -> SearchOptions:
    return options if split is None else replace(options, split=split)


def _came_to(outcome: SearchOutcome, on_ladder: bool) -> str:
    """How far the designs came, in words."""
    tally = outcome.tally
    if on_ladder:
        climbed = f"of which {tally.climbed} climbed"
        return f"designs compared: {tally.compared} of {tally.asked} asked, {climbed}; finished: {tally.finished}"
    return f"designs trained: {outcome.trained} of {tally.asked} asked; finished: {tally.finished}"


def _result(run: RunFolder, outcome: SearchOutcome, best: Best | None) -> dict[str, Any]:
    result: dict[str, Any] = {
        "run": str(run.path),
        "task": run.manifest["task"],
        "status": outcome.status,
        "asked": outcome.asked,
        "infeasible": len(outcome.infeasible),
        "trained": outcome.trained,
        "compared": outcome.tally.compared,
        "finished": outcome.tally.finished,
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
        if "compression" in run.manifest:
            result["best"]["steps"] = list(delivered.bundle.manifest.steps)
            result["compression"] = run.manifest["compression"]
    return result


def _left_out(space: Space, outcome: SearchOutcome) -> list[str]:
    """The finished designs that were not compared, in a sentence; nothing where there are none."""
    choice = outcome.choice
    if choice is None or not choice.left_out:
        return []
    trials = [trial for trial in outcome.trials if trial.number in choice.left_out]
    names = ", ".join(f"trial {trial.number} ({_name(space, trial)})" for trial in trials)
    competed = f"{choice.competed} of {choice.competed + len(trials)}"
    return [
        f"finished designs that could be compared to win: {competed}; missing are the validation answers of {names}"
    ]


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
