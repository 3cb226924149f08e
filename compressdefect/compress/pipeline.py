"""Prune, teach what is left, quantize: one step after another, each held against the model that it began with.

A step that costs more than is allowed ends the pipeline, and the last model that holds is what ships. Channels go in
rounds, of which each takes at most ``ROUND`` of the macs and is followed by a training in which the unpruned model is
the teacher: what is taken at once is hard to learn back.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from compressdefect import units
from compressdefect.compress.channels import couple
from compressdefect.compress.drop import Drop
from compressdefect.compress.precision import FP32, Int8, to_int8
from compressdefect.compress.prune import Gradients, PruneConfig, check_limit, prune
from compressdefect.compress.qat import quantization_aware
from compressdefect.compress.stage import Bench, Stage
from compressdefect.compress.teaching import Pupil, Teacher, taught
from compressdefect.cost.counting import quick_macs
from compressdefect.data.truth import Truth
from compressdefect.deploy.export import export_onnx
from compressdefect.models.design import Design
from compressdefect.models.edited_design import EditedDesign
from compressdefect.models.edits import Edits, apply_edits, composed
from compressdefect.models.inspector import Inspector
from compressdefect.train.batches import gather
from compressdefect.train.config import FitConfig
from compressdefect.train.fit import OnEpoch, fit
from compressdefect.train.schedule import Deadline

ROUND = 0.7  # of the macs stay in a round, at least
CALIBRATION = 128  # training images that int8 ranges and importances are measured on
GRADIENT_BATCH = 16

Say = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """What is to be done.

    Attributes:
        macs: share of the macs that is to stay after pruning; None leaves all channels.
        pruning: how channels are chosen.
        config: the recipe of the training after each round, and of one with eight bits where that is needed.
        int8: whether the model is quantized in the end.
    """

    macs: float | None
    pruning: PruneConfig
    config: FitConfig
    int8: bool = True


@dataclass(frozen=True)
class Outcome:
    """What a pipeline did.

    Attributes:
        stages: every stage in order, the first one the model as it was; the last float one may not hold.
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
) -> Outcome:
    """Take a model through the steps of a plan.

    Args:
        bench: measures every stage.
        first: the model as it is.
        plan: the steps.
        deadline: for all trainings.
        on_epoch: sees every epoch.
        say: is told each step in a few words.

    Raises:
        ModelError: pruning cannot reach what is asked for.
        TrainingError: a training diverged.
    """
    stages, notes, rounds = [first], list[str](), list[float]()
    if plan.macs is not None:
        rounds = list(targets(plan.macs))
        _check_reach(bench, first, plan.macs)
    for number, share in enumerate(rounds):
        part = None if deadline is None else deadline.part(1 / (len(rounds) - number))
        stage = _pruned(bench, first, stages[-1], share, plan, part, on_epoch, say)
        stages.append(stage)
        say(f"{stage.title}: {_told(stage)}")
        if not stage.drop.holds:
            notes.append(f"stopped at {stage.title}: {'; '.join(stage.drop.reasons)}")
            break
    best = [stage for stage in stages if stage.drop.holds][-1]
    if not plan.int8:
        return Outcome(tuple(stages), best, None, best, tuple(notes))
    int8 = _quantized(bench, first, best, plan, deadline, on_epoch, say)
    quantized = replace(
        best,
        title=f"int8, {int8.flavour.name}",
        graph=int8.path,
        precision="int8",
        records=bench.answers(int8.path),
        drop=int8.drop,
    )
    say(f"{quantized.title}: {_told(quantized)}")
    stages.append(quantized)
    why_not = _why_not(int8)
    return Outcome(tuple(stages), best, int8, best if why_not else quantized, (*notes, *why_not))


