"""A small space, a template in closed form and an evaluator that answers at once."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from compressdefect.blocks.part import Part, Step
from compressdefect.cost.piece import Piece, Shape, size
from compressdefect.errors import TrainingError
from compressdefect.models.graph import Graph, Heads, series
from compressdefect.models.template import Gene
from compressdefect.runs import RunFolder
from compressdefect.search.clock import Clock
from compressdefect.search.config import SearchConfig, SearchOutcome
from compressdefect.search.constraints import Budgets
from compressdefect.search.driver import search
from compressdefect.search.evaluate import NO_TIME, SHORTENED, GoOn, Interrupted, TrialJob, TrialResult
from compressdefect.search.gate import Gate, Latency
from compressdefect.search.held_out import HeldOut
from compressdefect.search.plan import Reserve
from compressdefect.search.progress import SearchProgress
from compressdefect.search.rungs import Rung
from compressdefect.search.winner import Measures
from compressdefect.search.workers import OpenWorkers, open_workers
from compressdefect.space.domain import ChoiceDomain, FloatDomain, IntDomain
from compressdefect.space.genotype import Genotype, StageGenes
from compressdefect.space.space import Condition, Parameter, Space

FIRST = Genotype(
    "fake",
    {"operator": "aads", "stem_width": 16, "rate": 0.25},
    tuple(
        StageGenes({"columns": 1, "width": width, "depth": 2, "lower": "exit"}, ({"block": "plain"},))
        for width in (24, 48)
    ),
)
SPACE = Space(
    name="fake",
    template="fake",
    summary="",
    tasks=("classify",),
    stages=2,
    parameters=(
        Parameter("stem_width", "net", IntDomain(8, 32, 8), role="width"),
        Parameter("rate", "net", FloatDomain(0.0, 0.5)),
        Parameter("columns", "stage", IntDomain(1, 3)),
        Parameter("width", "stage", IntDomain(8, 64, 8), role="width"),
        Parameter("depth", "stage", IntDomain(1, 3)),
        Parameter("lower", "stage", ChoiceDomain(("exit", "none"))),
        Parameter("block", "column", ChoiceDomain(("plain", "slim"))),
        Parameter("kernel", "column", ChoiceDomain((3, 5)), when=Condition("block", ("slim",))),
    ),
    column_count="columns",
    fixed={"net": {"operator": "aads"}},
    rules={"aads_only": True, "no_strided_pointwise": True},
    designs={"first": FIRST},
)


BUDGETS = Budgets(macs=8_000_000)
IMPATIENT = 20  # times its patience after which the evaluator gives up
HEADS: Heads = {"image": ("a", "b")}


class FakeTemplate:
    """Costs that grow with every gene that should make them grow."""

    name = "fake"
    tasks: tuple[str, ...] = ("classify",)
    genes: Mapping[str, Gene] = MappingProxyType({})

    def describe(self, genotype: Genotype, heads: Heads) -> Graph:
        net: Any = genotype.net
        parts = [("stem", Part(nn.Module, fake_cost, (3, net["stem_width"], 1), "", (Step("conv", 3, 2),)))]
        for number, stage in enumerate(genotype.stages, 1):
            genes: Any = stage.genes
            kernels = sum(9 if column["block"] == "plain" else column["kernel"] for column in stage.columns)
            lowers = genes["lower"] == "exit"
            steps = (Step(net["operator"], 1 if net["operator"] == "conv" else 3, 2),) if lowers else ()
            options = (kernels * genes["depth"], genes["width"], 2, lowers)
            parts.append((f"stage{number}", Part(nn.Module, fake_cost, options, "", steps)))
        (outputs,) = map(len, heads.values())
        parts.append(("head", Part(nn.Module, fake_head_cost, (outputs,), "")))
        return Graph(series(parts), dict.fromkeys(heads, "head"))


def fake_cost(shape: Shape, kernels: int, width: int, live: int, lowers: bool = False) -> Piece:
    channels, height, rows = shape
    out = (width, height >> lowers, rows >> lowers)
    weights, peak = kernels * channels * width, live * size(out)
    return Piece(out, weights + 100 * lowers, weights * height * rows, peak, peak)


def fake_head_cost(shape: Shape, outputs: int) -> Piece:
    return Piece((outputs, 1, 1), shape[0] * outputs, shape[0] * outputs, 0, 0)


class Killed(BaseException):
    """Stands for a kill -9 inside a trial."""


@dataclass
class FakeTime:
    """A clock that moves when an epoch is trained: by ``base_s`` and by ``mac_s`` for each of the design's macs.

    From ``busy_from`` on something else keeps the machine busy, and all takes ``slower`` times as long.
    """

    now: float = 0.0
    base_s: float = 0.0
    mac_s: float = 1e-7
    busy_from: float = math.inf
    slower: float = 1.0

    def __call__(self) -> float:
        return self.now

    def epoch_s(self, genotype: Genotype) -> float:
        macs = FakeTemplate().describe(genotype, HEADS).cost((3, 32, 32)).macs
        return (self.base_s + self.mac_s * macs) * (self.slower if self.now >= self.busy_from else 1)

    def clock(self, limit_s: float, spent_s: float = 0.0) -> Clock:
        return Clock(limit_s, spent_s, self.now, self)


@dataclass(frozen=True)
class FakeEvaluator:
    """Quality is a hash of the design; every call is written to ``log``; ``…_at`` count calls.

    When ``blind`` every design scores 0. With ``images`` each of so many is an answer: the first design gets three
    wrong, any other four to six. With ``time`` every epoch takes some of it, and a job's limit is kept; several threads
    take ``waiting`` times as long as one. When ``untimed`` no design but the first can be timed.
    """

    log: Path
    sleep_s: float = 0.0
    fails: bool = False
    interrupt_at: int | None = None
    kill_at: int | None = None
    images: int = 0
    blind: bool = False
    time: FakeTime | None = None
    waiting: float = 1.0
    weights: bool = False
    untimed: bool = False

    def __call__(self, job: TrialJob, go_on: GoOn) -> TrialResult:
        with self.log.open("a") as file:
            steps = job.rung.steps if job.rung else 0
            file.write(f"{job.genotype.fingerprint} {job.seed} {job.epochs} {job.threads} {steps}\n")
        calls = len(self.log.read_text().splitlines())
        if calls == self.interrupt_at:
            raise KeyboardInterrupt
        if calls == self.kill_at:
            raise Killed
        if self.fails:
            return TrialResult("failed", 0.01, reason="training diverged: got a loss of nan")
        return self._whole(job, go_on) if job.rung is None else self._compared(job, job.rung, go_on)

    def _whole(self, job: TrialJob, go_on: GoOn) -> TrialResult:
        curve: list[tuple[float, float]] = []
        moved = self.time or FakeTime()
        began, most_s = moved.now, math.inf if self.time is None or job.seconds is None else job.seconds
        for epoch in range(1, job.epochs + 1):
            time.sleep(self.sleep_s / job.epochs)
            moved.now += moved.epoch_s(job.genotype)
            if epoch == 1 and moved.now - began > most_s:
                return TrialResult("pruned", moved.now - began, reason=NO_TIME)
            if not go_on(epoch / job.epochs):
                raise Interrupted
            curve.append((epoch / job.epochs, quality(job.genotype) * epoch / job.epochs))
            if epoch < job.epochs and job.stop.stops(curve):
                return TrialResult("pruned", 0.01, epochs=epoch, curve=tuple(curve), reason="below the quartile")
            if moved.now - began >= most_s:
                break
        metric, held_out = 0.0 if self.blind else curve[-1][1], None
        if self.images:
            chance = np.random.default_rng(int(job.genotype.fingerprint, 16))
            held_out = HeldOut(np.arange(self.images), np.ones(self.images))
            wrong = 3 if job.genotype == FIRST else chance.integers(4, 7)
            held_out.records[chance.choice(self.images, wrong, replace=False)] = 0
            metric = float(held_out.records.mean())
        reason = "" if len(curve) == job.epochs else SHORTENED
        return TrialResult(
            "complete",
            0.01 if self.time is None else moved.now - began,
            metric,
            len(curve),
            tuple(curve),
            {"accuracy": metric},
            reason,
            held_out=held_out,
            weights=b"weights of " + job.genotype.fingerprint.encode() if self.weights and job.with_weights else None,
        )

    def _compared(self, job: TrialJob, rung: Rung, go_on: GoOn) -> TrialResult:
        moved = self.time or FakeTime()
        took_s = moved.epoch_s(job.genotype) * rung.steps / 100
        moved.now += took_s
        if job.seconds is not None and took_s > job.seconds:
            return TrialResult("pruned", took_s, reason=NO_TIME)
        go_on(1.0)
        probes = {"stage1": 0.1, "stage2": 0.0} if job.probed else {}
        return TrialResult("compared", max(took_s, 0.01), score=quality(job.genotype) / 2, probes=probes)

    def epoch_s(self, genotype: Genotype, threads: int, patience_s: float = math.inf) -> float:
        if genotype != FIRST and self.untimed:
            raise TrainingError("training diverged: got a loss of nan")
        found = max(self.sleep_s, 0.01) / 10 if self.time is None else self.time.epoch_s(genotype)
        found *= self.waiting if threads > 1 else 1
        return found if found < IMPATIENT * patience_s else math.inf

    def measures(self, indices: NDArray[np.integer]) -> Measures:
        return Measures({"accuracy": lambda records, rows: float(records.mean())}, indices)

    def without_data(self, folder: Path) -> FakeEvaluator:
        return self

    def prepare(self, threads: int, folder: Path | None = None) -> FakeEvaluator:
        return self


def quality(genotype: Genotype) -> float:
    return 0.5 + int(hashlib.sha256(genotype.fingerprint.encode()).hexdigest()[:6], 16) / 2**24 / 2


def fake_latency(genotype: Genotype) -> float:
    cost = FakeTemplate().describe(genotype, HEADS).cost((3, 32, 32))
    return 0.1 + cost.macs / 1e8


def gate(budgets: Budgets, *, space: Space = SPACE, latency: Latency | None = None) -> Gate:
    return Gate(space, FakeTemplate(), budgets, input_shape=(3, 32, 32), heads=HEADS, latency=latency)


def run_search(
    folder: Path,
    *,
    budgets: Budgets = BUDGETS,
    clock: Clock | None = None,
    resume: bool = False,
    evaluator: Mapping[str, Any] | None = None,
    space: Space = SPACE,
    latency: Latency | None = None,
    reserve: Reserve | None = None,
    open_workers: OpenWorkers = open_workers,
    progress: SearchProgress | None = None,
    **config: Any,
) -> SearchOutcome:
    """A whole search with the fakes; designs evaluated are in ``folder/log``."""
    run = RunFolder.open(folder) if resume else RunFolder.create(folder, "search", {})
    return search(
        SearchConfig(**{"epochs": 5, **config}),
        gate(budgets, space=space, latency=latency),
        FakeEvaluator(folder / "log", **(evaluator or {})),
        run,
        clock=clock or Clock(),
        open_workers=open_workers,
        reserve=reserve,
        progress=progress,
        resume=resume,
    )


def without_numbers(outcome: SearchOutcome) -> list[Any]:
    """Finished trials in order, without what differs between two equal runs."""
    trials = [trial for trial in outcome.trials if trial.state != "interrupted"]
    return [replace(trial, number=None, seconds=None) for trial in trials]
