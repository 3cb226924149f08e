"""The evaluation table: designs trained to the end, beside what short trainings say of them.

python benchmarks/evaluation_table.py ../data [--datasets neu_det] [--designs 96] [--repeated 24]

Every decision about the search is made on its figures (`benchmarks/table_figures.py`). Rows are answers of one design
on one fixed validation part: after short trainings at half and full resolution, after a longer one, after 20,000 passes
with a whole schedule, and as a child of another design beside a clone of that one. The table lies in
`benchmarks/evaluation/` and is written after every design; a run that was stopped goes on. A design whose training
diverges has no answers, and the reason stands in place of its figures.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from table_bench import CHILD_STEPS, HALF, RUNG0_STEPS, RUNG1_STEPS, Bench, Data, load
from table_designs import SIDE, decoded, first_designs, mutations
from table_store import Table

from compressdefect.errors import TrainingError
from compressdefect.search.latency import LatencyProbe

TABLE = Path(__file__).parent / "evaluation"
FIRST, ROUND = 20, 19  # designs that are named or random, and mutations added at a time
WHOLLY = 40  # designs that are measured in every way, with the first seed; of others how they begin and end
AT_BOTH_SIDES = 24  # of these, whose longer training is made at both sizes
FEWER = {"magnetic_tile": 40}  # designs, where not all are measured


@dataclass(frozen=True)
class Ask:
    """One design to measure with one seed."""

    dataset: str
    fingerprint: str
    seed: int


def measure(ask: Ask, data: Data, designs: Mapping[str, Mapping[str, Any]], threads: int) -> dict[str, Any]:
    """All rows of one design and seed."""
    row = designs[ask.fingerprint]
    bench = Bench(data, ask.seed, threads)
    genotype = decoded(row["flat"])
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
    genotype = decoded(row["flat"])
    answers = [bench.trained(genotype, "rung0-full", SIDE, RUNG0_STEPS)[1]]
    parent = row["origin"].removeprefix("mutation of ") if row["origin"].startswith("mutation") else None
    if parent is None and row["origin"] != "named":
        parent = nearest(row, designs)
    if parent is not None:
        lender = bench.trained(decoded(designs[parent]["flat"]), "", HALF, RUNG0_STEPS)[0].state_dict()
        for name, child in (("child", genotype), ("clone", decoded(designs[parent]["flat"]))):
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


_PROCESS: dict[str, Any] = {}


def _begin(folder: str, threads: int) -> None:
    os.nice(10)
    torch.set_num_threads(threads)
    from compressdefect import compat

    compat.install()
    _PROCESS.update(load=cache(lambda dataset: load(dataset, folder)), threads=threads)


def _work(ask: Ask, designs: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    try:
        return measure(ask, _PROCESS["load"](ask.dataset), designs, _PROCESS["threads"])
    except TrainingError as error:
        reason = json.dumps({"failed": str(error)})
        return {"answers": [], "figures": {"design": ask.fingerprint, "seed": ask.seed, "figures": reason}}


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
        for origin, admission in mutations(table.good_parents(), len(table.designs), min(left, ROUND)):
            table.add_design(origin, admission)
    time_designs(table, load(datasets[0], options.data))
    run(table, asks(table, datasets, options.repeated), options)


def time_designs(table: Table, data: Data) -> None:
    """Measure the latency of the exported designs, as far as it is not known, while nothing else runs."""
    probe = LatencyProbe(Bench(data, 0, 1).built, data.task, data.images[SIDE].shape)
    for row in table.designs.values():
        row["latency_ms"] = row["latency_ms"] or round(probe(decoded(row["flat"])), 4)
    table.write_designs()


def run(table: Table, wanted: Sequence[Ask], options: argparse.Namespace) -> None:
    """Measure in processes of one thread each; whatever stops it lets no other measurement begin."""
    context, began = multiprocessing.get_context("spawn"), time.monotonic()
    pool = ProcessPoolExecutor(options.workers, mp_context=context, initializer=_begin, initargs=(options.data, 1))
    try:
        futures = {pool.submit(_work, ask, table.designs): ask for ask in wanted}
        for done, future in enumerate(as_completed(futures), 1):
            ask, found = futures[future], future.result()
            table.add(ask.dataset, found)
            spent = time.monotonic() - began
            left = spent / done * (len(wanted) - done)
            came = f"seed {ask.seed}" if found["answers"] else f"seed {ask.seed} failed"
            print(f"{done}/{len(wanted)} {ask.dataset} {ask.fingerprint} {came} · {left / 60:.0f} min left", flush=True)
    finally:
        pool.shutdown(cancel_futures=True)


if __name__ == "__main__":
    main()
