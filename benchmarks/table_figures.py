"""What the evaluation table says: how well short trainings rank designs, beside seeds, sizes and proxies.

python benchmarks/table_figures.py [--folder benchmarks/evaluation] [--json FILE]

Every line is Kendall's tau-b of what is known early with figures of the same designs at the end (higher is better in
both), over all designs and within the third that ends best, with the 95 % interval of bootstraps over designs.
"""

from __future__ import annotations

import argparse
import csv
import json
import lzma
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from compressdefect.train.metrics import area_under_roc

FOLDER = Path(__file__).parent / "evaluation"
LEAST = 5e-4  # of a probability, half of what the table resolves
PARENTS = 6
SCORES = ("log loss", "balanced log loss", "area under ROC", "metric")
MEASURES = ("rung0-half", "rung0-full", "rung1-half", "rung1-full", "child")
FEWER_IMAGES = {"synthetic": 68, "neu_det": 180, "magnetic_tile": 140}
SUBSETS, DRAWS = 20, 1000
LEAST_DESIGNS = 5  # for a tau


@dataclass(frozen=True)
class Dataset:
    """What was measured on one dataset.

    ``answers`` are probabilities (n, K) by (design, seed, measure), ``labels`` the classes (n,) of the images.
    """

    name: str
    labels: NDArray[np.int64]
    groups: NDArray[np.int64]
    good: int | None
    metric: str
    answers: Mapping[tuple[str, int, str], NDArray[np.float32]]
    figures: Mapping[tuple[str, int], Mapping[str, Any]]
    seconds: Mapping[tuple[str, int, str], float]
    parents: Mapping[str, str]

    @cached_property
    def balance(self) -> NDArray[np.float64]:
        """The weight of each image where classes count alike (n,)."""
        counts = np.bincount(self.labels)
        return 1 / counts[self.labels] / (counts > 0).sum()

    def log_loss(self, answer: NDArray[np.float32], *, balanced: bool = False) -> float:
        """Mean −log p of the true class."""
        return -self.score("balanced log loss" if balanced else "log loss", answer)

    def score(self, kind: str, answer: NDArray[np.float32], rows: NDArray[np.intp] | None = None) -> float:
        """One of ``SCORES`` of an answer on all images or some (m,), higher the better.

        The area under the ROC curve is that of the defects; without a good class the mean of each class's.
        """
        rows = np.arange(len(self.labels)) if rows is None else rows
        shown, labels, weights = answer[rows], self.labels[rows], self.balance[rows]
        if kind == "area under ROC":
            ranked = range(shown.shape[1]) if self.good is None else [self.good]
            return float(np.nanmean([area_under_roc(shown[:, k], labels == k) for k in ranked]))
        if kind == "metric":
            right = shown.argmax(axis=1) == labels
            return float(np.average(right, weights=weights if self.metric == "balanced_accuracy" else None))
        losses = np.log(np.maximum(shown[np.arange(len(shown)), labels], LEAST))
        return float(np.average(losses, weights=weights if kind == "balanced log loss" else None))

    def some_images(self, count: int, seed: int) -> NDArray[np.intp]:
        """About so many images, as many of each class as there are by share."""
        rng, share = np.random.default_rng(seed), count / len(self.labels)
        places = [rng.permutation(np.flatnonzero(self.labels == k)) for k in np.unique(self.labels)]
        return np.concatenate([place[: max(1, round(share * len(place)))] for place in places])


