"""The last third of a delivery: export a judged network, prove and time its graph, and write the bundle."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

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
GENOTYPE = "genotype.json"  # of a design that is a point of a space, to be named as a MODEL


def package(
    folder: Path, job: Assignment, trained: Trained, judged: Judged, say: Callable[[str], None] = lambda step: None
) -> Bundle:
    """Write what ships.

    Args:
        folder: where the bundle goes.
        job: what it was made from.
        trained: the network, its validation figures and how it was trained.
        judged: its test.
        say: is told each step in a few words.

    Raises:
        BundleError: the exported graph does not reproduce the network.
    """
    extras = {"split.json": json.dumps(job.split.to_json(job.images)), "predictions.json": judged.predictions}
    if job.design.genotype is not None:
        extras[GENOTYPE] = json.dumps(job.design.genotype.to_json(), indent=1) + "\n"
    with tempfile.TemporaryDirectory(prefix="compressdefect-") as temporary:
        say("exporting")
        graph = Path(temporary) / FP32
        figures = _exported(job, trained, graph, say)
        manifest = _manifest(job, trained, judged, figures)
        return write_bundle(folder, manifest, network=trained.network, graphs={FP32: graph}, extras=extras)


def _exported(job: Assignment, trained: Trained, graph: Path, say: Callable[[str], None]) -> GraphFigures:
    """The float32 graph, proven and timed."""
    export_onnx(trained.network, job.task, graph, input_shape=job.images.shape)
    sample = job.images.pixels[job.images.rows(job.split.train)[:PARITY_IMAGES]]
    difference = check_parity(trained.network, job.task, graph, sample)
    say(f"the graph and the network differ by {difference:.1e} at most on {len(sample)} inputs")
    rows = measure({job.name: graph}, threads=(job.threads,), max_seconds=3)
    return GraphFigures(
        precision="fp32",
        bytes=graph.stat().st_size,
        parity=Parity(images=len(sample), max_difference=difference),
        latency=tuple(map(_latency, rows)),
    )


def _latency(row: LatencyRow) -> LatencyFigures:
    return LatencyFigures(batch=row.batch, threads=row.threads, median_ms=row.median_ms, p95_ms=row.p95_ms)


def _manifest(job: Assignment, trained: Trained, judged: Judged, shipped: GraphFigures) -> BundleManifest:
    images, split = job.images, job.split
    cost = job.design.cost(input_shape=images.shape, heads=job.task.heads)
    mean, std = pixel_statistics(images, split.train)
    metrics: dict[str, dict[str, Any]] = {"val": trained.val} if trained.val else {}
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
        threshold=trained.val.get("threshold"),
        metrics={**metrics, "test": judged.test},
        cost=CostFigures(params=cost.params, macs=cost.macs, flops=cost.flops, peak_bytes=cost.peak_bytes),
        graphs={FP32: shipped},
        default_graph=FP32,
        machine=machine(),
        budgets=dict(job.budgets),
        data=describe_data(images, split),
        training=trained.training,
        deviations=job.deviations,
    )
