"""What the evaluation table says: how well short trainings rank designs, beside seeds, sizes and proxies.

python benchmarks/table_figures.py [--folder benchmarks/evaluation]
"""

from __future__ import annotations

import csv
import json
import lzma
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

FOLDER = Path(__file__).parent / "evaluation"
LEAST = 5e-4  # of a probability, half of what the table resolves
PARENTS = 12


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
        losses = -np.log(np.maximum(answer[np.arange(len(answer)), self.labels], LEAST))
        return float(np.average(losses, weights=self.balance if balanced else None))


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
    return [dataset(folder, path.name.removesuffix(".json.xz")) for path in sorted(folder.glob("*.json.xz"))]


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
    found: list[str] = []
    for turn in range(len(known)):
        found += [ranked[turn] for ranked in best if ranked[turn] not in found]
    return found[:PARENTS]
