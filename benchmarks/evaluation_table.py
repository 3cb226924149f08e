"""The evaluation table: designs trained to the end, beside what short trainings say of them.

python benchmarks/evaluation_table.py ../data [--datasets neu_det] [--designs 96] [--repeated 24]

Every decision about the search is made on its figures (`benchmarks/table_figures.py`). Rows are answers of one design
on one fixed validation part: after short trainings at half and full resolution, after a longer one, after 20,000 passes
with a whole schedule, and as a child of another design beside a clone of that one. The table lies in
`benchmarks/evaluation/` and is written after every design; a run that was stopped goes on.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import lzma
import math
import multiprocessing
import os
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from compressdefect.catalog import find_space
from compressdefect.data.images import SYNTHETIC, Images
from compressdefect.data.load import load_images
from compressdefect.data.shrink import at_side
from compressdefect.data.split import Split, make_split
from compressdefect.data.statistics import pixel_statistics
from compressdefect.data.synthetic.plates import plates
from compressdefect.models.inherit import inherit
from compressdefect.models.inspector import Inspector
from compressdefect.models.templates import TEMPLATES
from compressdefect.runs import atomic_write
from compressdefect.search.constraints import Budgets
from compressdefect.search.draws import derive_seed, mutate
from compressdefect.search.gate import Gate
from compressdefect.search.latency import LatencyProbe
from compressdefect.search.repair import Admission, admit, shrink
from compressdefect.space.genotype import Genotype
from compressdefect.train.batches import gather, steps_per_epoch
from compressdefect.train.config import FitConfig
from compressdefect.train.fit import fit
from compressdefect.train.predict import predict
from compressdefect.train.task import Aim, Task
from compressdefect.train.tasks import task_kind
from compressdefect.train.validate import seeded

TABLE = Path(__file__).parent / "evaluation"
SPACE, SIDE, HALF = "lightdefectnet", 224, 112
BUDGET, SMALL_BUDGET, TINY_BUDGET = "100M", "25M", "6M"
PASSES, RUNG0_STEPS, CHILD_STEPS, RUNG1_STEPS, SMALL_BATCH = 20_000, 64, 32, 256, 16
VAL_SHARE, FRESH_PLATES = 0.3, 400
METRICS = {"magnetic_tile": "balanced_accuracy"}
FIRST, ROUND = 20, 19  # designs that are named or random, and mutations added at a time
WHOLLY = 40  # designs that are measured in every way, with the first seed; of others how they begin and end
AT_BOTH_SIDES = 24  # of these, whose longer training is made at both sizes
FEWER = {"magnetic_tile": 40}  # designs, where not all are measured
ANSWERS = ("design", "seed", "measure", "side", "steps", "seconds", "parent", "probabilities")
DESIGNS = ("number", "design", "origin", "params", "macs", "peak_bytes", "latency_ms", "flat")
FIGURES = ("design", "seed", "figures")


@dataclass(frozen=True)
class Data:
    """What designs are trained and scored on, at both sizes."""

    images: Mapping[int, Images]
    train: NDArray[np.int64]
    val: NDArray[np.int64]
    task: Task


@dataclass(frozen=True)
class Ask:
    """One design to measure with one seed."""

    dataset: str
    fingerprint: str
    seed: int


def load(dataset: str, folder: str) -> Data:
    """A dataset without its test part; synthetic plates are validated on fresh ones."""
    if dataset == SYNTHETIC:
        shown = plates()
        train = make_split(shown).train
        fresh = plates(FRESH_PLATES // 2, FRESH_PLATES // 2, seed=1000)
        pixels = np.concatenate([shown.pixels[train], fresh.pixels])
        labels = np.concatenate([shown.labels[train], fresh.labels])
        names = tuple(f"{i:04d}" for i in range(len(labels)))
        images = replace(shown, pixels=pixels, labels=labels, names=names, hashes=names, groups=np.arange(len(labels)))
        split = Split(np.arange(len(train)), np.arange(len(train), len(labels)), np.arange(0))
    else:
        images = load_images(str(Path(folder) / dataset), input=SIDE)
        split = make_split(images, val_share=VAL_SHARE)
    task = task_kind("classify").on_images(images, Aim(metric=METRICS.get(dataset)))
    return Data({SIDE: images, HALF: at_side(images, HALF)}, split.train, split.val, task)


# Designs: named ones, random ones after repair, then mutations around those that came out best.


def gate_of(budget: str) -> Gate:
    space = find_space(SPACE).for_task("classify")
    shape = (1, SIDE, SIDE)
    return Gate(space, TEMPLATES[space.template], Budgets.parse(flops=budget), input_shape=shape, heads=HEADS)


HEADS = {"image": tuple("abcdef")}


def first_designs(count: int) -> Iterator[tuple[str, Admission]]:
    """The named design, its half and its quarter, then random designs, a third of them under the small budget."""
    large, small = gate_of(BUDGET), gate_of(SMALL_BUDGET)
    flat = _flat_of(large, next(iter(large.space.designs.values())))
    first = admit(large, flat)
    yield "named", first
    for share in (0.5, 0.25):
        smaller = shrink(large, first, share)
        assert smaller is not None
        yield f"named/{share}", smaller
    for number in range(3, count):
        gate = small if number % 3 == 0 else large
        for attempt in range(1000):
            admission = admit(gate, gate.space.sample(random.Random(derive_seed("table", number, attempt))))
            if admission.verdict.feasible:
                yield "random", admission
                break


def mutations(table: Table, count: int) -> Iterator[tuple[str, Admission]]:
    """Mutations around the designs that have the least log loss at the end, as it is and for their size."""
    parents = table.good_parents()
    gates = [gate_of(budget) for budget in (SMALL_BUDGET, BUDGET, BUDGET, TINY_BUDGET, BUDGET, BUDGET)]
    for number in range(count):
        parent = parents[number % len(parents)]
        gate = gates[(number + number // len(gates)) % len(gates)]
        for attempt in range(1000):
            flat = mutate(
                gate.space.dimensions, parent["flat"], derive_seed("mutation", len(table.designs), number, attempt)
            )
            admission = admit(gate, flat)
            if admission.verdict.feasible and admission.verdict.genotype.fingerprint != parent["design"]:
                yield f"mutation of {parent['design']}", admission
                break


def _flat_of(gate: Gate, genotype: Genotype) -> dict[str, Any]:
    return dict(gate.space.flatten(genotype))


# Measurements of one design on one dataset.


def measure(ask: Ask, data: Data, designs: Mapping[str, Mapping[str, Any]], threads: int) -> dict[str, Any]:
    """All rows of one design and seed."""
    row = designs[ask.fingerprint]
    bench = Bench(data, ask.seed, threads)
    genotype = _decoded(row["flat"])
    answers, figures = [], {}
    network = bench.built(genotype)
    figures["proxies"] = bench.proxies(network)
    half, answer = bench.trained(genotype, "rung0-half", HALF, RUNG0_STEPS)
    answers.append(answer)
    figures["probes"] = bench.probes(half)
    if ask.seed == 0 and int(row["number"]) < WHOLLY:
        answers += in_other_ways(bench, row, designs)
    answers.append(bench.trained(genotype, "end", SIDE, None)[1])
    for answer in answers:
        answer.update(design=ask.fingerprint, seed=ask.seed)
    return {
        "answers": answers,
        "figures": {"design": ask.fingerprint, "seed": ask.seed, "figures": json.dumps(figures)},
    }


def in_other_ways(
    bench: Bench, row: Mapping[str, Any], designs: Mapping[str, Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """What a short training at full size says of a design, one as a child of another, and a longer one."""
    genotype = _decoded(row["flat"])
    answers = [bench.trained(genotype, "rung0-full", SIDE, RUNG0_STEPS)[1]]
    parent = row["origin"].removeprefix("mutation of ") if row["origin"].startswith("mutation") else None
    if parent is None and row["origin"] != "named":
        parent = nearest(row, designs)
    if parent is not None:
        lender = bench.trained(_decoded(designs[parent]["flat"]), "", HALF, RUNG0_STEPS)[0].state_dict()
        for name, child in (("child", genotype), ("clone", _decoded(designs[parent]["flat"]))):
            _, answer = bench.trained(child, name, HALF, CHILD_STEPS, parent=(parent, lender))
            answers.append(answer)
    longer = [("rung1-half", HALF), ("rung1-full", SIDE)]
    for name, side in longer[: 2 if int(row["number"]) < AT_BOTH_SIDES else 1]:
        answers.append(bench.trained(genotype, name, side, RUNG1_STEPS)[1])
    return answers


def nearest(row: Mapping[str, Any], designs: Mapping[str, Mapping[str, Any]]) -> str:
    """The earlier design that shares most genes."""
    earlier = [other for other in designs.values() if int(other["number"]) < int(row["number"])]
    shared = [sum(row["flat"][name] == value for name, value in other["flat"].items()) for other in earlier]
    return str(earlier[int(np.argmax(shared))]["design"])


@dataclass(frozen=True)
class Bench:
    """Trains and probes designs on one dataset with one seed."""

    data: Data
    seed: int
    threads: int

    def built(self, genotype: Genotype, side: int = SIDE) -> Inspector:
        images = self.data.images[side]
        graph = TEMPLATES[genotype.template].describe(genotype, self.data.task.heads)
        mean, std = pixel_statistics(images, self.data.train)
        return seeded(lambda: Inspector.from_statistics(graph.build(images.shape[0]), mean, std), self.seed)

    def trained(
        self,
        genotype: Genotype,
        measure: str,
        side: int,
        steps: int | None,
        parent: tuple[str, Mapping[str, Tensor]] | None = None,
    ) -> tuple[Inspector, dict[str, Any]]:
        """Train as many steps, None for ``PASSES`` by the product's recipe, and answer the validation part."""
        data, few = self.data, len(self.data.train) < 500
        batch = SMALL_BATCH if few or steps is not None else FitConfig().batch_size
        per_epoch = steps_per_epoch(len(data.train), batch)
        epochs = max(1, round((PASSES / batch if steps is None else steps) / per_epoch))
        config = FitConfig(
            epochs=epochs, batch_size=batch, seed=self.seed, threads=self.threads, score_every=epochs + 1
        )
        network = self.built(genotype, side)
        if parent is not None:
            inherit(network, parent[1])
        began = time.monotonic()
        found = fit(network, data.images[side], data.train, data.val, data.task, config)
        assert found.val_records is not None
        thousandths = np.rint(1000 * found.val_records).astype(int)
        return network, {
            "measure": measure,
            "side": side,
            "steps": epochs * per_epoch,
            "seconds": round(time.monotonic() - began, 2),
            "parent": parent[0] if parent else "",
            "probabilities": ";".join(" ".join(map(str, image)) for image in thousandths),
        }

    def log_loss(self, network: nn.Module, side: int) -> float:
        images, val = self.data.images[side], self.data.val
        found = predict(network, images, val, self.data.task)
        true = found[np.arange(len(val)), images.labels[val]]
        return float(-np.log(np.maximum(true, 5e-4)).mean())

    def probes(self, network: Inspector) -> dict[str, float]:
        """How much the log loss rises when noise as large as a stage's own spread is added to its output."""
        plain, found = self.log_loss(network, HALF), {}
        for name, module in network.named_modules():
            if name.endswith(".columns"):
                generator = torch.Generator().manual_seed(0)

                def noised(_: nn.Module, __: object, out: Tensor, generator: torch.Generator = generator) -> Tensor:
                    return out + out.std() * torch.randn(out.shape, generator=generator)

                handle = module.register_forward_hook(noised)
                found[name.split(".")[-2]] = round(self.log_loss(network, HALF) - plain, 4)
                handle.remove()
        return found

    def proxies(self, network: Inspector) -> dict[str, float]:
        """Zero-cost proxies of the untrained network at full resolution: synflow, gradient norm, NASWOT."""
        images = self.data.images[SIDE]
        rows = np.random.default_rng(0).permutation(self.data.train)[:SMALL_BATCH]
        pixels, labels = gather(images, rows), torch.from_numpy(images.labels[rows])
        codes: list[Tensor] = []
        hooks = [
            module.register_forward_hook(lambda _, __, out: codes.append((out > 0).flatten(1).float()))
            for module in network.modules()
            if isinstance(module, nn.ReLU)
        ]
        network.train()
        out = network(pixels)
        for hook in hooks:
            hook.remove()
        columns = out if out.ndim == 3 else out.unsqueeze(1)
        loss = nn.functional.cross_entropy(columns.mean(dim=1).float(), labels)
        loss.backward()
        norm = sum(float(p.grad.norm()) for p in network.parameters() if p.grad is not None)
        network.zero_grad()
        kernel = sum(code @ code.T + (1 - code) @ (1 - code).T for code in codes) if codes else torch.eye(2)
        found = {"grad_norm": norm, "naswot": float(torch.linalg.slogdet(kernel.double())[1])}
        found["synflow"] = _synflow(network, images.shape)
        return {name: round(value, 4) for name, value in found.items()}


