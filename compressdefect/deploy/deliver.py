"""The end of every training: train to the end, test once, export, prove the graph, time it, write the bundle."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from compressdefect.cost.latency import LatencyRow, machine, measure
from compressdefect.data.images import Images
from compressdefect.data.split import Split
from compressdefect.deploy.bundle import FP32, Bundle, write_bundle
from compressdefect.deploy.export import check_parity, export_onnx
from compressdefect.deploy.manifest import (
    BundleManifest,
    CostFigures,
    GraphFigures,
    LatencyFigures,
    Parity,
    Preprocessing,
    Reading,
)
from compressdefect.errors import TrainingError
from compressdefect.models.design import Design
from compressdefect.models.inspector import Inspector
from compressdefect.runs import RunFolder
from compressdefect.train.config import FitConfig
from compressdefect.train.fit import FitResult, OnEpoch, fit
from compressdefect.train.predict import predict
from compressdefect.train.schedule import Deadline
from compressdefect.train.task import Records, Task
from compressdefect.train.validate import FOLDS, seeded, validate

PARITY_IMAGES = 64

Say = Callable[[str], None]


@dataclass(frozen=True)
class Assignment:
    """What is to be delivered: a design, the images and their split, and the recipe.

    Attributes:
        name: what the bundle calls the model.
        design: builds the network.
        images: all images.
        split: the test part is predicted once, by the finished network.
        task: what the training is for.
        config: the recipe of the final training.
        threads: CPU threads that latency is measured with.
        budgets: the limits that the design keeps, for the card.
        deviations: what a reader of the card should know, in sentences.
    """

    name: str
    design: Design
    images: Images
    split: Split
    task: Task
    config: FitConfig
    threads: int = 1
    budgets: Mapping[str, float] = field(default_factory=dict)
    deviations: tuple[str, ...] = ()

    def network(self) -> Inspector:
        """The untrained network on raw pixels, normalised by the training images."""
        channels, heads = self.images.shape[0], self.task.heads
        bare = seeded(lambda: self.design.build(channels=channels, heads=heads), self.config.seed)
        return Inspector.from_statistics(bare, *pixel_statistics(self.images, self.split.train))


@dataclass(frozen=True)
class Delivered:
    """A finished model: its bundle, and its figures on validation and test images."""

    bundle: Bundle
    val: dict[str, Any]
    test: dict[str, Any]
    latency_ms: float


def deliver(
    run: RunFolder,
    job: Assignment,
    *,
    decides: bool = True,
    deadline: Deadline | None = None,
    on_epoch: OnEpoch | None = None,
    say: Say = lambda step: None,
) -> Delivered:
    """Train a design to the end and leave it as ``best/`` in the run folder.

    The validation part is left out of the training and gives the threshold. Where there is none, all training images
    are used, and the threshold comes from out-of-fold trainings by the same recipe: of networks as good as the one that
    ships, so that their scores lie where its scores will. They take two thirds of the time.

    Args:
        run: the run folder.
        job: what to deliver.
        decides: whether anything is decided; if not, there is no threshold, and no escape and overkill either.
        deadline: for all trainings.
        on_epoch: sees every epoch of every training.
        say: is told each step in a few words.

    Raises:
        TrainingError: the training diverged, or there was no time for it.
        BundleError: the exported graph does not reproduce the network.
    """
    val: dict[str, Any] = {}
    if decides and not len(job.split.val):
        say(f"training {FOLDS} times on parts of the images, for the threshold")
        share = None if deadline is None else deadline.part(2 / 3)
        val = validate(
            job.network, job.images, job.split, job.task, job.config, deadline=share, on_epoch=on_epoch
        ).metrics
    say("training the final model")
    network = job.network()
    fitted = fit(
        network, job.images, job.split.train, job.split.val, job.task, job.config, deadline=deadline, on_epoch=on_epoch
    )
    if not fitted.history:
        raise TrainingError("there was no time left to train the model", fix="give it more --time")
    if fitted.val_records is not None:
        val = metrics(job.task, job.images, job.split.val, fitted.val_records)
    say("testing")
    records = predict(network, job.images, job.split.test, job.task)
    threshold = val.get("threshold")
    test = metrics(job.task, job.images, job.split.test, records, threshold=threshold, choose=False)
    figures = {"val": val, "test": test} if val else {"test": test}
    extras = {
        "split.json": json.dumps(job.split.to_json(job.images)),
        "predictions.json": _predictions(job, records, threshold),
    }
    bundle, rows = _package(run, job, network, fitted, figures, extras, say)
    return Delivered(bundle, val, test, rows[0].median_ms)


def _package(
    run: RunFolder,
    job: Assignment,
    network: Inspector,
    fitted: FitResult,
    figures: dict[str, dict[str, Any]],
    extras: Mapping[str, str],
    say: Say,
) -> tuple[Bundle, list[LatencyRow]]:
    """Export, prove, time and write."""
    with tempfile.TemporaryDirectory(prefix="compressdefect-") as folder:
        say("exporting")
        graph = Path(folder) / FP32
        export_onnx(network, job.task, graph, input_shape=job.images.shape)
        sample = job.images.pixels[job.images.rows(job.split.train)[:PARITY_IMAGES]]
        difference = check_parity(network, job.task, graph, sample)
        say(f"the graph and the network differ by {difference:.1e} at most on {len(sample)} inputs")
        rows = measure({job.name: graph}, threads=(job.threads,), max_seconds=3)
        shipped = GraphFigures(
            precision="fp32",
            bytes=graph.stat().st_size,
            parity=Parity(images=len(sample), max_difference=difference),
            latency=tuple(map(_latency, rows)),
        )
        manifest = _manifest(job, network, fitted, figures, shipped)
        bundle = write_bundle(run.best, manifest, network=network, graphs={FP32: graph}, extras=extras)
    return bundle, rows


def metrics(
    task: Task,
    images: Images,
    indices: NDArray[np.int64],
    records: Records,
    *,
    threshold: float | None = None,
    choose: bool = True,
) -> dict[str, Any]:
    """A task's figures on some of the images; intervals are over their groups. See ``Task.metrics``."""
    labels, groups = task.labels(images, indices), images.groups[indices]
    return task.metrics(records, labels, threshold=threshold, groups=groups, choose=choose)


