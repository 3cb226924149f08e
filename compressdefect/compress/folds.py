"""A compression judged out of fold, where there is no validation part.

The training part is cut into folds. For each a base is trained on the others by the model's own recipe, and taken
through the same steps. What these models answer on the images that they have not seen, put together, stands for what
the model itself answers at that step: it decides which steps hold, and gives the thresholds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

from compressdefect.compress.pipeline import Plan, Say, Steps, calibration_rows
from compressdefect.compress.precision import Judge, to_int8
from compressdefect.compress.quantize import METHODS, Flavour, FloatGraph, calibrate, quantized
from compressdefect.compress.stage import Bench, Stage
from compressdefect.data.split import Split
from compressdefect.models.design import Design
from compressdefect.models.inspector import Inspector
from compressdefect.train.fit import OnEpoch
from compressdefect.train.schedule import Deadline
from compressdefect.train.task import Records
from compressdefect.train.validate import FOLDS, parts_of

Train = Callable[[NDArray[np.int64], Deadline | None], Inspector]
"""Trains a base on some of the training images (n,)."""

QUICK_S = 0.1  # for which a flavour is timed: the model's own timing decides


@dataclass
class Answers:
    """What the folds answered at each step, in the order in which the model's own graphs come to be asked."""

    waiting: Iterator[Records]
    given: dict[Path, Records] = field(default_factory=dict)

    def __call__(self, graph: Path) -> Records:
        """The answers that stand for a graph's; those of one step for one graph."""
        if graph not in self.given:
            last = list(self.given.values())[-1:]
            self.given[graph] = next(self.waiting, *last)
        return self.given[graph]


def times(plan: Plan, own_epochs: int) -> float:
    """How often the model's own training is repeated, about, by the folds and by the model itself."""
    own, rounds = own_epochs, plan.config.epochs * _rounds(plan)
    return ((FOLDS - 1) * (own + rounds) + rounds) / own


def rehearsed(
    bench: Bench,
    design: Design,
    plan: Plan,
    train: Train,
    *,
    own_epochs: int,
    deadline: Deadline | None = None,
    on_epoch: OnEpoch | None = None,
    say: Say = lambda step: None,
) -> tuple[Bench, Plan, tuple[str, ...]]:
    """Take the folds through a plan.

    Args:
        bench: of the model, without a validation part.
        design: of the model.
        plan: the steps.
        train: trains the base of a fold.
        own_epochs: how long that takes.
        deadline: for all trainings, those of the model itself included.
        on_epoch: sees every epoch.
        say: is told each step in a few words.

    Returns:
        The bench with the folds' answers in place of the model's, the plan without what does not hold, and why it
        does not.

    Raises:
        TrainingError: a training diverged.
    """
    plan = replace(plan, rates=plan.rates[:1])  # the folds' answers are of one rate
    turns = _Turns(deadline, times(plan, own_epochs) * own_epochs)
    folds, stages = [], []
    for number, (part, held_out) in enumerate(parts_of(bench.images, bench.split)):
        say(f"part {number + 1} of {FOLDS}: training the model without it")
        own = replace(bench, split=Split(part, held_out, np.empty(0, dtype=np.int64), bench.split.seed))
        stages.append(own.stage("as it was", design, train(part, turns.next((FOLDS - 1) / FOLDS * own_epochs))))
        folds.append(Steps(own, stages[-1], plan, None, on_epoch, say, None))
    pooled = [_pooled(folds, stages)]
    for number, limit in enumerate(() if plan.target is None else plan.target.rounds()):
        epochs = (FOLDS - 1) / FOLDS * plan.config.epochs
        smaller = []
        for fold, stage in zip(folds, stages, strict=True):
            smaller.append(fold.round(number, stage, limit, turns.next(epochs)))
        pooled.append(_pooled(folds, smaller))
        if not bench.drop(pooled[0], pooled[-1]).holds:
            break
        stages = smaller
    notes: tuple[str, ...] = ()
    if plan.int8:
        drops = []
        for records in _quantized(folds, stages, say):
            pooled.append(records)
            drops.append(bench.drop(pooled[0], records))
            if drops[-1].holds:
                break
        if not drops[-1].holds:
            best = min(drops, key=lambda drop: drop.loss_after)
            notes = (f"int8 does not hold out of fold: {'; '.join(best.reasons)}",)
            plan = replace(plan, int8=False)
    return replace(bench, answering=Answers(iter(pooled))), plan, notes


@dataclass
class _Turns:
    """Shares what time there is between trainings, by their epochs."""

    deadline: Deadline | None
    left: float

    def next(self, epochs: float) -> Deadline | None:
        share, self.left = min(1.0, epochs / self.left), max(self.left - epochs, epochs)
        return None if self.deadline is None else self.deadline.part(share)


def _rounds(plan: Plan) -> int:
    return 0 if plan.target is None else len([*plan.target.rounds()])


def _quantized(folds: Sequence[Steps], stages: Sequence[Stage], say: Say) -> Iterator[Records]:
    """What the folds answer in int8 with ranges measured in one way after the other; all layers are quantized."""
    flavour: Flavour | None = None
    for method in METHODS:
        say(f"quantizing the parts, ranges by {method}")
        paths = []
        for fold, stage in zip(folds, stages, strict=True):
            pixels = fold.bench.images.pixels[calibration_rows(fold.bench)]
            if flavour is None:
                own, threads = fold.bench.folder, fold.bench.threads
                found = to_int8(stage.graph, own, pixels, _holding(stage), seconds=QUICK_S, threads=threads)
                flavour = found.flavour
            graph, path = FloatGraph.read(stage.graph), fold.bench.new_file()
            onnx.save(quantized(graph, calibrate(graph, pixels, method), flavour), path)
            paths.append(path)
        yield _together(folds, [fold.bench.answers(path) for fold, path in zip(folds, paths, strict=True)])


def _holding(stage: Stage) -> Judge:
    """Whatever a graph costs, it is kept."""
    return lambda graph: replace(stage.drop, metric_after=stage.drop.metric_before, escape_after=None, max_drop=1.0)


def _pooled(folds: Sequence[Steps], stages: Sequence[Stage]) -> Records:
    return _together(folds, [stage.records for stage in stages])


def _together(folds: Sequence[Steps], records: Sequence[Records]) -> Records:
    """The records of all training images (n, …) in their order."""
    order = np.argsort(np.concatenate([fold.bench.split.val for fold in folds]))
    found: Records = np.concatenate(list(records))[order]
    return found