def _synflow(network: Inspector, shape: tuple[int, int, int]) -> float:
    """log Σ |θ · ∂R/∂θ| of the network with absolute weights, on an image of ones (Tanaka et al., 2020)."""
    body = network.network.double().eval()
    with torch.no_grad():
        for tensor in body.state_dict().values():
            tensor.abs_()
    body.zero_grad()
    out = body(torch.ones(1, *shape, dtype=torch.float64))
    out.sum().backward()
    total = sum(float((p * p.grad).detach().abs().sum()) for p in body.parameters() if p.grad is not None)
    return math.log(max(total, 1e-300))


@cache
def _space() -> Any:
    return find_space(SPACE).for_task("classify")


def _decoded(flat: Mapping[str, Any]) -> Genotype:
    return _space().decode(flat)


# The table on disk.


class Table:
    """What is known so far, by dataset; every change is written at once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        self.designs = {row["design"]: {**row, "flat": json.loads(row["flat"])} for row in self._read("designs")}
        self.answers: dict[str, list[dict[str, Any]]] = {}
        self.figures: dict[str, list[dict[str, Any]]] = {}

    def of(self, dataset: str) -> set[tuple[str, int]]:
        """The designs and seeds that are measured."""
        if dataset not in self.answers:
            self.answers[dataset] = self._read(f"{dataset}-answers")
            self.figures[dataset] = self._read(f"{dataset}-figures")
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
        from table_figures import good_designs

        return [self.designs[design] for design in good_designs(self.folder)]

    def _read(self, name: str) -> list[dict[str, Any]]:
        path = self.folder / f"{name}.csv.xz"
        if not path.is_file():
            return []
        csv.field_size_limit(1 << 24)
        with lzma.open(path, "rt", encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))

    def _write(self, name: str, columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        atomic_write(self.folder / f"{name}.csv.xz", lzma.compress(text.getvalue().encode()))


# Work.

_PROCESS: dict[str, Any] = {}


def _begin(folder: str, threads: int) -> None:
    os.nice(10)
    torch.set_num_threads(threads)
    from compressdefect import compat

    compat.install()
    _PROCESS.update(load=cache(lambda dataset: load(dataset, folder)), threads=threads)


def _work(ask: Ask, designs: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    return measure(ask, _PROCESS["load"](ask.dataset), designs, _PROCESS["threads"])


def asks(table: Table, datasets: Sequence[str], repeated: int) -> list[Ask]:
    """What is still to be measured: designs in turn over the datasets, then some of them with other seeds."""
    numbered = list(table.designs)
    found: list[Ask] = []
    for index, design in enumerate(numbered):
        found += [Ask(name, design, 0) for name in datasets if index < FEWER.get(name, len(numbered))]
    every = max(1, FEWER["magnetic_tile"] // max(repeated, 1))
    for design in numbered[::every][:repeated]:
        found += [Ask(name, design, seed) for seed in (1, 2) for name in datasets]
    return [ask for ask in found if (ask.fingerprint, ask.seed) not in table.of(ask.dataset)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", help="folder of neu_det and magnetic_tile")
    parser.add_argument("--folder", type=Path, default=TABLE)
    parser.add_argument("--datasets", default="neu_det,synthetic,magnetic_tile")
    parser.add_argument("--designs", type=int, default=96)
    parser.add_argument("--repeated", type=int, default=24, help="designs with three seeds")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()

    table, datasets = Table(options.folder), options.datasets.split(",")
    for origin, admission in first_designs(FIRST):
        table.add_design(origin, admission)
    for dataset in datasets:
        table.describe(dataset, load(dataset, options.data))
    while True:
        table.write_designs()
        run(table, asks(table, datasets, 0), options)
        left = options.designs - len(table.designs)
        if left <= 0:
            break
        for origin, admission in mutations(table, min(left, ROUND)):
            table.add_design(origin, admission)
    time_designs(table, load(datasets[0], options.data))
    run(table, asks(table, datasets, options.repeated), options)


def time_designs(table: Table, data: Data) -> None:
    """Measure the latency of the exported designs, as far as it is not known, while nothing else runs."""
    probe = LatencyProbe(Bench(data, 0, 1).built, data.task, data.images[SIDE].shape)
    for row in table.designs.values():
        row["latency_ms"] = row["latency_ms"] or round(probe(_decoded(row["flat"])), 4)
    table.write_designs()


def run(table: Table, wanted: Sequence[Ask], options: argparse.Namespace) -> None:
    """Measure in processes of one thread each."""
    context, began = multiprocessing.get_context("spawn"), time.monotonic()
    with ProcessPoolExecutor(
        options.workers, mp_context=context, initializer=_begin, initargs=(options.data, 1)
    ) as pool:
        futures = {pool.submit(_work, ask, table.designs): ask for ask in wanted}
        for done, future in enumerate(as_completed(futures), 1):
            ask = futures[future]
            table.add(ask.dataset, future.result())
            spent = time.monotonic() - began
            left = spent / done * (len(wanted) - done)
            print(
                f"{done}/{len(wanted)} {ask.dataset} {ask.fingerprint} seed {ask.seed} · {left / 60:.0f} min left",
                flush=True,
            )


if __name__ == "__main__":
    main()
