"""Models side by side: static cost and latency at one input size, measured in turns."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from compressdefect.cost.cost import Cost
from compressdefect.cost.latency import LatencyRow, machine, measure
from compressdefect.deploy.export import export_onnx
from compressdefect.deploy.model_ref import ModelRef
from compressdefect.deploy.training import Say
from compressdefect.errors import ModelError, known_names
from compressdefect.train.tasks import task_kind

SHIPPED = "shipped"  # of a bundle the precision of its default graph, of any other model fp32
PRECISIONS = ("fp32", "int8", SHIPPED)

Quantize = Callable[[Path, Path, tuple[int, int, int]], None]
"""Writes the int8 graph of a float one, both paths, that takes images (C, H, W), for its latency alone."""


class Timing(NamedTuple):
    """How graphs are run to be timed.

    Attributes:
        batches: batch sizes; times are per sample.
        threads: intra-op thread counts.
        max_seconds: time for each model at each setting.
    """

    batches: Sequence[int] = (1,)
    threads: Sequence[int] = (1,)
    max_seconds: float = 10.0


TIMING = Timing()


@dataclass(frozen=True)
class _Entry:
    """One graph to time."""

    model: ModelRef
    precision: str
    cost: Cost
    graph: Path


def benchmark(
    models: Sequence[ModelRef],
    *,
    input: int | None = None,
    precisions: Sequence[str] = ("fp32",),
    timing: Timing = TIMING,
    quantize: Quantize | None = None,
    say: Say = lambda step: None,
) -> dict[str, Any]:
    """Compare models: one row per threads, batch, model and precision, in this order.

    All rows have one input: ``input`` pixels square, else the first trained model's, else 224, with the trained
    models' channels, else 3. A bundle is timed by the graph that ships unless the input differs from its own. An
    untrained design has 2 classes.

    ``ratio`` is a row's median latency over that of the first row with the same threads and batch: 8.8 means that the
    model takes 8.8 times as long as the first one.

    Args:
        models: what to compare.
        input: height and width in pixels.
        precisions: of ``PRECISIONS``.
        timing: how the graphs are run.
        quantize: makes the int8 graph of models that have none, at this input and for this CPU, of their own.
        say: is told in a line where a graph that ships was made for another CPU.

    Raises:
        ModelError: trained models differ in channels, or a precision is unknown or missing.
    """
    for name in precisions:
        if name not in PRECISIONS:
            raise ModelError("no such precision", got=name or "nothing", fix=known_names(name, PRECISIONS))
    shape = _common_input(models, input)
    with tempfile.TemporaryDirectory(prefix="compressdefect-") as folder:
        entries = {}
        for index, model in enumerate(models):
            cost = model.design.cost(input_shape=shape, heads=model.heads(), memory=False)  # rows show none
            for asked in precisions:
                precision = _shipped(model, say) if asked == SHIPPED else asked
                key = f"{index}-{precision}"
                entries[key] = _Entry(model, precision, cost, _graph(model, precision, shape, Path(folder), quantize))
        timed = measure(
            {key: entry.graph for key, entry in entries.items()},
            batches=timing.batches,
            threads=timing.threads,
            max_seconds=timing.max_seconds,
        )
    return {"machine": machine(), "rows": _rows(entries, timed, shape)}


def _rows(entries: dict[str, _Entry], timed: Sequence[LatencyRow], shape: tuple[int, int, int]) -> list[dict[str, Any]]:
    first: dict[tuple[int, int], float] = {}
    rows = []
    for row in timed:
        entry = entries[row.name]
        reference = first.setdefault((row.batch, row.threads), row.median_ms)
        rows.append(
            {
                "model": entry.model.name,
                "input": list(shape),
                "params": entry.cost.params,
                "macs": entry.cost.macs,
                "flops": entry.cost.flops,
                "precision": entry.precision,
                "batch": row.batch,
                "threads": row.threads,
                "median_ms": row.median_ms,
                "p95_ms": row.p95_ms,
                "ratio": row.median_ms / reference,
            }
        )
    return rows


def _common_input(models: Sequence[ModelRef], size: int | None) -> tuple[int, int, int]:
    trained = [(model, model.trained_input) for model in models if model.trained_input]
    if not trained:
        return (3, size or 224, size or 224)
    first, (channels, height, width) = trained[0]
    for model, shape in trained:
        if shape[0] != channels:
            raise ModelError(
                "the trained models take images of different channels",
                got=f"{first.name} {channels}, {model.name} {shape[0]}",
                fix="benchmark them in separate runs",
            )
    return (channels, size or height, size or width)


def _shipped(model: ModelRef, say: Say) -> str:
    bundle = model.bundle
    return bundle.manifest.graphs[bundle.graph_here(say)].precision if bundle else "fp32"


def _graph(
    model: ModelRef, precision: str, shape: tuple[int, int, int], folder: Path, quantize: Quantize | None
) -> Path:
    """The graph to time: the one that ships where it fits, else a new one in the folder."""
    bundle = model.bundle
    shipped = bundle.manifest.graph_of(precision) if bundle else None
    if bundle is not None and shipped is not None and model.trained_input == shape and bundle.suits(shipped):
        return bundle.file(shipped)
    path = Path(tempfile.mkdtemp(dir=folder)) / f"{precision}.onnx"
    if precision != "fp32":
        if quantize is None:
            raise ModelError(
                f"{model.name} has no {precision} graph at {shape[1]}×{shape[2]}",
                fix="use --precision fp32, or quantize it",
            )
        quantize(_graph(model, "fp32", shape, folder, quantize), path, shape)
        return path
    heads = model.heads()
    network = model.network(channels=shape[0], heads=heads)
    task = bundle.task() if bundle else task_kind(model.tasks[0]).on_heads(heads, good=None)
    export_onnx(network, task, path, input_shape=shape)
    return path
