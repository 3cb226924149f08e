"""Teach, prune, teach what is left, quantize: one step after another, each held against the model that it began with.

A step that costs more than is allowed ends the pruning, and the last model that holds is what ships. Channels go in
rounds (``target.ROUND``), each of which is followed by a training in which the unpruned model is the teacher: what is
taken at once is hard to learn back. Others may teach instead, and then first of all the model as it is.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from compressdefect import units
from compressdefect.compress.channels import couple
from compressdefect.compress.drop import Drop
from compressdefect.compress.precision import FP32, Int8, to_int8
from compressdefect.compress.prune import Gradients, PruneConfig, check_limit, prune
from compressdefect.compress.qat import quantization_aware
from compressdefect.compress.shelf import Finished, Shelf
from compressdefect.compress.stage import Bench, Stage
from compressdefect.compress.target import Measured, Target
from compressdefect.compress.teaching import Pupil, Teacher, taught
from compressdefect.cost.counting import quick_macs
from compressdefect.data.truth import Truth
from compressdefect.deploy.export import export_onnx
from compressdefect.errors import DataError, TrainingError
from compressdefect.models.design import Design
from compressdefect.models.edited_design import EditedDesign
from compressdefect.models.edits import Edits, apply_edits, composed
from compressdefect.models.inspector import Inspector
from compressdefect.train.batches import gather
from compressdefect.train.config import FitConfig
from compressdefect.train.fit import OnEpoch, fit
from compressdefect.train.schedule import Deadline
from compressdefect.train.task import Records

CALIBRATION = 128  # training images that int8 ranges and importances are measured on
FEWEST = 32  # by which ranges can be measured
GRADIENT_BATCH = 16
EIGHT_BITS = "eight-bits"  # on the shelf, the network that was trained with them
EPOCHS_SHARE = 0.25  # of the model's own, in each round of pruning
LESSON_SHARE = 0.4  # of the time, where pruning follows
RATES = (1.0, 1 / 3)

Say = Callable[[str], None]
Cut = tuple[Edits, Inspector]  # what was cut out of a stage, and what is left of its network


@dataclass(frozen=True)
class Plan:
    """What is to be done.

    Attributes:
        target: what is to stay after pruning, as ``reachable`` says; None leaves all channels.
        pruning: how channels are chosen.
        config: the recipe of the training after each round, and of one with eight bits where that is needed.
        int8: whether the model is quantized in the end.
        teacher: who teaches, and is called what; None is the model as it was.
        lesson: epochs in which the model hears that teacher before all else.
        rates: shares of the recipe's learning rate, tried in turns after a round of pruning until the round holds: a
            small network learns back what it lost at the full rate, a wide one forgets at it.
    """

    target: Measured | None
    pruning: PruneConfig
    config: FitConfig
    int8: bool = True
    teacher: tuple[Teacher, str] | None = None
    lesson: int = 0
    rates: tuple[float, ...] = RATES


@dataclass(frozen=True)
class Outcome:
    """What a pipeline did.

    Attributes:
        stages: every stage in order, the first one the model as it was; float ones may not hold.
        best: the float stage that ships.
        int8: of ``best``, where it was quantized.
        shipped: the stage that is the default.
        notes: why a step was not kept, in words; empty where all were.
    """

    stages: tuple[Stage, ...]
    best: Stage
    int8: Int8 | None
    shipped: Stage
    notes: tuple[str, ...]


def compress(
    bench: Bench,
    first: Stage,
    plan: Plan,
    *,
    deadline: Deadline | None = None,
    on_epoch: OnEpoch | None = None,
    say: Say = lambda step: None,
    shelf: Shelf | None = None,
) -> Outcome:
    """Take a model through the steps of a plan.

    Args:
        bench: measures every stage.
        first: the model as it is.
        plan: the steps.
        deadline: for all trainings.
        on_epoch: sees every epoch.
        say: is told each step in a few words.
        shelf: where what was trained is kept, and found again.

    A training that diverges is a step that is not kept.
    """
    steps = Steps(bench, first, plan, deadline, on_epoch, say, shelf)
    taught, missed = steps.taught()
    gained = [stage for stage in taught if _is_better(stage.drop)]
    vain = [f"{stage.title} it gained nothing, so that is not kept" for stage in taught if not _is_better(stage.drop)]
    start = [first, *gained][-1]
    pruned, stopped = steps.pruned(start)
    best = [start, *(stage for stage in pruned if stage.drop.holds)][-1]
    stages = (first, *taught, *pruned)
    notes = (*missed, *vain, *stopped)
    if not plan.int8:
        return Outcome(stages, best, None, best, notes)
    int8, trouble = steps.quantized(best)
    quantized = quantized_stage(best, int8, bench.answers(int8.path))
    say(f"{quantized.title}: {_told(quantized)}")
    why_not = _why_not(int8)
    return Outcome((*stages, quantized), best, int8, best if why_not else quantized, (*notes, *trouble, *why_not))


def quantized_stage(stage: Stage, int8: Int8, records: Records) -> Stage:
    """A float stage's int8 graph, which answers with these records (n, …), as a stage of its own."""
    title = f"int8, {int8.flavour.name}"
    return replace(stage, title=title, graph=int8.path, precision="int8", records=records, drop=int8.drop)


