"""What compression gives: smaller and faster models, and what a student learns from teachers where labels are few.

Models are trained from scratch and compressed by the defaults of ``compress``. Validation decides what ships, and which
setting a student learns by; the test figures of what was not chosen are not looked at. Latency is onnxruntime's on one
thread, batch 1, of graphs that are timed in turns. What has three seeds is a claim; what has one is indicative.
"""

from __future__ import annotations

import json
import shutil
import statistics
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import nn

from compressdefect import api, units
from compressdefect.compress.channels import couple
from compressdefect.compress.pipeline import Plan, compress, edited
from compressdefect.compress.prune import PruneConfig, prune
from compressdefect.compress.stage import Bench
from compressdefect.compress.teaching import Pupil, Teacher, taught
from compressdefect.cost.counting import quick_macs
from compressdefect.cost.latency import machine, measure
from compressdefect.data.split import Indices
from compressdefect.deploy.assignment import Assignment
from compressdefect.deploy.bundle import FP32, Bundle
from compressdefect.deploy.judging import metrics
from compressdefect.deploy.model_ref import resolve_model
from compressdefect.deploy.scoring import predict_graph
from compressdefect.errors import DataError
from compressdefect.flow.prepare import Prepared
from compressdefect.flow.train import own_images
from compressdefect.flow.voice import Voice
from compressdefect.models.design import Design
from compressdefect.models.inspector import Inspector
from compressdefect.options import EvaluateOptions
from compressdefect.report.repeat import command
from compressdefect.runs import RunFolder
from compressdefect.study import Context, Results, Row, Table
from compressdefect.train.batches import steps_per_epoch
from compressdefect.train.config import FitConfig
from compressdefect.train.fit import fit
from compressdefect.train.metrics import interval

STEEL, TILES = "neu_det", "magnetic_tile"
STEEL_INPUT = 128
SEEDS = (0, 1, 2)
WINNER = "winner"
HALF = 0.5  # of the macs
TIMED_S = 4.0  # for which each graph of a control is timed


class Subject(NamedTuple):
    """A network to compress, and how it is trained before."""

    model: str
    epochs: int
    seeds: tuple[int, ...] = SEEDS[:1]
    recipe: Mapping[str, float] = MappingProxyType({})


SUBJECTS: Mapping[str, Subject] = {
    "resnet18": Subject("timm:resnet18", 80, SEEDS, {"batch_size": 16, "learning_rate": 1e-3}),
    "lw@0.75": Subject("lw@0.75", 60),
    "mobilenetv3": Subject("timm:mobilenetv3_large_100", 30),
    "lightdefectnet": Subject("lightdefectnet", 60),
    WINNER: Subject("the winner of a search", 0),
}
MAIN, COLUMNAR = "resnet18", "lightdefectnet"

CONTROLS = {
    "trained_on": "the base, trained on for the epochs of the pruning",
    "pruned_shape": "the pruned shape from scratch, for all passes",
    "narrower": "a uniformly narrower one from scratch, for all passes",
}


# Few labels: every student and teacher makes so many steps of so many labelled images.
LABELS = (10, 30)  # of each class, for training; half as many more to choose settings by
STUDENT, TEACHERS = "lightdefectnet", 5
STEPS, BATCH = 1000, 16
SETTINGS: Mapping[str, Sequence[Mapping[str, float]]] = {  # of each way; the first is the default, and wins ties
    "alone": ({"learning_rate": 3e-3}, {"learning_rate": 1e-3}, {"learning_rate": 1e-2}),
    "answers": (
        {"teacher_share": 0.7, "temperature": 4.0},
        {"teacher_share": 0.5, "temperature": 2.0},
        {"teacher_share": 0.9, "temperature": 4.0},
    ),
    "feature": ({"maps_weight": 1.0}, {"maps_weight": 0.1}, {"maps_weight": 10.0}),
    "attention": ({"maps_weight": 1.0}, {"maps_weight": 0.1}, {"maps_weight": 10.0}),
}
TAUGHT = {"answers": "plain KD", "feature": "feature KD", "attention": "attention KD"}
PRIVILEGED = "privileged"  # taught by a network that has seen the labels of all training images
SHOWN = " and unlabelled images"