def pixel_statistics(images: Images, indices: NDArray[np.int64]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel over some images or their tiles, on the scale 0..255."""
    sums, rows = np.zeros((2, images.shape[0])), images.rows(indices)
    for start in range(0, len(rows), 64):
        pixels = images.pixels[rows[start : start + 64]].astype(np.float32)
        sums += pixels.sum(axis=(0, 2, 3), dtype=np.float64), np.square(pixels).sum(axis=(0, 2, 3), dtype=np.float64)
    mean, square = sums / (len(rows) * images.shape[1] * images.shape[2])
    std = np.sqrt(np.maximum(square - mean**2, 1.0))
    return tuple(map(float, mean)), tuple(map(float, std))


def _manifest(
    job: Assignment,
    network: Inspector,
    fitted: FitResult,
    figures: dict[str, dict[str, Any]],
    shipped: GraphFigures,
) -> BundleManifest:
    images, split = job.images, job.split
    cost = job.design.cost(input_shape=images.shape, heads=job.task.heads)
    mean, std = pixel_statistics(images, split.train)
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
        threshold=figures.get("val", {}).get("threshold"),
        metrics=figures,
        cost=CostFigures(params=cost.params, macs=cost.macs, flops=cost.flops, peak_bytes=cost.peak_bytes),
        graphs={FP32: shipped},
        default_graph=FP32,
        machine=machine(),
        budgets=dict(job.budgets),
        data=describe_data(images, split),
        training=_training(job, network, fitted),
        deviations=job.deviations,
    )


def _latency(row: LatencyRow) -> LatencyFigures:
    return LatencyFigures(batch=row.batch, threads=row.threads, median_ms=row.median_ms, p95_ms=row.p95_ms)


def describe_data(images: Images, split: Split) -> dict[str, Any]:
    """What a manifest says of the images and their split; ``parts`` counts the images of each class."""
    parts = {"train": split.train, "val": split.val, "test": split.test, "left_out": split.left_out}
    return {
        "name": images.name,
        "fingerprint": images.fingerprint,
        "classes": list(images.classes),
        "good": images.good,
        "n": len(images),
        "channels": images.shape[0],
        "train": len(split.train),
        "val": len(split.val),
        "test": len(split.test),
        "group": split.group,
        "split_seed": split.seed,
        "parts": {name: _by_class(images, part) for name, part in parts.items() if len(part)},
        "skipped": len(images.skipped),
        **({} if images.tile is None else {"tile": images.tile, "tiles": len(images.pixels)}),
    }


def _by_class(images: Images, part: NDArray[np.int64]) -> dict[str, int]:
    counts = np.bincount(images.labels[part], minlength=len(images.classes)).tolist()
    return dict(zip(images.classes, counts, strict=True))


def _training(job: Assignment, network: nn.Module, fitted: FitResult) -> dict[str, Any]:
    return {
        **asdict(job.config),
        "epochs_trained": len(fitted.history),
        "seconds": round(fitted.seconds, 1),
        "images_per_s": round(fitted.images_per_s, 1),
        "weights": sum(parameter.numel() for parameter in network.parameters()),
    }


def _predictions(job: Assignment, records: Records, threshold: float | None) -> str:
    """The answers for whole test images, as JSON."""
    test = job.split.test
    return json.dumps(
        {
            "split": "test",
            "names": [job.images.names[i] for i in test],
            "labels": job.task.labels(job.images, test).tolist(),
            "groups": job.images.groups[test].tolist(),
            "probabilities": job.task.image_probabilities(records).astype(float).tolist(),
            "threshold": threshold,
        }
    )