@dataclass(frozen=True)
class Steps:
    """The steps on one model; for the fields see ``compress``."""

    bench: Bench
    first: Stage
    plan: Plan
    deadline: Deadline | None
    on_epoch: OnEpoch | None
    say: Say
    shelf: Shelf | None

    def taught(self) -> tuple[list[Stage], list[str]]:
        """The model after a lesson, if there is to be one, and why there was none."""
        plan = self.plan
        if plan.teacher is None or not plan.lesson:
            return [], []
        _, name = plan.teacher
        if self._is_over("taught"):
            return [], ["the time was over before it was taught"]

        def train() -> Finished:
            network = copy.deepcopy(self.first.network)
            part = LESSON_SHARE if plan.target else 1.0
            epochs = self._teach(network, self._part(part), replace(plan.config, epochs=plan.lesson))
            return Finished(self.first.design, network, epochs)

        try:
            return [self._kept("taught", lambda network: f"taught by {name}", plan.lesson, train)], []
        except TrainingError as error:
            return [], [self._told(f"not taught: {error}")]

    def pruned(self, start: Stage) -> tuple[list[Stage], list[str]]:
        """Every stage of the pruning of a stage, and why it ended early if it did."""
        stages, target = [start], self.plan.target
        limits = [] if target is None else list(target.rounds())
        for number, limit in enumerate(limits):
            assert target is not None
            if self._is_over(f"pruned-{number}"):
                return stages[1:], [f"the time was over before it was pruned to {target.show(limit)}"]
            deadline = self._part(1 / (len(limits) - number))
            try:
                stages.append(self.round(number, stages[-1], limit, deadline))
            except TrainingError as error:
                if self.bench.answering is not None:  # the folds went further: their answers are of other steps
                    raise
                return stages[1:], [self._told(f"stopped before {target.show(limit)}: {error}")]
            drop = stages[-1].drop
            if not drop.holds:
                return stages[1:], [f"stopped at {stages[-1].title}: {'; '.join(drop.reasons)}"]
        return stages[1:], []

    def _is_over(self, name: str) -> bool:
        """Whether there is no time for a training that is not on the shelf; where the folds had it, there is."""
        if self.bench.answering is not None:
            return False
        is_there = self.shelf is not None and self.shelf.get(name, self.first.network) is not None
        return self.deadline is not None and self.deadline.left_s <= 0 and not is_there

    def _part(self, share: float) -> Deadline | None:
        return None if self.deadline is None else self.deadline.part(share)

    def _kept(self, name: str, called: Callable[[Inspector], str], epochs: int, train: Callable[[], Finished]) -> Stage:
        """A trained stage: from the shelf, or trained and put there; its title says where time cut the epochs short."""
        found = self.shelf.get(name, self.first.network) if self.shelf else None
        design, network, trained = found or train()
        if self.shelf is not None and found is None:
            self.shelf.put(name, Finished(design, network, trained))
        title = called(network)
        if trained < epochs:
            title += f", trained for {trained} of {epochs} epochs"
        stage = self.bench.stage(title, design, network.eval(), first=self.first)
        self.say(f"{title}: {_told(stage)}")
        return stage

    def round(self, number: int, stage: Stage, limit: float, deadline: Deadline | None) -> Stage:
        """Channels go until what is measured is within the limit, then what stays is trained, at one rate or another.

        Raises:
            TrainingError: it diverged at every rate, or there was no time for it.
        """
        rates, cut = self.plan.rates, cache(lambda: self._cut(stage, limit))
        tried: list[Stage] = []
        for turn, rate in enumerate(rates):
            name = f"pruned-{number}" + (f"-{turn}" if turn else "")
            part = None if deadline is None else deadline.part(1 / (len(rates) - turn))
            if tried and self._is_over(name):
                break
            try:
                tried.append(self._trained_at(rate, name, stage, cut, part))
            except TrainingError:
                if not tried and rate == rates[-1]:
                    raise
            if tried and tried[-1].drop.holds:
                return tried[-1]
        return max(tried, key=lambda one: (one.drop.metric_after, -one.drop.loss_after))

    def _trained_at(
        self, rate: float, name: str, stage: Stage, cut: Callable[[], Cut], deadline: Deadline | None
    ) -> Stage:
        """What is left of a stage after a cut, trained at a share of the learning rate."""
        config = self.plan.config

        def train() -> Finished:
            edits, smaller = cut()
            network = copy.deepcopy(smaller)
            epochs = self._teach(network, deadline, replace(config, learning_rate=rate * config.learning_rate))
            return Finished(edited(stage.design, edits), network, epochs)

        def called(network: Inspector) -> str:
            title = f"pruned to {units.count(quick_macs(network.network, self.bench.images.shape))} macs"
            return title if rate == 1 else f"{title}, at {rate:.2g} of the learning rate"

        return self._kept(name, called, config.epochs, train)

    def _cut(self, stage: Stage, limit: float) -> Cut:
        target = self.plan.target
        assert target is not None, "a round is of a pruning with a target"
        self.say(f"pruning to {target.show(limit)}")
        network, shape, pruning = stage.network.network, self.bench.images.shape, self.plan.pruning
        slopes = gradients(self.bench, stage.network) if pruning.importance == "taylor" else None
        edits = prune(network, couple(network, shape), pruning, limit=limit, measure=target.measure, gradients=slopes)
        smaller = copy.deepcopy(stage.network)
        apply_edits(smaller.network, edits)
        return edits, smaller

    def quantized(self, best: Stage) -> tuple[Int8, list[str]]:
        """The int8 graph of a stage, and what went wrong.

        Where it costs too much, or layers stay in float, it is one that was trained for it, if that is better.
        """
        pixels = self.bench.images.pixels[calibration_rows(self.bench)]

        def judge(graph: Path) -> Drop:
            return self.bench.drop(self.first.records, self.bench.answers(graph))

        self.say("quantizing")
        found = to_int8(best.graph, self.bench.folder, pixels, judge, threads=self.bench.threads)
        if found.unplaced:
            self.say(f"int8 kernels have no place for {', '.join(found.unplaced)}: kept in float")
        is_fine = found.drop.holds and not found.float_layers
        if is_fine or not found.is_faster or self._is_over(EIGHT_BITS):
            return found, []
        self.say("quantized afterwards it costs too much: it is trained with eight bits")
        try:
            network = self._for_eight_bits(best, torch.from_numpy(pixels[:2]))
        except TrainingError as error:
            return found, [self._told(f"not trained with eight bits: {error}")]
        graph = self.bench.new_file()
        export_onnx(network, self.bench.task, graph, input_shape=self.bench.images.shape)
        again = to_int8(graph, self.bench.folder, pixels, judge, threads=self.bench.threads)
        trained = replace(again, trained=True)
        better = min((trained, found), key=lambda one: (not one.drop.holds, len(one.float_layers), one.drop.loss_after))
        return better, []

    def _for_eight_bits(self, best: Stage, example: Tensor) -> Inspector:
        """A stage's network, trained with eight bits, or found on the shelf."""
        known = self.shelf.get(EIGHT_BITS, best.network) if self.shelf else None
        if known is not None:
            return known.network
        network = copy.deepcopy(best.network)
        with quantization_aware(network, example):
            epochs = self._teach(network, self.deadline, self.plan.config)
        if self.shelf is not None:
            self.shelf.put(EIGHT_BITS, Finished(best.design, network, epochs))
        return network

    def _teach(self, network: Inspector, deadline: Deadline | None, config: FitConfig) -> int:
        """Train a network in place, with a teacher, for so many epochs: fewer than planned where the time is short.

        Raises:
            TrainingError: it diverged, or there was no time for it.
        """
        bench = self.bench
        teacher, name = self.plan.teacher or (Teacher([self.first.network], bench.task), "the first model")
        self.say(f"training for {config.epochs} epochs, taught by {name}")
        pupil = Pupil(network, teacher)
        train = bench.split.train
        fitted = fit(
            pupil, bench.images, train, None, taught(bench.task), config, deadline=deadline, on_epoch=self.on_epoch
        )
        if not all(bool(weight.isfinite().all()) for weight in network.state_dict().values()):
            raise TrainingError("training diverged", got="weights that are not finite", fix="lower the learning rate")
        if not fitted.history:  # what was not trained says nothing of the step
            raise TrainingError("there was no time left to train it", fix="give it more --time")
        return len(fitted.history)

    def _told(self, note: str) -> str:
        self.say(note)
        return note


