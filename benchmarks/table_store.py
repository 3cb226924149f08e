"""The evaluation table on disk, in `benchmarks/evaluation/`: designs, their answers and other figures of them."""

from __future__ import annotations

import csv
import io
import json
import lzma
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from table_bench import PASSES, SIDE, Data
from table_figures import good_designs, read

from compressdefect.runs import atomic_write
from compressdefect.search.repair import Admission
from compressdefect.train.config import FitConfig

ANSWERS = ("design", "seed", "measure", "side", "steps", "seconds", "parent", "probabilities")
DESIGNS = ("number", "design", "origin", "params", "macs", "peak_bytes", "latency_ms", "flat")
FIGURES = ("design", "seed", "figures")


class Table:
    """What is known so far, by dataset; every change is written at once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        self.designs = {row["design"]: {**row, "flat": json.loads(row["flat"])} for row in read(folder, "designs")}
        self.answers: dict[str, list[dict[str, Any]]] = {}
        self.figures: dict[str, list[dict[str, Any]]] = {}

    def of(self, dataset: str) -> set[tuple[str, int]]:
        """The designs and seeds that are measured."""
        if dataset not in self.answers:
            self.answers[dataset] = read(self.folder, f"{dataset}-answers")
            self.figures[dataset] = read(self.folder, f"{dataset}-figures")
        return {(row["design"], int(row["seed"])) for row in self.figures[dataset]}

    def add_design(self, origin: str, admission: Admission) -> None:
        """Take up a design, unless it is known."""
        genotype, cost = admission.verdict.genotype, admission.verdict.cost
        if genotype.fingerprint not in self.designs:
            self.designs[genotype.fingerprint] = {
                "number": len(self.designs),
                "design": genotype.fingerprint,
                "origin": origin,
                "params": cost.params,
                "macs": cost.macs,
                "peak_bytes": cost.peak_bytes,
                "latency_ms": "",
                "flat": dict(admission.flat),
            }

    def write_designs(self) -> None:
        """Keep the designs."""
        rows = [{**row, "flat": json.dumps(row["flat"])} for row in self.designs.values()]
        self._write("designs", DESIGNS, rows)

    def add(self, dataset: str, found: Mapping[str, Any]) -> None:
        """Keep what was measured of a design."""
        self.of(dataset)
        self.answers[dataset] += found["answers"]
        self.figures[dataset].append(found["figures"])
        self._write(f"{dataset}-answers", ANSWERS, self.answers[dataset])
        self._write(f"{dataset}-figures", FIGURES, self.figures[dataset])

    def describe(self, dataset: str, data: Data) -> None:
        """Keep what the answers are about: the validation images, their classes and groups."""
        images = data.images[SIDE]
        found = {
            "classes": images.classes,
            "good": images.good,
            "metric": data.task.metric,
            "train": len(data.train),
            "val": [images.names[i] for i in data.val],
            "labels": images.labels[data.val].tolist(),
            "groups": images.groups[data.val].tolist(),
            "recipe": asdict(FitConfig()),
            "passes": PASSES,
        }
        text = json.dumps(found, separators=(",", ":"))
        atomic_write(self.folder / f"{dataset}.json.xz", lzma.compress(text.encode()))

    def good_parents(self) -> list[Mapping[str, Any]]:
        """The first designs with the least log loss at the end, as it is and for their size."""
        return [self.designs[design] for design in good_designs(self.folder)]

    def _write(self, name: str, columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        atomic_write(self.folder / f"{name}.csv.xz", lzma.compress(text.getvalue().encode()))