def read(folder: Path, name: str) -> list[dict[str, str]]:
    """A table's rows."""
    csv.field_size_limit(1 << 24)
    path = folder / f"{name}.csv.xz"
    if not path.is_file():
        return []
    with lzma.open(path, "rt", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def dataset(folder: Path, name: str) -> Dataset:
    """One dataset of the table."""
    said = json.loads(lzma.decompress((folder / f"{name}.json.xz").read_bytes()))
    answers, seconds, parents = {}, {}, {}
    for row in read(folder, f"{name}-answers"):
        key = row["design"], int(row["seed"]), row["measure"]
        lines = row["probabilities"].split(";")
        answers[key] = np.array([line.split() for line in lines], dtype=np.float32) / 1000
        seconds[key] = float(row["seconds"])
        if row["measure"] == "child":
            parents[row["design"]] = row["parent"]
    figures = {(row["design"], int(row["seed"])): json.loads(row["figures"]) for row in read(folder, f"{name}-figures")}
    return Dataset(
        name,
        np.array(said["labels"]),
        np.array(said["groups"]),
        said["good"],
        said["metric"],
        answers,
        figures,
        seconds,
        parents,
    )


def datasets(folder: Path) -> list[Dataset]:
    """All datasets of the table."""
    return [dataset(folder, name) for name in dataset_names(folder)]


def dataset_names(folder: Path) -> list[str]:
    """What the datasets of the table are called."""
    return [path.name.removesuffix(".json.xz") for path in sorted(folder.glob("*.json.xz"))]


def designs(folder: Path) -> dict[str, dict[str, Any]]:
    """The designs of the table in their order, with whole numbers and genes."""
    found = {}
    for row in read(folder, "designs"):
        whole = {name: int(row[name]) for name in ("number", "params", "macs", "peak_bytes")}
        found[row["design"]] = {**row, **whole, "flat": json.loads(row["flat"])}
    return found


def good_designs(folder: Path) -> list[str]:
    """The designs to look around: half of them with the least log loss at the end, half with the least for their macs.

    Losses are compared by their mean rank over the datasets that measured a design.
    """
    known = designs(folder)
    plain: dict[str, list[float]] = {}
    sized: dict[str, list[float]] = {}
    for data in datasets(folder):
        ended = [design for design in known if (design, 0, "end") in data.answers]
        loss = np.log([data.log_loss(data.answers[design, 0, "end"], balanced=True) for design in ended])
        size = np.log([known[design]["macs"] for design in ended])
        residual = loss - np.polyval(np.polyfit(size, loss, 1), size)
        for ranks, values in ((plain, loss), (sized, residual)):
            for design, rank in zip(ended, np.argsort(np.argsort(values)), strict=True):
                ranks.setdefault(design, []).append(float(rank) / len(ended))
    best = [sorted(ranks, key=lambda d, r=ranks: np.mean(r[d])) for ranks in (plain, sized)]
    in_turn = [design for pair in zip(*best, strict=True) for design in pair]
    return list(dict.fromkeys(in_turn))[:PARENTS]


# How well what is known early ranks designs by what they come to.


class Early(NamedTuple):
    """What is known early of designs: ``values`` (k, n) are k equally good ways to measure it, higher the better."""

    name: str
    score: str
    designs: Sequence[str]
    values: NDArray[np.float64]
    ends: Mapping[str, NDArray[np.float64]] | None = None  # (k, n) where they are not those of seed 0


class Ranking(NamedTuple):
    """Kendall's tau of an early figure with the end, and its 95 % interval."""

    dataset: str
    early: str
    score: str
    end: str
    part: str
    designs: int
    tau: float
    low: float
    high: float


def rankings(data: Dataset, known: Mapping[str, Mapping[str, Any]]) -> Iterator[Ranking]:
    """Every early figure against every figure of the end."""
    for early in (*from_trainings(data), *from_costs(data, known), *from_fewer_images(data), *between_seeds(data)):
        for end in SCORES:
            if early.ends is None:
                ends = np.array([[data.score(end, data.answers[d, 0, "end"]) for d in early.designs]])
            else:
                ends = early.ends[end]
            ends = np.broadcast_to(ends, early.values.shape)
            third = np.argsort(-ends.mean(axis=0), kind="stable")[: -(-len(early.designs) // 3)]
            for part, rows in (("all", np.arange(len(early.designs))), ("best third", third)):
                if len(rows) >= LEAST_DESIGNS:
                    found = taus(early.values[:, rows], ends[:, rows])
                    yield Ranking(data.name, early.name, early.score, end, part, len(rows), *found)


def failed(data: Dataset) -> dict[tuple[str, int], str]:
    """Why training failed, by design and seed."""
    return {key: figures["failed"] for key, figures in data.figures.items() if "failed" in figures}


def ended(data: Dataset) -> list[str]:
    """The designs that were trained to the end."""
    return [design for design, seed, measure in data.answers if seed == 0 and measure == "end"]


def from_trainings(data: Dataset) -> Iterator[Early]:
    """Short trainings, and children as they are and corrected: parent + (child − clone of the parent)."""
    for measure in MEASURES:
        shown = [design for design in ended(data) if (design, 0, measure) in data.answers]
        for kind in SCORES:
            values = np.array([[data.score(kind, data.answers[d, 0, measure]) for d in shown]])
            yield Early(measure, kind, shown, values)
            if measure == "child":
                lent = [d for d in shown if (data.parents[d], 0, "rung0-half") in data.answers]
                yield Early("child corrected", kind, lent, np.array([[corrected(data, d, kind) for d in lent]]))
                scratch = [[data.score(kind, data.answers[d, 0, "rung0-half"]) for d in shown]]
                yield Early("rung0-half of these", kind, shown, np.array(scratch))


def corrected(data: Dataset, design: str, kind: str) -> float:
    """A child's score where its parent's clone stands for what the longer training gives."""
    child, clone = (data.score(kind, data.answers[design, 0, measure]) for measure in ("child", "clone"))
    return data.score(kind, data.answers[data.parents[design], 0, "rung0-half"]) + child - clone


def from_costs(data: Dataset, known: Mapping[str, Mapping[str, Any]]) -> Iterator[Early]:
    """What is known without any training; more is taken for better."""
    shown = ended(data)
    for name in ("params", "macs"):
        yield Early(name, "", shown, np.array([[float(known[design][name]) for design in shown]]))
    for name in ("grad_norm", "naswot", "synflow"):
        yield Early(name, "", shown, np.array([[data.figures[design, 0]["proxies"][name] for design in shown]]))


def from_fewer_images(data: Dataset) -> Iterator[Early]:
    """The first rung scored on random parts of the images, against the end on all of them."""
    shown, count = ended(data), FEWER_IMAGES[data.name]
    subsets = [data.some_images(count, seed) for seed in range(SUBSETS)]
    for kind in SCORES:
        values = [[data.score(kind, data.answers[d, 0, "rung0-half"], rows) for d in shown] for rows in subsets]
        yield Early("rung0-half on fewer images", kind, shown, np.array(values))


def between_seeds(data: Dataset) -> Iterator[Early]:
    """The end with one seed against the end with another: what no early figure can be expected to pass."""
    shown = [d for d in ended(data) if all((d, seed, "end") in data.answers for seed in (1, 2))]
    pairs = ((0, 1), (0, 2), (1, 2))
    ends = {k: [[data.score(k, data.answers[d, s, "end"]) for d in shown] for s in range(3)] for k in SCORES}
    for kind in SCORES:
        values = np.array([ends[kind][a] for a, _ in pairs])
        yield Early(
            "end, another seed", kind, shown, values, {k: np.array([v[b] for _, b in pairs]) for k, v in ends.items()}
        )


def taus(early: NDArray[np.float64], end: NDArray[np.float64]) -> tuple[float, float, float]:
    """Kendall's tau-b of (k, n) with (k, n), the mean of the rows', and its 95 % interval.

    A draw takes designs with replacement; a design is not compared with itself.
    """
    size = early.shape[1]
    drawn = np.random.default_rng(0).multinomial(size, np.full(size, 1 / size), DRAWS)
    counts = np.vstack([np.ones(size), drawn])
    found = np.mean([_taus(a, b, counts) for a, b in zip(early, end, strict=True)], axis=0)
    low, high = np.quantile(found[1:], (0.025, 0.975))
    return float(found[0]), float(low), float(high)


def _taus(a: NDArray[np.float64], b: NDArray[np.float64], counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Tau-b where design i is there ``counts[:, i]`` times: (draws,); 0 where nothing is told apart."""
    signs_a, signs_b = (np.sign(x[:, None] - x[None, :]) for x in (a, b))

    def pairs(table: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.einsum("di,ij,dj->d", counts, table, counts, optimize=True)

    whole = np.sqrt(pairs(signs_a**2) * pairs(signs_b**2))
    return pairs(signs_a * signs_b) / np.where(whole > 0, whole, 1)


def show(found: Sequence[Ranking], data: Dataset) -> None:
    """Print one dataset's rankings, a line for each early figure and score."""
    fewer = f"fewer are {FEWER_IMAGES[data.name]}"
    print(f"\n{data.name}: {len(ended(data))} designs, {len(data.labels)} images ({fewer}); tau with the end's")
    print(f"{'early':28}{'score':19}{'n':>4}" + "".join(f"{kind:>24}{'third':>7}" for kind in SCORES))
    cells = {(r.early, r.score, r.end, r.part): r for r in found}
    for early, score in dict.fromkeys((r.early, r.score) for r in found):
        line = ""
        for kind in SCORES:
            whole, third = (cells.get((early, score, kind, part)) for part in ("all", "best third"))
            assert whole is not None
            shown = f"{whole.tau:.2f} [{whole.low:.2f}, {whole.high:.2f}]"
            line += f"{shown:>24}" + (f"{third.tau:7.2f}" if third else " " * 7)
        print(f"{early:28}{score:19}{cells[early, score, SCORES[0], 'all'].designs:4}{line}")
    seconds = {m: [s for (_, _, measure), s in data.seconds.items() if measure == m] for m in (*MEASURES, "end")}
    print("seconds: " + " · ".join(f"{m} {np.mean(s):.1f}" for m, s in seconds.items() if s))
    for (design, seed), reason in failed(data).items():
        print(f"{design} seed {seed} failed: {reason}")


def show_means(found: Sequence[Ranking]) -> None:
    """Print the taus over all designs with the log loss at the end, and their means over the datasets."""
    names = list(dict.fromkeys(r.dataset for r in found))
    cells = {(r.early, r.score, r.dataset, r.part): r.tau for r in found if r.end == "balanced log loss"}
    print("\ntau with the balanced log loss at the end, all designs / best third")
    print(f"{'early':28}{'score':19}" + "".join(f"{name:>16}" for name in (*names, "mean")))
    for early, score in dict.fromkeys((r.early, r.score) for r in found):
        rows = [[cells.get((early, score, name, part), np.nan) for name in names] for part in ("all", "best third")]
        if np.isfinite(rows[0]).all():
            columns = [(a, b) for a, b in zip(*rows, strict=True)] + [tuple(np.mean(row) for row in rows)]
            print(f"{early:28}{score:19}" + "".join(f"{a:9.2f} /{b:5.2f}" for a, b in columns))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=FOLDER)
    parser.add_argument("--json", type=Path, help="write the figures there too")
    options = parser.parse_args()
    known, everything = designs(options.folder), []
    for data in datasets(options.folder):
        found = list(rankings(data, known))
        show(found, data)
        everything += found
    show_means(everything)
    if options.json:
        options.json.write_text(json.dumps([ranking._asdict() for ranking in everything], indent=1) + "\n")


if __name__ == "__main__":
    main()