def reachable(target: Target, bench: Bench, first: Stage) -> Measured:
    """A target, measured of the first model.

    Raises:
        ModelError: the model is within it, or pruning cannot reach it.
    """
    network, found = first.network.network, Measured.of(target, bench, first)
    check_limit(network, couple(network, bench.images.shape), found.limit, found.measure, found.show)
    return found


def calibration_rows(bench: Bench, count: int = CALIBRATION) -> NDArray[np.int64]:
    """Rows of training images, or of their tiles: of every class as many, as far as there are."""
    labels, rng = bench.task.labels(bench.images, bench.split.train), np.random.default_rng(0)
    order = rng.permutation(len(labels))
    rank = np.empty(len(labels), dtype=np.int64)
    for label in np.unique(labels):
        own = order[labels[order] == label]
        rank[own] = np.arange(len(own))
    chosen = bench.split.train[np.argsort(rank, kind="stable")[:count]]
    rows = bench.images.rows(chosen)
    return rows if len(rows) <= count else rng.choice(rows, count, replace=False)


def check_calibration(bench: Bench) -> None:
    """Refuse to measure ranges on a handful of images.

    Raises:
        DataError: there are fewer than ``FEWEST``.
    """
    if (found := len(calibration_rows(bench))) < FEWEST:
        raise DataError(
            "too few training images to measure the ranges of int8 on",
            got=found,
            fix=f"train on {FEWEST} or more, or do not quantize",
        )


