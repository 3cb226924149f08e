"""What a search gives in its time: with the ladder, without it, and beside the named design trained alone.

Nothing here is from a paper. Every search has the same budget; the trainings it is compared with have its split, and
either its time or its winner's macs and epochs. Differences are of test images, pooled over the seeds, with intervals
by bootstrap over images or, where parts are shown several times, over these groups.
"""

from __future__ import annotations

import json
import shutil
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from compressdefect import api
from compressdefect.catalog import find_space, spaces
from compressdefect.errors import DataError, RunError
from compressdefect.models.templates import TEMPLATES
from compressdefect.search.constraints import Budgets
from compressdefect.search.gate import Gate
from compressdefect.search.reach import first_design
from compressdefect.search.repair import shrink
from compressdefect.search.winner import Measures
from compressdefect.study import Context, Results, Row, Table
from compressdefect.train.metrics import balanced_accuracy, confusion

SPACE, NAMED, BUDGET = "lightdefectnet", "lightdefectnet", "100M"
SYNTHETIC, STEEL, TILES = "synthetic", "neu_det", "magnetic_tile"
METRICS = {SYNTHETIC: "accuracy", STEEL: "accuracy", TILES: "balanced_accuracy"}
SEEDS, SHORT, LONG = (0, 1, 2), 6, 25  # minutes
PEER = "timm:efficientnet_b0"
NOT_WORSE, NOT_WORSE_AT_LEAST, MORE_ESCAPE = -0.005, -0.015, 0.02


class Arm(NamedTuple):
    """One way to get a model: a search with or without the ladder, or a training beside one with it.

    ``named`` is trained for as long as the search took, ``scaled`` has its winner's macs and is trained like that.
    """

    kind: str
    data: str
    minutes: int
    seed: int

    @property
    def key(self) -> str:
        """What the row is called."""
        return f"{self.kind}-{self.data}-{self.minutes}min-seed{self.seed}"


def check(data: str | None) -> None:
    """The folder must hold the datasets.

    Raises:
        DataError: one is missing.
    """
    for name in (STEEL, TILES):
        _data(data, name)


def rows(share: float) -> list[Row]:
    """A row for each run; seed by seed and what is claimed first, so that it can be read early."""
    return [*(Row(arm.key, _Measured(arm, share)) for arm in _arms()), Row("latency", _latency)]


def _arms() -> Iterator[Arm]:
    for seed in SEEDS:
        for data in METRICS:
            yield from (Arm(kind, data, SHORT, seed) for kind in ("ladder", "named", "scaled"))
    yield from (Arm("ladder", STEEL, LONG, seed) for seed in SEEDS)
    yield from (Arm("off", data, SHORT, SEEDS[0]) for data in METRICS)
    for seed in SEEDS:
        yield from (Arm(kind, TILES, LONG, seed) for kind in ("ladder", "scaled"))
    yield from (Arm("scaled", STEEL, LONG, seed) for seed in SEEDS)
    for seed in SEEDS[1:]:
        yield from (Arm("off", data, SHORT, seed) for data in METRICS)
    yield from (Arm("off", data, LONG, SEEDS[0]) for data in (STEEL, TILES))


class _Measured:
    """One arm, run."""

    def __init__(self, arm: Arm, share: float) -> None:
        self.arm, self.share = arm, share

    def __call__(self, context: Context) -> Mapping[str, Any]:
        arm = self.arm
        own: dict[str, Any] = {"data": _data(context.data, arm.data), "seed": arm.seed, "peers": "none"}
        own |= {"metric": METRICS[arm.data], "run_dir": context.new_folder(arm.key)}
        time = f"{60 * arm.minutes * self.share:g}s"
        if arm.kind in ("ladder", "off"):
            ladder = "on" if arm.kind == "ladder" else "off"
            space = str(_space(arm.data, context.folder))
            found = api.search(space, budget_flops=BUDGET, time=time, ladder=ladder, **own)
            if found["status"] == "stopped":
                raise KeyboardInterrupt
            return {**_model(found), **{name: found[name] for name in ("asked", "compared", "finished")}}
        searched = _search_beside(arm, context.results)
        own["split"] = str(searched / "split.json")
        if arm.kind == "named":
            return _model(api.train(NAMED, time=time, **own))
        own["epochs"] = _bundle(searched)["training"]["epochs_trained"]
        return _model(api.train(str(_scaled(searched, context.folder / f"{arm.key}.json")), **own))


def _space(data: str, folder: Path) -> Path:
    """The space with the portfolio that knows the other datasets only."""
    own, shipped = folder / "spaces" / data, spaces()[SPACE]
    own.mkdir(parents=True, exist_ok=True)
    shutil.copy(shipped, own / shipped.name)
    portfolio = Path(__file__).parent / "portfolios" / f"without_{data}.json"
    if not portfolio.is_file():
        raise RunError(f"no portfolio without {data}", got=portfolio, fix="make it with benchmarks/portfolio.py")
    shutil.copy(portfolio, own / f"{SPACE}.portfolio.json")
    return own / shipped.name


