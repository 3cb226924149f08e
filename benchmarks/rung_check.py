"""How well the ladder's short training ranks designs of a space on some images, by what whole trainings make of them.

python benchmarks/rung_check.py lw_cnn --data FOLDER --task segment [--designs 12] [--seeds 2] [--csv FILE]

The named design, its half and its quarter, then random ones after repair, each trained as the ladder compares them and
for ``--passes`` by the full protocol, on the validation part. Kendall's tau is printed by seed, beside that of params
and that between seeds. A ladder is worth its time where the first is clearly above that of params. What stands in the
CSV file, a line for each training, is not trained again.
"""

from __future__ import annotations

import argparse
import csv
import os
import random
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

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

COLUMNS = ("design", "seed", "training", "params", "macs", "value", "seconds")
SHORT, WHOLE = "short", "whole"


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
    parser.add_argument("--csv", type=Path, default=Path("rung_check.csv"))
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
    short = request.ladder(data).short
    shape, heads = data.images.shape, data.task.heads
    gate = Gate(request.space, request.template, request.budgets, input_shape=shape, heads=heads)
    config = fit_config(options, data.shown, data.task.name)
    epochs = max(1, round(given.passes / config.batch_size / steps_per_epoch(data.shown, config.batch_size)))
    mean, std = pixel_statistics(data.images, data.split.train)
    evaluator = TrainingEvaluator(request.template, data.images, data.split, data.task, config, mean, std)

    chosen = list(designs(gate, given.designs))
    wanted = [
        Training(admission, seed, TrialJob(admission.verdict.genotype, derive_seed(seed, number), epochs, rung=rung))
        for seed in range(given.seeds)
        for number, admission in enumerate(chosen)
        for rung in (short, None)
    ]
    known = stored(given.csv)
    run(evaluator, [training for training in wanted if training.key not in known], given.workers, given.csv)
    known = stored(given.csv)
    show([known[training.key] for training in wanted], given.seeds)


class Training(NamedTuple):
    """One training of a design."""

    admission: Admission
    seed: int
    job: TrialJob

    @property
    def key(self) -> tuple[str, str, str]:
        """What a line of the CSV begins with."""
        return self.job.genotype.fingerprint, str(self.seed), WHOLE if self.job.rung is None else SHORT


def stored(path: Path) -> dict[tuple[str, ...], Mapping[str, str]]:
    """The lines of the CSV."""
    if not path.is_file():
        return {}
    with path.open(newline="", encoding="utf-8") as file:
        return {tuple(line[name] for name in COLUMNS[:3]): line for line in csv.DictReader(file)}


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


def run(evaluator: TrainingEvaluator, trainings: Sequence[Training], size: int, path: Path) -> None:
    """Train, and write a line when one ends; one that failed has a value of 0."""
    is_new = not path.is_file()
    waiting, done = list(enumerate(trainings)), 0
    with (
        tempfile.TemporaryDirectory() as folder,
        closing(Processes(evaluator, size, 1, Path(folder))) as workers,
        path.open("a", newline="", encoding="utf-8") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        if is_new:
            writer.writerow(COLUMNS)
        while done < len(trainings):
            while waiting and len(trainings) - len(waiting) - done < size:
                number, training = waiting.pop(0)
                workers.submit(number, training.job)
            for number, result in workers.collect(lambda share: None):
                cost, value = trainings[number].admission.verdict.cost, result.score or result.metric or 0.0
                writer.writerow([*trainings[number].key, cost.params, cost.macs, value, round(result.seconds, 1)])
                file.flush()
                done += 1
                print(f"{done}/{len(trainings)} {result.state} {result.seconds:.0f} s", flush=True)


def show(lines: Sequence[Mapping[str, Any]], seeds: int) -> None:
    """Print the taus."""
    ends = []
    for seed in range(seeds):
        own = [line for line in lines if line["seed"] == str(seed)]
        scores, end = ([float(line["value"]) for line in own if line["training"] == kind] for kind in (SHORT, WHOLE))
        params = [int(line["params"]) for line in own if line["training"] == WHOLE]
        ends.append(end)
        taus = {"score": scores, "score, sizes allowed for": size_adjusted(scores, params), "params": params}
        said = " · ".join(f"{name} {kendalltau(values, end).statistic:.2f}" for name, values in taus.items())
        print(f"seed {seed}, {len(end)} designs: tau with the end: {said}")
    for seed in range(1, seeds):
        print(f"seed 0 with seed {seed}: tau of the ends {kendalltau(ends[0], ends[seed]).statistic:.2f}")


if __name__ == "__main__":
    main()
