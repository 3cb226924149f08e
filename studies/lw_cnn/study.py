"""Huang's LW CNN: steel defects classified, magnetic tiles segmented with and without gradual training.

Source: Huang et al., "A Compact Convolutional Neural Network for Surface Defect Inspection", 2020, Tables 3 to 6. The
steel is the paper's own, half of each class for training. The tiles are not: six classes at 256² pixels, with near
duplicates in one part, where the paper has DAGM's six textures with one defect each at 512². Logits are
upsampled to the input's size, where the paper's have an eighth of it, and the peer's encoder is a MobileNetV3 where the
paper's is a MobileNetV2. The recipe is this package's: AdamW under a one-cycle schedule for the epochs that a table
names, where the paper has Adam at 1e-4 for 90,000 steps; normal images come in at half of them and not at 89 %. All
networks are trained from scratch; each seed draws its own split, the same for all segmenters.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from compressdefect import api
from compressdefect.errors import DataError
from compressdefect.study import Context, Results, Row, Table

CLASSIFY: Mapping[str, Any] = {"epochs": 100, "batch_size": 16, "augment": "paper"}
SEGMENT: Mapping[str, Any] = {"epochs": 32, "batch_size": 8, "balance": 1.0, "loss": "ce+dice"}
GRADUAL = "20%,50%"
SEEDS = (0, 1, 2)

STEEL, TILES = "neu_det", "magnetic_tile"
STEEL_INPUT, TILES_INPUT = 200, 256
CLASSIFIER, SEGMENTER, PEER = "lw@0.35", "lw-seg@0.35", "timm:mobilenetv3_small_100"
TIMED = {
    "classify": (STEEL_INPUT, (CLASSIFIER, "lw@0.75", PEER)),
    "segment": (TILES_INPUT, (SEGMENTER, PEER)),
}


class Arm(NamedTuple):
    """A segmenter, how it is trained, and what the paper says of it on DAGM: mAcc %, W M, F M and ms at 512²."""

    model: str
    gradual: str | None
    paper: str


ARMS = {
    "plain": Arm(SEGMENTER, None, "98.82, 0.55, 923, 217"),
    "gradual": Arm(SEGMENTER, GRADUAL, "98.86, 0.55, 923, 217"),
    "mobilenet": Arm(PEER, None, "MobileNetV2@0.35: 98.99, 1.40, 1630, 591"),
}


class Printed(NamedTuple):
    """A row of the paper: W in millions of weights, F in millions of operations."""

    model: str
    input: int
    classes: int
    weights: float
    operations: int
    table: int

    @property
    def name(self) -> str:
        """What ``expected.json`` calls it."""
        return f"{self.model} at {self.input}²"


PRINTED = (
    Printed("lw@0.35", 331, 64, 0.06, 76, 3),
    Printed("lw@0.75", 331, 64, 0.14, 246, 3),
    Printed("lw@0.35", 200, 6, 0.04, 28, 4),
    Printed("lw-seg@0.35", 512, 2, 0.55, 923, 5),
    Printed("lw-seg@0.75", 512, 2, 0.60, 1312, 5),
)

# Of one image on an Intel i3-4010U, for the paper's input and its own peer.
PAPER_MS = {
    ("classify", CLASSIFIER): "29 at 200²",
    ("classify", PEER): "MobileNetV2@0.35: 116 at 200²",
    ("segment", SEGMENTER): "217 at 512²",
    ("segment", PEER): "MobileNetV2@0.35: 591 at 512²",
}
PAPER_ACCURACY = "100"  # Table 4
PAPER_EFFECT = {"tpr": "90.47 → 94.05 (of the tiny defects)", "macc": "98.82 → 98.86"}  # Table 6

FIGURES = {
    "tpr": "defective images found (TPR)",
    "tnr": "good images passed (TNR)",
    "macc": "mAcc",
    "dice": "Dice",
    "iou": "IoU",
    "escape": "escape",
    "overkill": "overkill",
}

Trained = Mapping[int, Mapping[str, Any]]  # what the rows of one network left, by seed
Figure = Callable[[Mapping[str, Any]], float | None]


def check(data: str | None) -> None:
    """Both datasets must be there.

    Raises:
        DataError: one is missing.
    """
    _folder(data, STEEL)


def rows(share: float) -> list[Row]:
    """What needs no training, then one row for each network and seed."""
    return [Row("cost", _cost), Row("latency", _latency), *(Row(t.key, t.run) for t in _trainings(share))]


class _Training(NamedTuple):
    """One network, one seed."""

    key: str
    model: str
    data: str
    seed: int
    options: Mapping[str, Any]

    def run(self, context: Context) -> Mapping[str, Any]:
        """Train, test once, and say of what the figures are."""
        result = api.train(
            self.model,
            data=str(_folder(context.data, self.data)),
            seed=self.seed,
            peers="none",
            run_dir=context.new_folder(self.key),
            **self.options,
        )
        return {"model": self.model, "seed": self.seed, "epochs": self.options["epochs"], **result}


def _trainings(share: float) -> list[_Training]:
    steel = {**_shortened(CLASSIFY, share), "task": "classify", "input": STEEL_INPUT}
    steel["val_share"] = 0  # nothing is decided: the recipe and the epochs are fixed, and no steel is good
    tiles = {**_shortened(SEGMENT, share), "task": "segment", "input": TILES_INPUT}
    return [
        *(_Training(f"classify-seed{seed}", CLASSIFIER, STEEL, seed, steel) for seed in SEEDS),
        *(
            _Training(f"segment-{name}-seed{seed}", arm.model, TILES, seed, {**tiles, "gradual": arm.gradual})
            for name, arm in ARMS.items()
            for seed in SEEDS
        ),
    ]


def _shortened(recipe: Mapping[str, Any], share: float) -> dict[str, Any]:
    return {**recipe, "epochs": max(1, round(recipe["epochs"] * share))}


def _folder(data: str | None, name: str) -> Path:
    missing = [each for each in (STEEL, TILES) if data is None or not (Path(data) / each).is_dir()]
    if data is None or missing:
        raise DataError(
            f"this study works on a folder with {STEEL} and {TILES} in it",
            got="none" if data is None else f"{data} without {' and '.join(missing)}",
            fix="name the folder that holds both with --data",
        )
    return Path(data) / name


def _cost(context: Context) -> Mapping[str, Any]:
    """At the inputs and outputs of the paper's tables."""
    counted = [api.cost([p.model], input=p.input, channels=3, classes=p.classes)["models"] for p in PRINTED]
    return {"models": [row for models in counted for row in models]}