def _model(found: Mapping[str, Any]) -> dict[str, Any]:
    """What a run's model is, what it costs, and how it did in the test.

    Raises:
        RunError: the run has no model.
    """
    bundle = _bundle(Path(found["run"]))
    costs = {name: bundle["cost"][name] for name in ("params", "macs")}
    costs["latency_ms"] = bundle["graphs"][bundle["default_graph"]]["latency"][0]["median_ms"]
    epochs = bundle["training"]["epochs_trained"]
    return {"run": found["run"], "design": bundle["name"], **costs, "epochs": epochs, "test": bundle["metrics"]["test"]}


def _bundle(run: Path) -> dict[str, Any]:
    path = run / "best" / "bundle.json"
    if not path.is_file():
        raise RunError("the search has no winner", got=run, fix="give the study a larger --share")
    return dict(json.loads(path.read_text()))


def _search_beside(arm: Arm, results: Results) -> Path:
    """The run folder of the search with the ladder on the same data, with the same seed and time.

    Raises:
        DataError: it has no result.
    """
    key = arm._replace(kind="ladder").key
    if "run" not in results.get(key, {}):
        raise DataError(f"{arm.key} is compared with a search that has no result", got=key, fix="run the study again")
    return Path(results[key]["run"])


def _scaled(searched: Path, target: Path) -> Path:
    """The named design at the macs of a search's winner, as a genotype file."""
    bundle = _bundle(searched)
    space = find_space(SPACE).for_task("classify")
    shape = tuple(bundle["input"])
    gate = Gate(
        space,
        TEMPLATES[space.template],
        Budgets.parse(flops=BUDGET),
        input_shape=shape,
        heads={"image": tuple(bundle["classes"])},
    )
    first = first_design(gate, space.designs[NAMED])
    share = bundle["cost"]["macs"] / first.verdict.cost.macs
    smaller = shrink(gate, first, share) if share < 1 else first
    if smaller is None:
        raise DataError("the named design cannot be as small as the winner", got=f"{bundle['cost']['macs']} macs")
    target.write_text(json.dumps(smaller.verdict.genotype.to_json()) + "\n")
    return target


def _latency(context: Context) -> Mapping[str, Any]:
    """The winners on steel beside a network that many know, in one interleaved run."""
    keys = [Arm("ladder", STEEL, LONG, seed).key for seed in SEEDS]
    runs = [str(context.results[key]["run"]) for key in keys if "run" in context.results.get(key, {})]
    if not runs:
        raise DataError("no search on steel has a result", fix="run the study again")
    return api.benchmark([*runs, PEER], batch="1,10", threads="1")


def _data(folder: str | None, name: str) -> str:
    if name == SYNTHETIC:
        return name
    path = Path(folder or ".") / name
    if not path.is_dir():
        raise DataError(f"this study needs a folder {name}", got=folder, fix="say with --data where the datasets are")
    return str(path)


# What the rows say.


class Answers(NamedTuple):
    """What a model answered on test images: probabilities (n, classes), labels (n,) and groups (n,)."""

    probabilities: NDArray[np.float64]
    labels: NDArray[np.int64]
    groups: NDArray[np.int64]

    @classmethod
    def of(cls, run: str) -> Answers:
        """Those of a run."""
        kept = json.loads((Path(run) / "best" / "predictions.json").read_text())
        return cls(*(np.array(kept[name]) for name in cls._fields))


class Difference(NamedTuple):
    """Of the metric between two arms, pooled over so many seeds; the interval is of 95 %."""

    seeds: int
    mean: float
    low: float
    high: float
    escape: float | None

    @property
    def is_not_worse(self) -> bool:
        """Whether the first arm may be called as good as the second."""
        return self.mean >= NOT_WORSE and self.low >= NOT_WORSE_AT_LEAST and (self.escape or 0.0) <= MORE_ESCAPE


def difference(pairs: Sequence[tuple[Answers, Answers]], metric: str) -> tuple[float, float, float]:
    """Mean over pairs of the first's metric less the second's, and its 95 % interval."""
    figure = _FIGURES[metric]
    measured = [Measures({}, first.groups) for first, _ in pairs]
    drawn = np.mean(
        [[_gap(pair, rows, figure) for rows in m.draws()] for pair, m in zip(pairs, measured, strict=True)], 0
    )
    mean = float(np.mean([_gap(pair, np.arange(len(pair[0].labels)), figure) for pair in pairs]))
    low, high = np.quantile(drawn, [0.025, 0.975])
    return mean, float(low), float(high)


def _gap(pair: tuple[Answers, Answers], rows: NDArray[np.integer], figure: Callable[..., float]) -> float:
    first, second = (figure(confusion(answers.probabilities[rows], answers.labels[rows])) for answers in pair)
    return first - second


def _accuracy(table: NDArray[np.int64]) -> float:
    return float(np.trace(table) / table.sum())


_FIGURES = {"accuracy": _accuracy, "balanced_accuracy": balanced_accuracy}


