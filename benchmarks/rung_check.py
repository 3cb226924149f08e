"""How well the ladder's short training ranks designs of a space on some images, by what whole trainings make of them.

python benchmarks/rung_check.py lw_cnn --data FOLDER --task segment [--designs 12] [--seeds 2] [--passes 8000]

The named design, its half and its quarter, then random ones after repair, each trained on the ladder's lowest rung and
for so many passes by the full protocol, on the validation part. Kendall's tau is printed by seed, beside that of params
and that between seeds. A ladder is worth its time where the first is clearly above that of params.
"""

from __future__ import annotations

import argparse
import csv
import os
import random
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from scipy.stats import kendalltau

from compressdefect.data.statistics import pixel_statistics
from compressdefect.flow.prepare import prepare
from compressdefect.flow.request import Request
from compressdefect.flow.train import fit_config
from compressdefect.flow.voice import Voice
from compressdefect.options import SearchOptions
from compressdefect.search.draws import derive_seed
from compressdefect.search.evaluate import TrainingEvaluator, TrialJob
from compressdefect.search.gate import Gate
from compressdefect.search.reach import first_design
from compressdefect.search.repair import Admission, admit, shrink
from compressdefect.search.sizes import size_adjusted
from compressdefect.search.workers import Processes
from compressdefect.train.batches import steps_per_epoch

COLUMNS = ("design", "seed", "params", "macs", "score", "metric", "seconds_short", "seconds_whole")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("space")
    parser.add_argument("--data", required=True)
    parser.add_argument("--task")
    parser.add_argument("--metric")
    parser.add_argument("--budget-flops", default="1G")
    parser.add_argument("--designs", type=int, default=12)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--passes", type=int, default=8000, help="images shown in a whole training")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--csv", type=Path)
    given = parser.parse_args()

    options = SearchOptions(
        space=given.space,
        data=given.data,
        task=given.task,
        metric=given.metric,
        budget_flops=given.budget_flops,
        ladder="on",
    )
    voice = Voice()
    request = Request.make(options, voice)
    data = prepare(options, input=request.space.input or 224, task=request.task, voice=voice)
    rung = request.ladder(data).rungs[0]
    shape, heads = data.images.shape, data.task.heads
    gate = Gate(request.space, request.template, request.budgets, input_shape=shape, heads=heads)
    config = fit_config(options, data.shown, data.task.name)
    epochs = max(1, round(given.passes / config.batch_size / steps_per_epoch(data.shown, config.batch_size)))
    mean, std = pixel_statistics(data.images, data.split.train)
    evaluator = TrainingEvaluator(request.template, data.images, data.split, data.task, config, mean, std)

    chosen = list(designs(gate, given.designs))
    jobs = [
        TrialJob(admission.verdict.genotype, derive_seed(seed, number), epochs, rung=on)
        for seed in range(given.seeds)
        for number, admission in enumerate(chosen)
        for on in (rung, None)
    ]
    answers = run(evaluator, jobs, given.workers)
    rows = [
        row(chosen[number], seed, *(answers[2 * (seed * len(chosen) + number) + i] for i in (0, 1)))
        for seed in range(given.seeds)
        for number in range(len(chosen))
    ]
    show(rows, given.seeds)
    if given.csv:
        with given.csv.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)


def designs(gate: Gate, count: int) -> Iterator[Admission]:
    """The named design, its half and its quarter, then random ones that fit."""
    first = first_design(gate, next(iter(gate.space.designs.values())))
    smaller = (shrink(gate, first, share) for share in (0.5, 0.25))
    starts = [first, *(admission for admission in smaller if admission is not None)]
    yield from starts
    for number in range(len(starts), count):
        for attempt in range(1000):
            admission = admit(gate, gate.space.sample(random.Random(derive_seed("rung check", number, attempt))))
            if admission.verdict.feasible:
                yield admission
                break


def run(evaluator: TrainingEvaluator, jobs: list[TrialJob], size: int) -> dict[int, Any]:
    """The results by the jobs' places."""
    found, waiting = {}, list(enumerate(jobs))
    with tempfile.TemporaryDirectory() as folder, closing(Processes(evaluator, size, 1, Path(folder))) as workers:
        running = 0
        while waiting or running:
            while waiting and running < size:
                workers.submit(*waiting.pop(0))
                running += 1
            for number, result in workers.collect(lambda share: None):
                found[number] = result
                running -= 1
                print(f"{len(found)}/{len(jobs)} {result.state} {result.seconds:.0f} s", flush=True)
    return found


def row(admission: Admission, seed: int, short: Any, whole: Any) -> dict[str, Any]:
    """One design and seed as a line of the CSV; a training that failed counts 0."""
    verdict = admission.verdict
    return {
        "design": verdict.genotype.fingerprint,
        "seed": seed,
        "params": verdict.cost.params,
        "macs": verdict.cost.macs,
        "score": short.score or 0.0,
        "metric": whole.metric or 0.0,
        "seconds_short": round(short.seconds, 1),
        "seconds_whole": round(whole.seconds, 1),
    }


def show(rows: list[dict[str, Any]], seeds: int) -> None:
    """Print the taus."""
    ends = []
    for seed in range(seeds):
        own = [row for row in rows if row["seed"] == seed]
        params, scores, end = ([row[name] for row in own] for name in ("params", "score", "metric"))
        ends.append(end)
        taus = {"score": scores, "score, sizes allowed for": size_adjusted(scores, params), "params": params}
        said = " · ".join(f"{name} {kendalltau(values, end).statistic:.2f}" for name, values in taus.items())
        print(f"seed {seed}, {len(own)} designs: tau with the end: {said}")
    for seed in range(1, seeds):
        print(f"seed 0 with seed {seed}: tau of the ends {kendalltau(ends[0], ends[seed]).statistic:.2f}")


if __name__ == "__main__":
    main()