TILE_TEACHER, TILE_STUDENT = "lw-seg@1.0", "lw-seg@0.35"
TILE_RECIPE: Mapping[str, Any] = {"input": 256, "batch_size": 8, "balance": 1.0, "loss": "ce+dice"}
TILE_EPOCHS = 32


def check(data: str | None) -> None:
    """Both datasets must be there.

    Raises:
        DataError: one is missing.
    """
    missing = [name for name in (STEEL, TILES) if data is None or not (Path(data) / name).is_dir()]
    if missing:
        raise DataError(
            f"this study works on a folder with {STEEL} and {TILES} in it",
            got="none" if data is None else f"{data} without {' and '.join(missing)}",
            fix="name the folder that holds both with --data",
        )


def rows(share: float) -> list[Row]:
    """The main claim first, then what says why it holds, then what has one seed."""
    compressed = {name: [_Compressed(name, seed, share) for seed in SUBJECTS[name].seeds] for name in SUBJECTS}
    main = compressed.pop(MAIN)
    return [
        *(Row(row.key, row) for row in main),
        *(Row(f"control-{kind}", _Control(kind)) for kind in CONTROLS),
        *(Row(row.key, row) for found in compressed.values() for row in found),
        *(Row(row.key, row) for row in _few(share)),
        *(Row(row.key, row) for row in _tiles(share)),
    ]


def _epochs(epochs: int, share: float) -> int:
    return max(1, round(epochs * share))


def _told(result: Mapping[str, Any]) -> dict[str, Any]:
    """What a command gave, and what repeats it."""
    return {**result, "command": command(RunFolder.open(Path(result["run"])).manifest)}


# What a model gains.


class _Compressed(NamedTuple):
    """A network, trained and compressed by the defaults."""

    name: str
    seed: int
    share: float

    @property
    def key(self) -> str:
        """What the row is called."""
        return f"{self.name}-seed{self.seed}"

    def __call__(self, context: Context) -> Mapping[str, Any]:
        base = self.base(context)
        options = {"seed": self.seed, "peers": "none"}
        made = context.once(
            f"{self.key}-compressed", lambda folder: _told(api.compress(base["run"], run_dir=folder, **options))
        )
        bundle = Bundle.open(Path(made["run"]) / "best")
        return {
            "model": bundle.manifest.name if self.name == WINNER else SUBJECTS[self.name].model,
            "seed": self.seed,
            "commands": [each["command"] for each in (base, made)],
            "base": base["run"],
            "run": made["run"],
            "steps": made["steps"],
            "notes": made["notes"],
            "val": made["val"],
            "before": made["before"],
            "test": made["test"],
            "metric": made["metric"],
            "made": bundle.manifest.shipped.made,
            "machine": machine(),
        }

    def base(self, context: Context) -> dict[str, Any]:
        """The model before, which other rows may need too."""
        if self.name == WINNER:
            if context.winner is None:
                raise DataError("no search's winner was given", fix="give its run folder with --winner")
            return _told({"run": context.winner})
        subject = SUBJECTS[self.name]
        options: dict[str, Any] = {"data": f"{context.data}/{STEEL}", "task": "classify", "input": STEEL_INPUT}
        options |= {"epochs": _epochs(subject.epochs, self.share), "seed": self.seed, "peers": "none"}
        options |= subject.recipe
        return context.once(
            f"{self.key}-base", lambda folder: _told(api.train(subject.model, run_dir=folder, **options))
        )


# What else the same passes would have given.