def tables(results: Results, share: float) -> list[Table]:
    """What each arm gives, and how the ladder differs from the others."""
    groups = list(dict.fromkeys((arm.kind, arm.data, arm.minutes) for arm in _arms()))
    header = ["data", "minutes", "way", "seeds", "test metric, %", "escape / overkill, %"]
    header += ["epochs", "MACs, M", "latency, ms", "compared", "finished"]
    given = Table(f"At share {share:g}", header, [_given(results, *group) for group in groups])
    cells = [cell for group in groups if group[0] != "ladder" for cell in _compared(results, *group)]
    header = ["data", "minutes", "ladder less", "seeds", "points", "95 %", "escape, points", "not worse"]
    return [given, Table("The ladder beside the others", header, cells), _latencies(results)]


def _found(results: Results, kind: str, data: str, minutes: int) -> dict[int, Mapping[str, Any]]:
    keys = {seed: Arm(kind, data, minutes, seed).key for seed in SEEDS}
    return {seed: results[key] for seed, key in keys.items() if results.get(key, {}).get("test")}


def _given(results: Results, kind: str, data: str, minutes: int) -> list[str]:
    found = list(_found(results, kind, data, minutes).values())
    tests = [row["test"] for row in found]
    has_escape = bool(tests) and tests[0].get("escape") is not None
    return [
        data,
        str(minutes),
        kind,
        str(len(found)),
        _spread([100 * test[METRICS[data]] for test in tests]),
        f"{_spread([100 * t['escape'] for t in tests])} / {_spread([100 * t['overkill'] for t in tests])}"
        if has_escape
        else "–",
        _spread([row["epochs"] for row in found], 0),
        _spread([row["macs"] / 1e6 for row in found]),
        _spread([row["latency_ms"] for row in found], 2),
        ", ".join(str(row.get("compared", "–")) for row in found),
        ", ".join(str(row.get("finished", "–")) for row in found),
    ]


def _compared(results: Results, kind: str, data: str, minutes: int) -> Iterator[list[str]]:
    found = _difference(results, kind, data, minutes)
    if found is not None:
        points = [f"{100 * value:+.1f}" for value in (found.mean, found.low, found.high)]
        escape = "–" if found.escape is None else f"{100 * found.escape:+.1f}"
        verdict = "yes" if found.is_not_worse else "no"
        yield [data, str(minutes), kind, str(found.seeds), points[0], f"{points[1]} to {points[2]}", escape, verdict]


def _difference(results: Results, kind: str, data: str, minutes: int) -> Difference | None:
    ladder, other = (_found(results, way, data, minutes) for way in ("ladder", kind))
    seeds = sorted(ladder.keys() & other.keys())
    if not seeds:
        return None
    pairs = [(Answers.of(ladder[seed]["run"]), Answers.of(other[seed]["run"])) for seed in seeds]
    escapes = [(ladder[seed]["test"].get("escape"), other[seed]["test"].get("escape")) for seed in seeds]
    escape = statistics.mean(a - b for a, b in escapes) if None not in escapes[0] else None
    return Difference(len(seeds), *difference(pairs, METRICS[data]), escape)


def _latencies(results: Results) -> Table:
    cells = [[row["model"], str(row["batch"]), f"{row['median_ms']:.3f}"] for row in _latency_rows(results)]
    return Table("Latency on one thread, fp32, beside a peer", ["model", "batch", "ms an image"], cells)


def _latency_rows(results: Results) -> list[Mapping[str, Any]]:
    return list(results["latency"]["rows"]) if "latency" in results else []


def measurements(results: Results) -> dict[str, float]:
    """What ``expected.json`` speaks of, as far as it was measured."""
    found: dict[str, float] = {}
    first = results.get(Arm("ladder", SYNTHETIC, SHORT, 0).key, {})
    if first.get("test"):
        found |= {"designs compared in six minutes": first["compared"]}
        found |= {"designs finished in six minutes, besides trial 0": first["finished"] - 1}
    steel = _found(results, "ladder", STEEL, LONG)
    if len(steel) == len(SEEDS):
        found["accuracy on steel in 25 minutes"] = statistics.mean(row["test"]["accuracy"] for row in steel.values())
    for kind in ("off", "named", "scaled"):
        for data in METRICS:
            gap = _difference(results, kind, data, SHORT)
            if gap is not None and gap.seeds == len(SEEDS):
                about = f"ladder less {kind}, {data}, six minutes"
                found |= {about: gap.mean, f"{about}, lower limit": gap.low}
                found |= {} if gap.escape is None else {f"{about}, escape": gap.escape}
    timed = _latency_rows(results)
    for batch in sorted({row["batch"] for row in timed}):
        own = [row["median_ms"] for row in timed if row["batch"] == batch and row["model"] != PEER]
        peer = next(row["median_ms"] for row in timed if row["batch"] == batch and row["model"] == PEER)
        found[f"times as fast as efficientnet_b0, batch {batch}"] = peer / max(own)
    return found


def _spread(values: Sequence[float], digits: int = 1) -> str:
    if not values:
        return "unfinished"
    deviation = f" ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.{digits}f}{deviation}"