def _latency(context: Context) -> Mapping[str, Any]:
    """All networks untrained (latency does not depend on the weights' values), each task in one interleaved run."""
    return {task: api.benchmark(models, input=size, task=task) for task, (size, models) in TIMED.items()}


def tables(results: Results, share: float) -> list[Table]:
    """The paper's tables as measured here, and every seed by itself."""
    return [
        _cost_table(results),
        _latency_table(results),
        _steel_table(results, share),
        _tiles_table(results, share),
        _effect_table(results),
        _seeds_table(results),
    ]


def measurements(results: Results) -> dict[str, float]:
    """What ``expected.json`` speaks of, as far as it was measured."""
    found: dict[str, float] = {}
    for printed in PRINTED:
        if (row := _counted(results, printed)) is not None:
            found |= {f"{printed.name} params": row["params"], f"{printed.name} flops": row["flops"]}
    accuracies = [row["test"]["accuracy"] for row in _trained(results, "classify").values()]
    if len(accuracies) == len(SEEDS):
        found[f"{STEEL} accuracy, mean of {len(SEEDS)} seeds"] = statistics.mean(accuracies)
    return found


def _cost_table(results: Results) -> Table:
    cells = []
    for printed in PRINTED:
        row = _counted(results, printed)
        cells.append(
            [
                f"{printed.name}, {printed.classes} outputs",
                _millions(row, "params", 3),
                f"{printed.weights:.2f}",
                _millions(row, "flops", 1),
                str(printed.operations),
                f"Table {printed.table}",
            ]
        )
    title = "Weights and operations (2·macs; the paper counts every other operation too)"
    return Table(title, ["network", "params, M", "paper: W", "2·macs, M", "paper: F", "from"], cells)


def _counted(results: Results, printed: Printed) -> Mapping[str, Any] | None:
    for row in results["cost"]["models"] if "cost" in results else []:
        if (row["model"], row["input"][1], row["classes"]) == (printed.model, printed.input, printed.classes):
            return dict(row)
    return None


def _latency_table(results: Results) -> Table:
    cells = []
    for task, (size, models) in TIMED.items():
        for model in models:
            row, paper = _timed(results, task, model), PAPER_MS.get((task, model), "not in it")
            figures = [_cell(row, name) for name in ("median_ms", "p95_ms", "ratio")]
            cells.append([f"{model} to {task} at {size}²", *_costs(row), *figures, paper])
    header = ["network", "params, M", "MACs, M", "median ms", "p95 ms", "times the first of its task", "paper: ms"]
    return Table(f"Latency, batch 1, 1 thread, fp32, 3 channels, 2 outputs{_machine(results)}", header, cells)


def _machine(results: Results) -> str:
    if "latency" not in results:
        return ""
    machine = results["latency"]["segment"]["machine"]
    return f": {machine['cpu']}, {machine['runtime']}"


def _timed(results: Results, task: str, model: str) -> Mapping[str, Any] | None:
    timed = results["latency"][task]["rows"] if "latency" in results else []
    return next((row for row in timed if row["model"] == model), None)


def _steel_table(results: Results, share: float) -> Table:
    trained = _trained(results, "classify")
    cells = [CLASSIFIER, _mean(_values(trained, _of("accuracy")), digits=2), _intervals(trained), PAPER_ACCURACY]
    tested = next((row["test"]["n"] for row in trained.values()), "no")
    title = f"Steel ({STEEL}) at share {share:g}: {_epochs(results, 'classify')} epochs, {tested} test images, in %"
    return Table(title, ["network", "accuracy", "95 % interval of each seed", "paper"], [cells])


