"""A made-up run folder that looks like a real one: real designs and costs, invented scores."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from compressdefect.catalog import find_space
from compressdefect.cost.netscore import netscore
from compressdefect.deploy.bundle import FP32
from compressdefect.deploy.manifest import (
    BundleManifest,
    CostFigures,
    GraphFigures,
    LatencyFigures,
    Preprocessing,
    Reading,
)
from compressdefect.models.templates import template_of
from compressdefect.report.gallery import Explanation, Layer
from compressdefect.report.originals import Extent
from compressdefect.report.pictures import cropped, heat
from compressdefect.runs import RunFolder
from compressdefect.search.trials import TrialRecord, write_trials
from compressdefect.space.genotype import Genotype
from compressdefect.train.classify import Classify

BINARY = ("good", "defective")
SIX = ("crazing", "inclusion", "patches", "pitted_surface", "rolled-in_scale", "scratches")
FLOPS = 100_000_000
SHORT = "64 steps at 0.5 of the side"
PARTS = {"train": 200, "val": 60, "test": 150}


class FakeImages(NamedTuple):
    """Images by name; ``extents`` says where some of their defects are."""

    pixels: NDArray[np.uint8]
    names: tuple[str, ...]
    extents: Mapping[str, Extent] = {}

    def picture(self, name: str) -> NDArray[np.uint8]:
        return self.pixels[self.names.index(name)]

    def extent(self, name: str) -> Extent | None:
        return self.extents.get(name)


def make_run(
    path: Path,
    *,
    classes: tuple[str, ...] = BINARY,
    good: int | None = 0,
    trials: int = 60,
    channels: int = 1,
    per_class: int = 150,
    budgets: Mapping[str, float] | None = None,
    delivered: bool = True,
    side: int = 64,
    seed: int = 0,
    ladder: bool = False,
) -> FakeImages:
    """Write the folder and return its test images; without ``delivered`` the search was stopped before its end."""
    budgets = {"flops": FLOPS} if budgets is None else dict(budgets)
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(classes)), per_class)
    images = make_images(labels, classes, good, channels=channels, side=side, rng=rng)
    manifest = {
        "command": "search" if trials else "train",
        "task": "classify",
        "space": "lightdefectnet",
        "data": {"name": "plates", "fingerprint": "0123456789abcdef", "classes": classes, "good": good, "n": 822}
        | {"group": "auto", "parts": {part: dict.fromkeys(classes, n) for part, n in PARTS.items()}},
        "skipped": [["good/0815.png", "not an image"]],
        "options": {"space": "lightdefectnet", "data": "plates", "seed": seed, "epochs": 30, "overkill": 0.01},
        "seed": seed,
        "metric": "accuracy",
        "objective": "netscore",
        "budgets": budgets,
    }
    run = RunFolder.create(path, str(manifest["command"]), manifest)
    records = make_trials(trials, classes=len(classes), channels=channels, budgets=budgets, seed=seed) if trials else []
    if ladder:
        records = on_ladder(records, seed=seed)
        run.update_manifest(search={"ladder": SHORT})
    if records:
        write_trials(path / "trials.csv", records)
    run.update_manifest(**led(records))
    if delivered:
        write_best(run, images, labels, records, classes=classes, good=good, rng=rng)
    run.finish("complete" if delivered else "stopped")
    return images


def make_trials(n: int, *, classes: int, channels: int, budgets: Mapping[str, float], seed: int) -> list[TrialRecord]:
    space, chance = find_space("lightdefectnet"), random.Random(seed)
    template = template_of(space.designs["lightdefectnet"])
    designs = [space.designs["lightdefectnet"]]
    found: list[TrialRecord] = []
    rejected: list[TrialRecord] = []
    while len(found) < n:
        genotype = designs.pop() if designs else space.decode(space.sample(chance))
        cost = template.describe(genotype, {"image": ("class",) * classes}).cost((channels, 224, 224))
        figures = {"params": cost.params, "macs": cost.macs, "flops": cost.flops, "peak_bytes": cost.peak_bytes}
        common = {**figures, "fingerprint": genotype.fingerprint, "genotype": json.dumps(genotype.to_json())}
        if cost.flops > budgets.get("flops", FLOPS):
            if len(rejected) < n // 3:
                why = f"flops ≤ 100 M (got {cost.flops / 1e6:.1f} M)"
                rejected.append(TrialRecord(number=None, state="infeasible", reason=why, **common))
            continue
        found.append(_trained(len(found), cost, genotype, common, chance))
    return [*found, *rejected]


def on_ladder(records: list[TrialRecord], *, seed: int) -> list[TrialRecord]:
    """The same designs, compared by what they would come to and some luck: a quarter climbs, six are finished."""
    chance = random.Random(seed)
    trained = [record for record in records if record.number is not None and record.state != "failed"]
    scores = {r.number: 0.6 + 3 * ((r.metric or 0.0) - 0.95) + chance.gauss(0, 0.01) for r in trained}
    by_score = sorted(trained, key=lambda r: -scores[r.number])
    complete = [record for record in by_score if record.state == "complete"]
    top = {record.number for record in [records[0], *[r for r in complete if r.number][:5]]}
    middle = {record.number for record in by_score[: len(trained) // 4]} | top
    return [_climbed(record, scores.get(record.number), middle, top) for record in records]


def _climbed(record: TrialRecord, score: float | None, middle: set[int | None], top: set[int | None]) -> TrialRecord:
    if score is None:
        return record
    if record.number in top:
        return replace(record, rung=1, score=score)
    common = {"metric": None, "netscore": None, "score": score}
    if record.number in middle:
        return replace(record, state="failed", rung=1, epochs=0, reason="training diverged", **common)
    return replace(record, state="compared", rung=0, epochs=4, reason="", **common)


def _trained(number: int, cost: Any, genotype: Genotype, common: dict[str, Any], chance: random.Random) -> TrialRecord:
    metric = min(0.94 + 0.02 * (cost.macs / 5e7) ** 0.5 + 0.01 * (genotype.net["stem_kernel"] == 5), 1.0)
    metric = min(metric + chance.gauss(0, 0.008), 0.999)
    latency = 0.15 + cost.macs / 9e7 + chance.random() * 0.05
    state = "complete" if number == 0 else chance.choices(["complete", "pruned", "failed"], [0.75, 0.22, 0.03])[0]
    scored = state == "complete"
    return TrialRecord(
        number=number,
        state=state,  # type: ignore[arg-type]
        latency_ms=latency,
        metric=metric if scored else metric - 0.05 if state == "pruned" else None,
        netscore=netscore(metric, cost.params, cost.macs) if scored else None,
        epochs=30 if scored else 8,
        seconds=12.5 + 4 * chance.random(),
        repaired=chance.random() < 0.3,
        reason="training diverged: the loss is not finite" if state == "failed" else "",
        **common,
    )


def led(records: list[TrialRecord]) -> dict[str, Any]:
    """Which trials led, as if a design wins by its NetScore when it is at least as good as trial 0."""
    found: list[TrialRecord] = []
    done = [r for r in records if r.netscore is not None]
    for record in done:
        if record.metric >= records[0].metric and (not found or record.netscore > found[-1].netscore):
            found.append(record)
    if not found:
        return {}
    best = max(done, key=lambda r: r.metric)
    gaps = {"accuracy": {"difference": best.metric - found[-1].metric, "standard_error": 0.0123}}
    choice = {"winner": found[-1].number, "best": best.number, "competed": len(done), "gaps": gaps}
    return {"led": [r.number for r in found], "choice": choice}


def write_best(
    run: RunFolder,
    images: FakeImages,
    labels: NDArray[np.int64],
    records: list[TrialRecord],
    *,
    classes: tuple[str, ...],
    good: int | None,
    rng: np.random.Generator,
) -> None:
    """The best trial as if it had been delivered, with answers on the test images and latencies of its peers."""
    best = records[led(records)["choice"]["winner"]] if records else None
    if best is None:
        best = make_trials(1, classes=len(classes), channels=images.pixels.shape[1], budgets={}, seed=0)[0]
    probabilities = make_probabilities(labels, len(classes), rng)
    threshold = None if good is None else 0.5
    name = f"lightdefectnet-{best.fingerprint[:6]}"
    task = Classify(classes, good)
    latency = (LatencyFigures(batch=1, threads=1, median_ms=0.512, p95_ms=0.544),)
    manifest = BundleManifest(
        name=name,
        design={"kind": "family", "genotype": json.loads(best.genotype)},
        task="classify",
        heads=dict(task.heads),
        reading=Reading.of(task),
        classes=classes,
        good=good,
        input=(images.pixels.shape[1], 224, 224),
        preprocessing=Preprocessing(mean=(127.0,) * images.pixels.shape[1], std=(50.0,) * images.pixels.shape[1]),
        threshold=threshold,
        metrics={
            "val": {"choices": make_choices() if good is not None else []},
            "test": task.metrics(probabilities, labels, threshold=threshold, choose=False),
        },
        cost=CostFigures(params=best.params, macs=best.macs, flops=best.flops, peak_bytes=best.peak_bytes),
        graphs={FP32: GraphFigures(precision="fp32", bytes=300_000, latency=latency)},
        default_graph=FP32,
        machine={"cpu": "Fake CPU @ 2.60GHz", "cores": 2, "onnxruntime": "1.31.0"},
    )
    run.best.mkdir()
    (run.best / "bundle.json").write_text(manifest.model_dump_json())
    run.write_json("best/genotype.json", manifest.design["genotype"])
    answers = {"split": "test", "names": images.names, "labels": labels.tolist(), "threshold": threshold}
    run.write_json("best/predictions.json", {**answers, "probabilities": probabilities.tolist()})
    times = {name: 0.512, "timm:mobilenetv3_large_100": 3.5, "timm:efficientnet_b0": 6.75, "timm:resnet50": 38.1}
    run.update_manifest(
        peers=[
            {"model": model, "batch": batch, "threads": 1, "median_ms": ms * (1.2 - batch / 50), "p95_ms": 1.3 * ms}
            for batch in (1, 10)
            for model, ms in times.items()
        ]
    )


def make_choices() -> list[dict[str, float]]:
    """Thresholds as 60 good validation images would give them."""
    found = zip((0.005, 0.01, 0.02, 0.05), (0.5, 0.5, 0.4, 0.1), (0, 0, 1, 3), strict=True)
    return [{"aim": aim, "threshold": t, "rejected": n, "good": 60} for aim, t, n in found]


def make_probabilities(labels: NDArray[np.int64], classes: int, rng: np.random.Generator) -> NDArray[np.float64]:
    logits = rng.normal(0, 1.5, (len(labels), classes))
    logits[np.arange(len(labels)), labels] += rng.normal(6.5, 2.0, len(labels))
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def make_images(
    labels: NDArray[np.int64],
    classes: tuple[str, ...],
    good: int | None,
    *,
    channels: int,
    side: int,
    rng: np.random.Generator,
) -> FakeImages:
    """Shaded grey plates with noise, and a bright spot on those that are not good."""
    rows, columns = np.mgrid[0:side, 0:side] / side
    pixels = np.empty((len(labels), channels, side, side), dtype=np.uint8)
    for i, label in enumerate(labels):
        plate = 110 + 50 * rows + rng.normal(0, 9, (channels, side, side))
        if label != good:
            y, x = rng.uniform(0.2, 0.8, 2)
            plate += 90 * np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / 0.002)
        pixels[i] = np.clip(plate, 0, 255)
    names = tuple(f"{classes[label]}/{i:04d}.png" for i, label in enumerate(labels))
    return FakeImages(pixels, names)


def explain(images: FakeImages, asked: list[tuple[str, int]] | None = None) -> Explanation:
    """The brightest place of each image as a stand-in for a class activation map; ``asked`` is told for what."""

    def layer(name: str) -> Layer:
        values = images.picture(name).mean(axis=0) / 255
        return Layer(lambda part: heat(cropped(values, part.box(*values.shape))))

    def layers(wanted: Sequence[tuple[str, int]]) -> list[Layer]:
        if asked is not None:
            asked.extend(wanted)
        return [layer(name) for name, _ in wanted]

    return Explanation("The redder, the more that place spoke for the class.", "map of {}", layers)