def edited(design: Design, edits: Edits) -> EditedDesign:
    """The design of a network after edits; of one that was edited before, as edits of what it was at first."""
    if not isinstance(design, EditedDesign):
        return EditedDesign(design.name, design, edits)
    return replace(design, edits=composed(design.edits, edits))


def gradients(bench: Bench, network: Inspector) -> Gradients:
    """The gradient of the task's loss for each weight of a network, a mean over batches of training images."""
    chosen = calibration_rows(bench)
    found = copy.deepcopy(network).eval()  # with the statistics that it ships with
    pieces = bench.images.pieces
    for start in range(0, len(chosen), GRADIENT_BATCH):
        rows = chosen[start : start + GRADIENT_BATCH]
        loss = bench.task.loss(found(gather(pieces, rows)), Truth.of(pieces, rows, bench.task.needs))
        (loss * (len(rows) / len(chosen))).backward()
    return {
        name: torch.zeros_like(weight) if weight.grad is None else weight.grad
        for name, weight in found.network.named_parameters()
    }


def _is_better(drop: Drop) -> bool:
    """Whether the second model is the better one: by its metric or, where that is the same, its loss."""
    return drop.holds and (drop.metric_after, -drop.loss_after) > (drop.metric_before, -drop.loss_before)


def _told(stage: Stage) -> str:
    """A stage's figures in a line."""
    drop = stage.drop
    figures = f"validation {drop.metric} {units.percent(drop.metric_before)} → {units.percent(drop.metric_after)}"
    return figures if drop.holds else f"{figures}; {'; '.join(drop.reasons)}"


def _why_not(int8: Int8) -> tuple[str, ...]:
    """Why the float graph is the better one to ship; empty where it is not."""
    if not int8.drop.holds:
        return (f"int8 does not hold: {'; '.join(int8.drop.reasons)}",)
    if not int8.is_faster:
        fast, slow = (units.milliseconds(int8.latency_ms[name]) for name in (int8.flavour.name, FP32))
        return (f"int8 is not faster here: {fast} beside {slow} in float",)
    return ()
