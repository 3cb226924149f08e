"""The last third of a delivery: export a judged network, prove and time its graph, and write the bundle."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from compressdefect.cost.latency import LatencyRow, machine, measure
from compressdefect.data.statistics import pixel_statistics
from compressdefect.deploy.assignment import Assignment, describe_data
from compressdefect.deploy.bundle import FP32, Bundle, write_bundle
from compressdefect.deploy.export import check_parity, export_onnx
from compressdefect.deploy.judging import Judged
from compressdefect.deploy.manifest import (
    BundleManifest,
    CostFigures,
    GraphFigures,
    LatencyFigures,
    Parity,
    Preprocessing,
    Reading,
)
from compressdefect.deploy.training import Trained

PARITY_IMAGES = 64
HEARD = "heard"  # in a bundle's split.json
GENOTYPE = "genotype.json"  # of a design that is a point of a space, to be named as a MODEL


class OtherGraph(NamedTuple):
    """A graph that ships beside the float32 one: its file, and its figures but for the latency."""

    path: Path
    figures: GraphFigures


def package(
    folder: Path,
    job: Assignment,
    trained: Trained,
    judged: Judged,
    say: Callable[[str], None] = lambda step: None,
    *,
    others: Mapping[str, OtherGraph] = MappingProxyType({}),
    default: str = FP32,
    val: Mapping[str, Any] | None = None,
    steps: Sequence[Mapping[str, Any]] = (),
) -> Bundle:
    """Write what ships.

    Args:
        folder: where the bundle goes.
        job: what it was made from.
        trained: the network, its validation figures and how it was trained.
        judged: its test.
        say: is told each step in a few words.
        others: further graphs by their file names.
        default: the graph that is used unless another is asked for; ``judged`` are its figures.
        val: its figures on validation images, with its threshold, where they are not the network's own.
        steps: of a compression, for the card.

    Raises:
        BundleError: the exported graph does not reproduce the network.
    """
    extras = {"split.json": json.dumps(_split(job)), "predictions.json": judged.predictions}
    if job.design.genotype is not None:
        extras[GENOTYPE] = json.dumps(job.design.genotype.to_json(), indent=1) + "\n"
    with tempfile.TemporaryDirectory(prefix="compressdefect-") as temporary:
        say("exporting")
        graphs = {FP32: Path(temporary) / FP32, **{name: other.path for name, other in others.items()}}
        figures = {FP32: _exported(job, trained, graphs[FP32], say)}
        figures |= {name: other.figures for name, other in others.items()}
        timed = _timed(graphs, job.threads)
        figures = {name: one.model_copy(update={"latency": timed[name]}) for name, one in figures.items()}
        manifest = _manifest(job, trained, judged, figures, default, trained.val if val is None else val, steps)
        return write_bundle(folder, manifest, network=trained.network, graphs=graphs, extras=extras)


def _split(job: Assignment) -> dict[str, Any]:
    """The split with, where there are any, the hashes of further images that the model learned of."""
    found = job.split.to_json(job.images)
    heard = sorted(job.heard.difference(found["train"]))
    return {**found, **({HEARD: heard} if heard else {})}


def _exported(job: Assignment, trained: Trained, graph: Path, say: Callable[[str], None]) -> GraphFigures:
    """The float32 graph, proven."""
    export_onnx(trained.network, job.task, graph, input_shape=job.images.shape)
    sample = job.images.pixels[job.images.rows(job.split.train)[:PARITY_IMAGES]]
    difference = check_parity(trained.network, job.task, graph, sample)
    say(f"the graph and the network differ by {difference:.1e} at most on {len(sample)} inputs")
    return GraphFigures(
        precision="fp32",
        bytes=graph.stat().st_size,
        parity=Parity(images=len(sample), max_difference=difference),
        threshold=trained.val.get("threshold"),
    )


def _timed(graphs: Mapping[str, Path], threads: int) -> dict[str, tuple[LatencyFigures, ...]]:
    """The latency of each graph, measured in turns."""
    rows = measure(graphs, threads=(threads,), max_seconds=3)
    return {name: tuple(_latency(row) for row in rows if row.name == name) for name in graphs}


def _latency(row: LatencyRow) -> LatencyFigures:
    return LatencyFigures(batch=row.batch, threads=row.threads, median_ms=row.median_ms, p95_ms=row.p95_ms)


def _manifest(
    job: Assignment,
    trained: Trained,
    judged: Judged,
    graphs: Mapping[str, GraphFigures],
    default: str,
    val: Mapping[str, Any],
    steps: Sequence[Mapping[str, Any]],
) -> BundleManifest:
    images, split = job.images, job.split
    cost = job.design.cost(input_shape=images.shape, heads=job.task.heads)
    mean, std = pixel_statistics(images, split.train)
    metrics: dict[str, dict[str, Any]] = {"val": dict(val)} if val else {}
    return BundleManifest(
        name=job.name,
        design=job.design.to_json(),
        task=job.task.name,
        heads=dict(job.task.heads),
        reading=Reading.of(job.task),
        classes=job.task.classes,
        good=job.task.good,
        input=images.shape,
        preprocessing=Preprocessing(mean=mean, std=std, tile=images.tile, bits=images.bits),
        threshold=val.get("threshold"),
        metrics={**metrics, "test": judged.test},
        cost=CostFigures(params=cost.params, macs=cost.macs, flops=cost.flops, peak_bytes=cost.peak_bytes),
        graphs=dict(graphs),
        default_graph=default,
        machine=machine(),
        budgets=dict(job.budgets),
        data=describe_data(images, split),
        training=trained.training,
        deviations=job.deviations,
        steps=tuple(map(dict, steps)),
    )