def _tiles_table(results: Results, share: float) -> Table:
    names = ("dice", "iou", "macc", "escape", "overkill")
    cells = []
    for name, arm in ARMS.items():
        trained, row = _trained(results, f"segment-{name}"), _timed(results, "segment", arm.model)
        figures = [_mean(_values(trained, _of(figure))) for figure in names]
        cells.append([_title(name), *figures, *_costs(row), _cell(row, "median_ms"), arm.paper])
    header = ["network", *(f"{FIGURES[name]}, %" for name in names), "params, M", "MACs, M", "ms an image"]
    title = (
        f"Tiles ({TILES}) at share {share:g}: {_epochs(results, 'segment')} epochs; costs with 3 channels and 2 outputs"
    )
    return Table(title, [*header, "paper, on DAGM at 512²: mAcc, W, F, ms"], cells)


def _effect_table(results: Results) -> Table:
    """What gradual training changes, seed by seed on the same split."""
    plain, gradual = _trained(results, "segment-plain"), _trained(results, "segment-gradual")
    figures: dict[str, tuple[Figure, str]] = {
        label: (_of(name), PAPER_EFFECT.get(name, "not in it")) for name, label in FIGURES.items()
    }
    figures |= {f"Dice of {name}": (_dice_of(name), "not in it") for name in _defects([*plain.values()])}
    cells = []
    for label, (figure, paper) in figures.items():
        means = [_mean(_values(trained, figure)) for trained in (plain, gradual)]
        cells.append([label, *means, _mean(_differences(plain, gradual, figure), sign="+"), paper])
    header = ["figure, %", "plain", "gradual", "difference, in points", "paper: without → with, on DAGM"]
    return Table(f"Gradual training ({GRADUAL}) of {SEGMENTER}", header, cells)


def _seeds_table(results: Results) -> Table:
    names = ("dice", "iou", "tpr", "tnr", "escape", "overkill")
    cells = [
        [_title(arm), str(seed), str(row["test"]["n"]), *(_with_interval(row["test"], name) for name in names)]
        for arm in ARMS
        for seed, row in _trained(results, f"segment-{arm}").items()
    ]
    title = "Every seed on the tiles, in %, with 95 % intervals over the tiles"
    return Table(title, ["network", "seed", "test images", *(FIGURES[name] for name in names)], cells)


def _trained(results: Results, prefix: str) -> Trained:
    return {seed: results[key] for seed in SEEDS if (key := f"{prefix}-seed{seed}") in results}


def _title(arm: str) -> str:
    return f"{ARMS[arm].model}, gradual" if ARMS[arm].gradual else ARMS[arm].model


def _of(name: str) -> Figure:
    return lambda row: row["test"][name]


def _dice_of(name: str) -> Figure:
    return lambda row: row["test"]["classes"][name]["dice"]


def _defects(trained: Sequence[Mapping[str, Any]]) -> list[str]:
    """The classes behind the background."""
    return list(trained[0]["test"]["classes"])[1:] if trained else []


def _values(trained: Trained, figure: Figure) -> list[float | None]:
    return [figure(row) for row in trained.values()]


def _differences(before: Trained, after: Trained, figure: Figure) -> list[float | None]:
    """What a figure gains, for each seed that both have."""
    pairs = [(figure(before[seed]), figure(after[seed])) for seed in SEEDS if seed in before and seed in after]
    return [None if old is None or new is None else new - old for old, new in pairs]


def _mean(values: Iterable[float | None], *, digits: int = 1, sign: str = "") -> str:
    """Mean ± deviation in per cent, and of how many seeds."""
    found = list(values)
    known = [100 * value for value in found if value is not None]
    if not known:
        return "none" if found else "unfinished"
    spread = f" ± {statistics.stdev(known):.{digits}f}" if len(known) > 1 else ""
    return f"{statistics.mean(known):{sign}.{digits}f}{spread} ({len(known)} of {len(SEEDS)} seeds)"


def _intervals(trained: Trained) -> str:
    spans = [row["test"]["interval"] for row in trained.values()]
    return ", ".join(f"{100 * low:.2f}–{100 * high:.2f}" for low, high in spans) or "unfinished"


def _with_interval(test: Mapping[str, Any], name: str) -> str:
    value, span = test[name], test["interval" if name == "dice" else f"{name}_interval"]
    if value is None:
        return "none"
    return f"{100 * value:.1f}" + (f" ({100 * span[0]:.1f}–{100 * span[1]:.1f})" if span else "")


def _costs(row: Mapping[str, Any] | None) -> list[str]:
    return [_millions(row, "params", 2), _millions(row, "macs", 1)]


def _millions(row: Mapping[str, Any] | None, name: str, digits: int) -> str:
    return "unfinished" if row is None else f"{row[name] / 1e6:.{digits}f}"


def _cell(row: Mapping[str, Any] | None, name: str) -> str:
    return "unfinished" if row is None else f"{row[name]:.2f}"


def _epochs(results: Results, prefix: str) -> str:
    return str(next((row["epochs"] for key, row in results.items() if key.startswith(prefix)), "no"))