class _Control(NamedTuple):
    """A network that had as many passes as the compressed one, with the same teacher, quantized alike."""

    kind: str

    def __call__(self, context: Context) -> Mapping[str, Any]:
        key = f"{MAIN}-seed{SEEDS[0]}"
        if key not in context.results:
            raise DataError("a control is compared with a row that has no result", got=key, fix=f"run {key} first")
        row = context.results[key]
        pair = _Pair.of(row["base"], row["run"], row["steps"])
        design, network = pair.made(self.kind)
        with tempfile.TemporaryDirectory(prefix="compressdefect-") as folder:
            bench = Bench(pair.data.images, pair.data.split, pair.data.task, Path(folder))
            first = bench.stage(self.kind, design, network)
            outcome = compress(bench, first, Plan(None, PruneConfig(), pair.config))
            graphs = {
                "base": pair.base.file(FP32),
                "compressed": pair.smaller.file(pair.smaller.manifest.default_graph),
            }
            graphs |= {"control": outcome.shipped.graph, "control in float": first.graph}
            return {
                "control": self.kind,
                "seed": SEEDS[0],
                "epochs": pair.epochs[self.kind],
                "macs": first.cost.macs,
                "bytes": outcome.shipped.bytes,
                "precision": outcome.shipped.precision,
                "notes": list(outcome.notes),
                **{
                    name: _judged(pair.data, stage.graph)
                    for name, stage in {"float": first, "shipped": outcome.shipped}.items()
                },
                "latency_ms": {row.name: row.median_ms for row in measure(graphs, max_seconds=TIMED_S)},
            }


class _Pair(NamedTuple):
    """A model and what compression made of it.

    Attributes:
        base: the model.
        smaller: what was made of it.
        data: the images of both.
        config: the recipe of the trainings after pruning.
        rounds: how many of these there were.
    """

    base: Bundle
    smaller: Bundle
    data: Prepared
    config: FitConfig
    rounds: int

    @classmethod
    def of(cls, base: str, smaller: str, steps: Sequence[Mapping[str, Any]]) -> _Pair:
        """The two by their run folders, and the steps from one to the other.

        Raises:
            DataError: nothing was pruned.
        """
        bundle, data, _ = own_images(resolve_model(base), EvaluateOptions(), Voice(), verb="compared with")
        made = Bundle.open(Path(smaller) / "best")
        rounds = sum(step["title"].startswith("pruned") for step in steps)
        if "compressed_with" not in made.manifest.training or not rounds:
            raise DataError("nothing of the model was pruned, so there is nothing to compare with", got=smaller)
        return cls(bundle, made, data, FitConfig(**made.manifest.training["compressed_with"]), rounds)

    @property
    def epochs(self) -> dict[str, int]:
        """Of each control: what the pruning's trainings took, and that beside the base's own."""
        spent = self.rounds * self.config.epochs
        whole = self.base.manifest.training["epochs_trained"] + spent
        return {"trained_on": spent, "pruned_shape": whole, "narrower": whole}

    def made(self, kind: str) -> tuple[Design, Inspector]:
        """A control's design, and its network, trained with the base as its teacher."""
        if kind == "trained_on":
            design, network = self.base.design(), _bare(self.base)
        else:
            design = self.smaller.design() if kind == "pruned_shape" else self._narrower()
            network = self._untrained(design)
        config = replace(self.config if kind == "trained_on" else self._own_config(), epochs=self.epochs[kind])
        data, pupil = self.data, Pupil(network, Teacher([_bare(self.base)], self.data.task))
        fit(pupil, data.images, data.split.train, None, taught(data.task), config, on_epoch=Voice().epoch)
        return design, network

    def _untrained(self, design: Design) -> Inspector:
        data = self.data
        return Assignment("control", design, data.images, data.split, data.task, self._own_config()).network()

    def _own_config(self) -> FitConfig:
        """The recipe of the base."""
        names = {field.name for field in fields(FitConfig)}
        return FitConfig(**{name: value for name, value in self.base.manifest.training.items() if name in names})

    def _narrower(self) -> Design:
        """The base's design with the same share of every layer's channels, at most as many macs as the smaller one."""
        bare, shape = _bare(self.base).network, self.data.images.shape

        def macs(network: nn.Module) -> float:
            return float(quick_macs(network, shape))

        chance = PruneConfig("random", "layer")
        limit = float(self.smaller.manifest.cost.macs)
        edits = prune(bare, couple(bare, shape), chance, limit=limit, measure=macs)
        return edited(self.base.design(), edits)