def _quantized(
    bench: Bench,
    first: Stage,
    best: Stage,
    plan: Plan,
    deadline: Deadline | None,
    on_epoch: OnEpoch | None,
    say: Say,
) -> Int8:
    """The int8 graph of a stage; where it would cost too much, or only holds with layers in float, trained for it."""
    pixels = bench.images.pixels[calibration_rows(bench)]

    def judge(graph: Path) -> Drop:
        return bench.drop(first.records, bench.answers(graph))

    say("quantizing")
    found = to_int8(best.graph, bench.folder, pixels, judge)
    if found.drop.holds and not found.float_layers:
        return found
    say(f"training with eight bits, the first model is the teacher: {plan.config.epochs} epochs")
    network = copy.deepcopy(best.network)
    with quantization_aware(network, torch.from_numpy(pixels[:2])):
        _teach(bench, first, network, plan.config, deadline, on_epoch)
    graph = bench.new_file()
    export_onnx(network, bench.task, graph, input_shape=bench.images.shape)
    trained = replace(to_int8(graph, bench.folder, pixels, judge), trained=True)
    return min((trained, found), key=lambda one: (not one.drop.holds, len(one.float_layers), one.drop.loss_after))


def _teach(
    bench: Bench,
    first: Stage,
    network: Inspector,
    config: FitConfig,
    deadline: Deadline | None,
    on_epoch: OnEpoch | None,
) -> None:
    """Train a network in place, with the first model as its teacher."""
    pupil = Pupil(network, Teacher([first.network], bench.task))
    task, images, train = taught(bench.task), bench.images, bench.split.train
    fit(pupil, images, train, None, task, config, deadline=deadline, on_epoch=on_epoch)


def targets(share: float) -> Iterator[float]:
    """The shares of the macs that stay after each round, down to the one that is asked for, in even steps.

    >>> [round(target, 2) for target in targets(0.3)]
    [0.74, 0.55, 0.41, 0.3]
    """
    count = max(1, math.ceil(math.log(share) / math.log(ROUND) - 1e-9))
    yield from (share ** (number / count) for number in range(1, count + 1))


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


def _pruned(
    bench: Bench,
    first: Stage,
    stage: Stage,
    share: float,
    plan: Plan,
    deadline: Deadline | None,
    on_epoch: OnEpoch | None,
    say: Say,
) -> Stage:
    """One round: channels go until so much of the first model's macs is left, then what stays is trained."""
    shape, limit = bench.images.shape, share * first.cost.macs
    network = stage.network.network
    say(f"pruning to {units.count(limit)} macs")
    edits = prune(
        network,
        couple(network, shape),
        plan.pruning,
        limit=limit,
        measure=lambda smaller: float(quick_macs(smaller, shape)),
        gradients=gradients(bench, stage.network) if plan.pruning.importance == "taylor" else None,
    )
    smaller = copy.deepcopy(stage.network)
    apply_edits(smaller.network, edits)
    design = edited(stage.design, edits)
    say(f"training what is left, the first model is its teacher: {plan.config.epochs} epochs")
    _teach(bench, first, smaller, plan.config, deadline, on_epoch)
    macs = quick_macs(smaller.network, shape)
    return bench.stage(f"pruned to {units.count(macs)} macs", design, smaller.eval(), first=first)


def _check_reach(bench: Bench, first: Stage, share: float) -> None:
    """Refuse a target that no round will reach, before the first one is trained."""
    network, shape = first.network.network, bench.images.shape
    check_limit(
        network,
        couple(network, shape),
        share * first.cost.macs,
        lambda smaller: float(quick_macs(smaller, shape)),
        lambda macs: f"{units.count(macs)} macs",
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


def _told(stage: Stage) -> str:
    """A stage's figures in a line."""
    drop = stage.drop
    figures = f"validation {drop.metric} {units.percent(drop.metric_before)} → {units.percent(drop.metric_after)}"
    return figures if drop.holds else f"{figures}; {'; '.join(drop.reasons)}"


def _why_not(int8: Int8) -> tuple[str, ...]:
    """Why the float graph is the better one to ship; empty where it is not."""
    if not int8.drop.holds:
        return (f"int8 does not hold: {'; '.join(int8.drop.reasons)}",)
    fast, slow = int8.latency_ms[int8.flavour.name], int8.latency_ms[FP32]
    if fast >= slow:
        return (f"int8 is not faster here: {units.milliseconds(fast)} beside {units.milliseconds(slow)} in float",)
    return ()
