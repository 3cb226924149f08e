"""How well the ladder's short training ranks designs of a space on some images, by what whole trainings make of them.

python benchmarks/rung_check.py lw_cnn --data FOLDER --task segment [--designs 12] [--seeds 2] [--csv FILE]

The named design, its half and its quarter, then random ones after repair, each trained as the ladder compares them and
for ``--passes`` by the full protocol, on the validation part. Kendall's tau is printed by seed, beside that of params
and that between seeds. A ladder is worth its time where the first is clearly above that of params. What stands in the
CSV file, a line for each training, is not trained again; a file may hold several spaces, data and lengths.
"""

from __future__ import annotations

import argparse
import csv
import os
import random
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

from scipy.stats import kendalltau
from table_designs import starts

from compressdefect.data.statistics import pixel_statistics
from compressdefect.errors import CompressDefectError, DataError, RunError
from compressdefect.flow.prepare import prepare
from compressdefect.flow.request import Request
from compressdefect.flow.train import fit_config
from compressdefect.flow.voice import Voice
from compressdefect.options import SearchOptions
from compressdefect.search.draws import derive_seed
from compressdefect.search.evaluate import TrainingEvaluator, TrialJob
from compressdefect.search.gate import Gate, Verdict
from compressdefect.search.repair import Admission, admit
from compressdefect.search.rungs import BATCH
from compressdefect.search.sizes import size_adjusted
from compressdefect.search.workers import Processes
from compressdefect.train.batches import steps_per_epoch

KEY = ("data", "passes", "design", "seed", "training")
COLUMNS = (*KEY, "params", "macs", "value", "seconds")
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
    try:
        check(given)
    except CompressDefectError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(error.exit_code) from error


def check(given: argparse.Namespace) -> None:
    """Train what is not known yet, and print the taus.

    Raises:
        CompressDefectError: the CSV, the options or the data are wrong, or no ladder can be used on these images.
    """
    stored(given.csv)  # a file that does not fit is refused before the images are read
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
    why_not = request.why_no_ladder(data)
    if why_not is not None:
        raise DataError(f"there is no ladder on these images: {why_not}", fix="check it on more or other images")
    short = request.ladder(data).short
    assert short is not None
    shape, heads = data.images.shape, data.task.heads
    gate = Gate(request.space, request.template, request.budgets, input_shape=shape, heads=heads)
    config = fit_config(options, data.shown, data.task.name)
    epochs = max(1, round(given.passes / config.batch_size / steps_per_epoch(data.shown, config.batch_size)))
    mean, std = pixel_statistics(data.images, data.split.train)
    evaluator = TrainingEvaluator(request.template, data.images, data.split, data.task, config, mean, std)

    shown, chosen = request.config(data).data, list(designs(gate, given.designs))
    wanted = [
        Training(
            shown,
            passes,
            seed,
            admission.verdict,
            TrialJob(admission.verdict.genotype, derive_seed(seed, number), epochs, rung=rung),
        )
        for seed in range(given.seeds)
        for number, admission in enumerate(chosen)
        for rung, passes in ((short, short.steps * BATCH), (None, given.passes))
    ]
    known = stored(given.csv)
    run(evaluator, [training for training in wanted if training.key not in known], given.workers, given.csv)
    known = stored(given.csv)
    show([known[training.key] for training in wanted], given.seeds)


class Training(NamedTuple):
    """One training of a design. ``data`` is the fingerprint of the images, their split and the task with its metric.

    ``passes`` counts the images shown.
    """

    data: str
    passes: int
    seed: int
    verdict: Verdict
    job: TrialJob

    @property
    def key(self) -> tuple[str, ...]:
        """What a line of the CSV begins with."""
        kind = WHOLE if self.job.rung is None else SHORT
        return self.data, str(self.passes), self.job.genotype.fingerprint, str(self.seed), kind


def stored(path: Path) -> dict[tuple[str, ...], Mapping[str, str]]:
    """The lines of the CSV by their key.

    Raises:
        RunError: it has other columns.
    """
    if not path.is_file():
        return {}
    with path.open(newline="", encoding="utf-8") as file:
        lines = csv.DictReader(file)
        if tuple(lines.fieldnames or ()) != COLUMNS:
            raise RunError(f"{path} has other columns than {','.join(COLUMNS)}", fix="give another file with --csv")
        return {tuple(line[name] for name in KEY): line for line in lines}


def designs(gate: Gate, count: int) -> Iterator[Admission]:
    """The named design, its half and its quarter, then random ones that fit."""
    first = starts(gate)
    yield from first
    for number in range(len(first), count):
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
                cost, value = trainings[number].verdict.cost, result.score or result.metric or 0.0
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
        taus = {"score": scores, "score corrected for size": size_adjusted(scores, params), "params": params}
        said = " · ".join(f"{name} {kendalltau(values, end).statistic:.2f}" for name, values in taus.items())
        print(f"seed {seed}, {len(end)} designs: tau with the end: {said}")
    for seed in range(1, seeds):
        print(f"seed 0 with seed {seed}: tau of the ends {kendalltau(ends[0], ends[seed]).statistic:.2f}")


if __name__ == "__main__":
    main()
