"""The end of a compression: what ships is tested once, and its bundle written with a graph for each precision."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from compressdefect.compress.pipeline import Outcome, Say
from compressdefect.compress.precision import Int8
from compressdefect.compress.stage import Bench, Stage
from compressdefect.cost.latency import instructions, measure
from compressdefect.data.verdict import defect_scores, rejected
from compressdefect.deploy.assignment import Assignment
from compressdefect.deploy.bundle import FP32, INT8
from compressdefect.deploy.deliver import Delivered
from compressdefect.deploy.judging import Judged, judged
from compressdefect.deploy.manifest import Agreement, GraphFigures
from compressdefect.deploy.packaging import OtherGraph, package
from compressdefect.deploy.scoring import predict_graph
from compressdefect.deploy.training import Trained
from compressdefect.train.task import Task

TIMED_S = 2.0  # for which each step's graph is timed


def tested(job: Assignment, bench: Bench, stage: Stage) -> Judged:
    """What a stage does on the test images, at the threshold that validation gives it."""
    records = predict_graph(stage.graph, bench.images, bench.split.test, bench.task)
    return judged(job, records, bench.figures(stage)["threshold"])


class Account(NamedTuple):
    """What a bundle says of how it was made.

    Attributes:
        training: of its network.
        rows: of the steps.
    """

    training: Mapping[str, Any]
    rows: Sequence[Mapping[str, Any]]


def ship(folder: Path, job: Assignment, bench: Bench, outcome: Outcome, account: Account, *, say: Say) -> Delivered:
    """Test what ships, and write its bundle, with the graphs of both precisions where there are both.

    Args:
        folder: where the bundle goes.
        job: what it is of; its design is that of the float stage that ships.
        bench: what the stages were measured on.
        outcome: of the compression.
        account: of how it was made, for the card.
        say: is told each step in a few words.
    """
    best, shipped = outcome.best, outcome.shipped
    figures = {stage.graph: bench.figures(stage) for stage in (best, shipped, outcome.stages[-1])}
    say("testing")
    after = tested(job, bench, shipped)
    bundle = package(
        folder,
        job,
        Trained(best.network, figures[best.graph], dict(account.training)),
        after,
        say,
        others={} if outcome.int8 is None else {INT8: _int8_graph(bench, outcome, outcome.int8, figures)},
        default=FP32 if shipped is best else INT8,
        val=figures[shipped.graph],
        steps=account.rows,
    )
    return Delivered(bundle, figures[shipped.graph], after.test)


def rows_of(outcome: Outcome, threads: int) -> list[dict[str, Any]]:
    """Each step with its figures on validation images and its latency, all measured in turns."""
    timed = measure(
        {str(number): stage.graph for number, stage in enumerate(outcome.stages)},
        threads=(threads,),
        max_seconds=TIMED_S,
    )
    return [_row(stage, row.median_ms, outcome) for stage, row in zip(outcome.stages, timed, strict=True)]


def _row(stage: Stage, latency_ms: float, outcome: Outcome) -> dict[str, Any]:
    drop = stage.drop
    return {
        "title": stage.title,
        "precision": stage.precision,
        "metric": drop.metric_after,
        "loss": drop.loss_after,
        "escape": drop.escape_after,
        "params": stage.cost.params,
        "macs": stage.cost.macs,
        "bytes": stage.bytes,
        "latency_ms": latency_ms,
        "reasons": list(drop.reasons),
        "ships": stage is outcome.shipped,
    }


def _int8_graph(bench: Bench, outcome: Outcome, int8: Int8, figures: Mapping[Path, Mapping[str, Any]]) -> OtherGraph:
    """The int8 graph with all that was found of it; it ships beside the float one even where that is the default."""
    quantized = outcome.stages[-1]
    thresholds = [figures[stage.graph]["threshold"] for stage in (outcome.best, quantized)]
    found = GraphFigures(
        precision="int8",
        bytes=quantized.bytes,
        agreement=_agreement(bench, outcome.best, quantized, thresholds),
        threshold=thresholds[-1],
        instructions=instructions(),
        made=_made(int8),
    )
    return OtherGraph(quantized.graph, found)


def _made(int8: Int8) -> str:
    said = f"{int8.flavour.name}, ranges by {int8.method}"
    if int8.trained:
        said += ", trained for it"
    if int8.float_layers:
        said += f", {len(int8.float_layers)} of {int8.layers} layers in float"
    if int8.unplaced:
        said += f", {', '.join(int8.unplaced)} in float"
    return said


def _agreement(bench: Bench, one: Stage, other: Stage, thresholds: Sequence[float | None]) -> Agreement:
    """How alike two graphs answer to the validation images, each with its own threshold."""
    task, probabilities = bench.task, [bench.task.image_probabilities(stage.records) for stage in (one, other)]
    verdicts = [_verdicts(task, found, own) for found, own in zip(probabilities, thresholds, strict=True)]
    return Agreement(
        images=len(bench.labels),
        verdicts=float(np.mean(verdicts[0] == verdicts[1])),
        mean_difference=float(np.abs(probabilities[0] - probabilities[1]).mean()),
    )


def _verdicts(task: Task, probabilities: NDArray[np.floating], threshold: float | None) -> NDArray[Any]:
    """Which parts are rejected or, where there is no threshold, the most probable class of each (n,)."""
    if threshold is None or task.good is None:
        return np.asarray(probabilities.argmax(axis=1))
    return rejected(defect_scores(probabilities, task.good), threshold)