def _bare(bundle: Bundle) -> Inspector:
    """A trained network, to be trained further or to teach."""
    network = bundle.network()
    assert isinstance(network, Inspector)
    return network


def _judged(data: Prepared, graph: Path) -> dict[str, Any]:
    """What a graph answers to validation and test images, the threshold chosen on the former."""
    val, test = (predict_graph(graph, data.images, part, data.task) for part in (data.split.val, data.split.test))
    chosen = metrics(data.task, data.images, data.split.val, val)
    threshold = chosen["threshold"]
    judged = metrics(data.task, data.images, data.split.test, test, threshold=threshold, choose=False)
    return {"val": chosen, "test": judged}


# What a student learns from teachers, with few labels.


class _Draw(NamedTuple):
    """A draw of labelled images from the training part of a model that was trained on all of them."""

    labels: int
    seed: int

    @property
    def key(self) -> str:
        """What its rows begin with."""
        return f"few{self.labels}-seed{self.seed}"

    def of(self, context: Context, share: float) -> dict[str, Any]:
        """Its split file, a folder of the training images that are not in it, and the steps' number in epochs."""
        whole = _Compressed(COLUMNAR, SEEDS[0], share).base(context)
        return context.once(self.key, lambda folder: self._made(folder, Path(whole["run"]), context, share))

    def _made(self, folder: Path, whole: Path, context: Context, share: float) -> dict[str, Any]:
        _, data, _ = own_images(resolve_model(str(whole)), EvaluateOptions(), Voice(), verb="drawn from")
        images, split, rng = data.images, data.split, np.random.default_rng(self.seed)
        train = _drawn(split.train, images.labels, self.labels, rng)
        val = _drawn(split.val, images.labels, self.labels // 2, rng)
        others = rng.permutation(np.setdiff1d(split.train, train))
        rest = np.concatenate([split.left_out, others, np.setdiff1d(split.val, val)])
        few = replace(split, train=train, val=val, left_out=np.sort(rest))
        unlabelled = folder / "unlabelled"
        unlabelled.mkdir(parents=True)
        for number, index in enumerate(others):  # by a number: their names tell their classes
            source = Path(str(context.data)) / STEEL / images.names[index]
            shutil.copy(source, unlabelled / f"{number:04}{source.suffix}")
        (folder / "split.json").write_text(json.dumps(few.to_json(images)) + "\n")
        epochs = _epochs(STEPS, share) / steps_per_epoch(len(train), BATCH)
        return {
            "split": str(folder / "split.json"),
            "unlabelled": str(unlabelled),
            "epochs": max(1, round(epochs)),
            "images": {"train": len(train), "val": len(val), "unlabelled": len(others), "test": len(split.test)},
        }

    def options(self, context: Context, drawn: Mapping[str, Any]) -> dict[str, Any]:
        """Of every training on it."""
        own: dict[str, Any] = {"data": f"{context.data}/{STEEL}", "task": "classify", "input": STEEL_INPUT}
        own |= {"split": drawn["split"], "epochs": drawn["epochs"], "batch_size": BATCH, "peers": "none"}
        return own

    def teachers(self, context: Context, share: float) -> list[dict[str, Any]]:
        """Networks like the student, trained on the same labels from different seeds."""
        own = self.options(context, self.of(context, share))
        return [
            context.once(
                f"{self.key}-teacher{number}",
                lambda folder, seed=1000 + number: _told(api.train(STUDENT, run_dir=folder, seed=seed, **own)),
            )
            for number in range(TEACHERS)
        ]


def _drawn(pool: Indices, labels: NDArray[np.int64], count: int, rng: np.random.Generator) -> Indices:
    """So many images of each class, sorted."""
    classes = np.unique(labels[pool])
    return np.sort(np.concatenate([rng.choice(pool[labels[pool] == each], count, replace=False) for each in classes]))


class _Ensemble(NamedTuple):
    """The teachers of a draw by themselves: the mean of their answers."""

    draw: _Draw
    share: float

    @property
    def key(self) -> str:
        """What the row is called."""
        return f"{self.draw.key}-ensemble"

    def __call__(self, context: Context) -> Mapping[str, Any]:
        trained = self.draw.teachers(context, self.share)
        kept = [json.loads((Path(one["run"]) / "best" / "predictions.json").read_text()) for one in trained]
        answers = np.mean([one["probabilities"] for one in kept], axis=0)
        hits = answers.argmax(axis=1) == np.array(kept[0]["labels"])
        test = {"accuracy": float(hits.mean()), "interval": list(interval(hits, np.array(kept[0]["groups"])))}
        return {
            "seed": self.draw.seed,
            "commands": [one["command"] for one in trained],
            "images": self.draw.of(context, self.share)["images"],
            "each": [one["test"]["accuracy"] for one in trained],
            "test": test,
        }


class _Taught(NamedTuple):
    """The student on a draw, learning in one way: each setting is tried, and validation chooses."""

    draw: _Draw
    way: str
    sees_unlabelled: bool
    share: float

    @property
    def key(self) -> str:
        """What the row is called."""
        return f"{self.draw.key}-{self.way}" + ("-unlabelled" if self.sees_unlabelled else "")

    def __call__(self, context: Context) -> Mapping[str, Any]:
        drawn = self.draw.of(context, self.share)
        tried = [self._trained(context, drawn, settings) for settings in self._settings()]
        scores = [one["val"]["accuracy"] for one in tried]
        best = tried[scores.index(max(scores))]
        return {
            "seed": self.draw.seed,
            "command": best["command"],
            "images": drawn["images"],
            "tried": [[dict(settings), score] for settings, score in zip(self._settings(), scores, strict=True)],
            "run": best["run"],
            "val": best["val"],
            "test": best["test"],
        }

    def _settings(self) -> Sequence[Mapping[str, float]]:
        return SETTINGS["answers"][:1] if self.way == PRIVILEGED else SETTINGS[self.way]

    def _trained(self, context: Context, drawn: Mapping[str, Any], settings: Mapping[str, float]) -> dict[str, Any]:
        own = {**self.draw.options(context, drawn), "seed": self.draw.seed, **settings}
        said = "-".join(f"{value:g}" for value in settings.values())
        if self.way == "alone":
            return context.once(f"{self.key}-{said}", lambda folder: _told(api.train(STUDENT, run_dir=folder, **own)))
        own |= {"method": self.way} if self.way in ("feature", "attention") else {}
        own |= {"unlabelled_images": drawn["unlabelled"]} if self.sees_unlabelled else {}
        teacher = self._teacher(context)
        return context.once(
            f"{self.key}-{said}", lambda folder: _told(api.distill(teacher, STUDENT, run_dir=folder, **own))
        )

    def _teacher(self, context: Context) -> str:
        if self.way == PRIVILEGED:
            return str(_Compressed(COLUMNAR, SEEDS[0], self.share).base(context)["run"])
        return ",".join(one["run"] for one in self.draw.teachers(context, self.share))


def _few(share: float) -> Iterator[_Ensemble | _Taught]:
    """Seed by seed, first what needs no unlabelled images."""
    for seed in SEEDS:
        for labels in LABELS:
            draw = _Draw(labels, seed)
            yield _Ensemble(draw, share)
            yield from (_Taught(draw, way, False, share) for way in ("alone", *TAUGHT, PRIVILEGED))
            yield from (_Taught(draw, way, True, share) for way in (*TAUGHT, PRIVILEGED))


# And on the tiles.


class _Tiles(NamedTuple):
    """A segmenter of tiles, alone or taught by a wider one."""

    way: str
    share: float

    @property
    def key(self) -> str:
        """What the row is called."""
        return f"tiles-{self.way}"

    def __call__(self, context: Context) -> Mapping[str, Any]:
        own: dict[str, Any] = {**TILE_RECIPE, "epochs": _epochs(TILE_EPOCHS, self.share), "peers": "none"}
        own |= {"seed": SEEDS[0]}
        first = {"data": f"{context.data}/{TILES}", "task": "segment"}
        teacher = context.once(
            "tiles-teacher", lambda folder: _told(api.train(TILE_TEACHER, run_dir=folder, **own, **first))
        )
        if self.way == "teacher":
            return teacher
        own["split"] = str(Path(teacher["run"]) / "split.json")
        if self.way == "alone":
            return _told(api.train(TILE_STUDENT, run_dir=context.new_folder(self.key), **own, **first))
        own |= {"method": self.way} if self.way in ("feature", "attention") else {}
        return _told(api.distill(teacher["run"], TILE_STUDENT, run_dir=context.new_folder(self.key), **own))


def _tiles(share: float) -> list[_Tiles]:
    return [_Tiles(way, share) for way in ("teacher", "alone", *TAUGHT)]


# What the rows say.


def tables(results: Results, share: float) -> list[Table]:
    """What each model gained, by which steps, and beside what."""
    return [
        _gains(results, share),
        _half(results),
        _controls(results),
        _steps(results),
        _means_table(results),
        _labels_table(results),
        _tiles_table(results),
    ]


def _compressed(results: Results) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for name, subject in SUBJECTS.items():
        yield from (
            (f"{name}-seed{seed}", results[key]) for seed in subject.seeds if (key := f"{name}-seed{seed}") in results
        )


def _gains(results: Results, share: float) -> Table:
    header = ["network, seed", "test before, %", "test after, %", "bytes", "ms an image", "what ships", "remarks"]
    cells = []
    for key, row in _compressed(results):
        first, last = _ends(row)
        cells.append(
            [
                key,
                *(_with_interval(row[name], row["metric"]) for name in ("before", "test")),
                f"{units.size(first['bytes'])} → {units.size(last['bytes'])} ({first['bytes'] / last['bytes']:.1f}×)",
                f"{first['latency_ms']:.3f} → {last['latency_ms']:.3f} ({_faster(row):.1f}×)",
                last["title"],
                "; ".join(row["notes"]) or "every step holds",
            ]
        )
    return Table(
        f"Compressed by the defaults, {STEEL} at {STEEL_INPUT}², share {share:g}", header, cells or _none(header)
    )


def _ends(row: Mapping[str, Any]) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """The step before all others, and the one that ships."""
    return row["steps"][0], next(step for step in row["steps"] if step["ships"])


def _smaller(row: Mapping[str, Any]) -> float:
    first, last = _ends(row)
    return float(first["bytes"] / last["bytes"])


def _faster(row: Mapping[str, Any]) -> float:
    first, last = _ends(row)
    return float(first["latency_ms"] / last["latency_ms"])


def _halved(row: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The step that has half of the macs and is not quantized yet, whether or not it holds."""
    limit = HALF * row["steps"][0]["macs"]
    return next((step for step in row["steps"] if step["precision"] == "fp32" and step["macs"] <= limit), None)


class _Halving(NamedTuple):
    """What half of the macs cost: points of the validation metric as a share, and the latency that is left."""

    drop: float
    latency: float


def _halving(row: Mapping[str, Any]) -> _Halving | None:
    first, half = row["steps"][0], _halved(row)
    if half is None:
        return None
    return _Halving(first["metric"] - half["metric"], half["latency_ms"] / first["latency_ms"])


def _half(results: Results) -> Table:
    header = ["network, seed", "validation, points lost", "latency left", "macs", "remarks"]
    cells = []
    for key, row in _compressed(results):
        first, half, found = row["steps"][0], _halved(row), _halving(row)
        if half is None or found is None:
            cells.append([key, "not reached", "–", units.count(row["steps"][-1]["macs"]), "; ".join(row["notes"])])
        else:
            macs = f"{units.count(first['macs'])} → {units.count(half['macs'])}"
            cells.append([key, f"{100 * found.drop:+.2f}", f"{found.latency:.2f}×", macs, "; ".join(half["reasons"])])
    return Table("Half of the macs, fine-tuned, in float", header, cells or _none(header))


def _controls(results: Results) -> Table:
    header = ["what had the same passes", "epochs", "macs", "validation, %", "test in float, %", "test as shipped, %"]
    header += ["bytes", "ms an image", "compressed one's ms", "base's ms", "remarks"]
    cells = []
    if (row := results.get(f"{MAIN}-seed{SEEDS[0]}")) is not None:
        _, last = _ends(row)
        val, test = units.percent(row["val"][row["metric"]]), _with_interval(row["test"], row["metric"])
        size = [units.size(last["bytes"]), f"{last['latency_ms']:.3f}", "", ""]
        cells.append(
            ["the compressed one", "", units.count(last["macs"]), val, "", test, *size, "; ".join(row["notes"])]
        )
    for kind, title in CONTROLS.items():
        if (found := results.get(f"control-{kind}")) is not None:
            val, *tests = found["shipped"]["val"], found["float"]["test"], found["shipped"]["test"]
            times = [f"{found['latency_ms'][name]:.3f}" for name in ("control", "compressed", "base")]
            figures = [units.percent(val["accuracy"]), *(_with_interval(test, "accuracy") for test in tests)]
            size = units.size(found["bytes"])
            notes = "; ".join(found["notes"])
            cells.append([title, str(found["epochs"]), units.count(found["macs"]), *figures, size, *times, notes])
    return Table(f"Controls of {MAIN}, seed {SEEDS[0]}, each taught by the base", header, cells or _none(header))


def _steps(results: Results) -> Table:
    header = ["network, seed", "step", "validation, %", "macs", "bytes", "ms an image", "why it does not hold"]
    cells = [
        [
            key,
            f"**{step['title']}**" if step["ships"] else step["title"],
            f"{100 * step['metric']:.2f}",
            units.count(step["macs"]),
            units.size(step["bytes"]),
            f"{step['latency_ms']:.3f}",
            "; ".join(step["reasons"]),
        ]
        for key, row in _compressed(results)
        for step in row["steps"]
    ]
    return Table("Every step; in bold what ships", header, cells or _none(header))


def _means_table(results: Results) -> Table:
    """Each student's test accuracy over the seeds that are finished."""
    header = ["training labels a class", "student", "test, %", "seeds"]
    found: dict[tuple[str, str], list[float]] = {}
    for row in _few(1.0):
        if row.key in results:
            about = str(row.draw.labels), _title(row)
            found.setdefault(about, []).append(100 * results[row.key]["test"]["accuracy"])
    cells = []
    for about, values in found.items():
        spread = f" ± {statistics.stdev(values):.2f}" if len(values) > 1 else ""
        cells.append([*about, f"{statistics.mean(values):.2f}{spread}", str(len(values))])
    return Table(f"Few labels: {STUDENT} on {STEEL}, mean of the seeds", header, cells or _none(header))


def _labels_table(results: Results) -> Table:
    header = ["training labels a class, seed", "student", "test, %", "validation, %", "images", "settings tried"]
    cells = []
    for row in _few(1.0):
        if (found := results.get(row.key)) is None:
            continue
        about = f"{row.draw.labels}, {row.draw.seed}"
        test, images = _with_interval(found["test"], "accuracy"), _counted(found["images"])
        if isinstance(row, _Ensemble):
            each = f"each {', '.join(units.percent(value) for value in found['each'])}"
            cells.append([about, _title(row), test, "", images, each])
        else:
            tried = "; ".join(f"{_setting(given)}: {units.percent(score)}" for given, score in found["tried"])
            cells.append([about, _title(row), test, units.percent(found["val"]["accuracy"]), images, tried])
    return Table(f"Few labels: {STUDENT} on {STEEL}, every seed", header, cells or _none(header))


def _title(row: _Ensemble | _Taught) -> str:
    if isinstance(row, _Ensemble):
        return f"*the {TEACHERS} teachers together*"
    seen = SHOWN if row.sees_unlabelled else ""
    if row.way == PRIVILEGED:
        return f"{PRIVILEGED} (its teacher knows all training labels): plain KD{seen}"
    return f"{TAUGHT.get(row.way, row.way)}{seen}"


def _counted(images: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {part}" for part, count in images.items())


def _setting(given: Mapping[str, float]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value:g}" for name, value in given.items())


def _tiles_table(results: Results) -> Table:
    header = ["segmenter", "Dice, %", "escape, %", "overkill, %", "validation Dice, %"]
    cells = []
    for row in _tiles(1.0):
        if (found := results.get(row.key)) is not None:
            test = found["test"]
            named = {"teacher": f"the teacher, {TILE_TEACHER}", "alone": f"{TILE_STUDENT} alone"}
            title = named.get(row.way) or f"{TILE_STUDENT}, {TAUGHT[row.way]}"
            rates = [units.percent(test[name]) for name in ("escape", "overkill")]
            cells.append([title, _with_interval(test, "dice"), *rates, units.percent(found["val"]["dice"])])
    return Table(f"Segmenters of {TILES}, seed {SEEDS[0]}", header, cells or _none(header))


def _none(header: Sequence[str]) -> list[list[str]]:
    return [["unfinished", *([""] * (len(header) - 1))]]


def _with_interval(figures: Mapping[str, Any], metric: str) -> str:
    low, high = figures["interval"]
    return f"{100 * figures[metric]:.2f} ({100 * low:.2f}–{100 * high:.2f})"


def measurements(results: Results) -> dict[str, float]:
    """What ``expected.json`` speaks of, as far as it was measured."""
    found: dict[str, float] = {}
    main = [results[key] for seed in SEEDS if (key := f"{MAIN}-seed{seed}") in results]
    if len(main) == len(SEEDS):
        said = f", least of {len(SEEDS)} seeds"
        found |= {
            f"{MAIN}: test accuracy before{said}": min(row["before"]["accuracy"] for row in main),
            f"{MAIN}: times smaller{said}": min(map(_smaller, main)),
            f"{MAIN}: times faster{said}": min(map(_faster, main)),
            f"{MAIN}: test accuracy lost, most of {len(SEEDS)} seeds": max(map(_lost, main)),
        }
    for name in (MAIN, COLUMNAR):
        row = results.get(f"{name}-seed{SEEDS[0]}")
        if row is not None and (half := _halving(row)) is not None:
            found[f"{name}, half of the macs: validation accuracy lost"] = half.drop
            found[f"{name}, half of the macs: latency left"] = half.latency
    for kind in ("pruned_shape", "narrower"):
        if {f"control-{kind}", f"{MAIN}-seed{SEEDS[0]}"} <= set(results):
            own, other = results[f"{MAIN}-seed{SEEDS[0]}"]["test"], results[f"control-{kind}"]["shipped"]["test"]
            about = f"{MAIN}: test accuracy less that of the control {kind.replace('_', ' ')}"
            found[about] = own["accuracy"] - other["accuracy"]
    for labels in LABELS:
        about = f"{labels} labels a class, test accuracy, mean of {len(SEEDS)} seeds"
        pairs = {"plain KD less alone": ("answers", "alone"), "attention KD less plain KD": ("attention", "answers")}
        pairs |= {"plain KD with unlabelled images less without": ("answers-unlabelled", "answers")}
        for said, (one, other) in pairs.items():
            keys = [(f"few{labels}-seed{seed}-{one}", f"few{labels}-seed{seed}-{other}") for seed in SEEDS]
            gaps = [_gap(results, *pair, "accuracy") for pair in keys if set(pair) <= set(results)]
            found |= {f"{about}: {said}": statistics.mean(gaps)} if len(gaps) == len(SEEDS) else {}
    for one, other in (("answers", "alone"), ("attention", "answers")):
        if {f"tiles-{one}", f"tiles-{other}"} <= set(results):
            said = f"tiles, Dice: {TAUGHT[one]} less {TAUGHT.get(other, other)}"
            found[said] = _gap(results, f"tiles-{one}", f"tiles-{other}", "dice")
    return found


def _lost(row: Mapping[str, Any]) -> float:
    return float(row["before"]["accuracy"] - row["test"]["accuracy"])


def _gap(results: Results, one: str, other: str, metric: str) -> float:
    return float(results[one]["test"][metric] - results[other]["test"][metric])
