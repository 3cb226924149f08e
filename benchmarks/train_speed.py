"""How fast designs train: images/s of the bare loop and of the product's training, and where the difference goes.

python benchmarks/train_speed.py [--designs lightdefectnet@0.4] [--threads 2] [--rounds 3]
python benchmarks/train_speed.py --against ../older

The bare loop is forward, loss, backward, clipping and AdamW on one batch that lies ready: the network's own speed. The
product's training is all of `fit`: batches, augmentation, Lightning, calibration of batch norms and validation. Both
take turns, figures are medians of the rounds. `--against` compares the bare loop with that of another checkout, a few
steps of each in turns, by that checkout's own copy of this file.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from compressdefect.data.images import Images
from compressdefect.data.split import Split
from compressdefect.deploy.assignment import Assignment
from compressdefect.flow.train import SMALL_BATCH
from compressdefect.models.designs import parse_design
from compressdefect.train import fit as training
from compressdefect.train.batches import Batches
from compressdefect.train.config import FitConfig, clip_gradients, make_optimizer, uses_bf16
from compressdefect.train.task import Aim
from compressdefect.train.tasks import task_kind
from compressdefect.train.training_form import training_form

DESIGNS = ("lightdefectnet", "lightdefectnet@0.4", "lw@0.35", "lw-seg@0.35")  # @0.4 has a quarter of its MACs
SHOWN, SCORED, EPOCHS = 480, 120, 6
SHORT = 30  # steps of the training whose fixed seconds are told
TURN = 10  # steps of the bare loop at a time


class Job:
    """A design and generated images for it; its network trains by the recipe that its task has by default."""

    def __init__(self, name: str, threads: int) -> None:
        design = parse_design(name)
        self.kind = task_kind(design.tasks[0])
        images = generated(design.input)
        everything = np.arange(SHOWN + SCORED)
        split = Split(everything[:SHOWN], everything[SHOWN:], everything[:0])
        config = replace(FitConfig(batch_size=SMALL_BATCH, threads=threads), **self.kind.recipe)
        self.assignment = Assignment(name, design, images, split, self.kind.on_images(images, Aim()), config)

    @property
    def batch(self) -> int:
        return self.assignment.config.batch_size

    def train(self, shown: int, epochs: int) -> float:
        """The seconds that a training takes."""
        job = self.assignment
        network, config = job.network(), replace(job.config, epochs=epochs)
        began = time.perf_counter()
        training.fit(network, job.images, job.split.train[:shown], job.split.val, job.task, config)
        return time.perf_counter() - began

    @contextlib.contextmanager
    def bare_loop(self) -> Iterator[Callable[[], float]]:
        """A function that says how many seconds a step of the bare loop takes: the median of a turn."""
        job = self.assignment
        network = job.network().train().to(memory_format=torch.channels_last)
        torch.empty(31 << 20, dtype=torch.uint8)  # as `fit` does, to keep freed memory
        pixels, truth = next(iter(Batches(job.images, job.split.train, self.batch, seed=0, needs=self.kind.needs)))
        bf16 = uses_bf16(job.config.precision, torch.device("cpu"))

        def step() -> None:
            with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
                loss = job.task.loss(network(pixels), truth)
            optimizer.zero_grad()
            loss.backward()
            clip_gradients(optimizer, job.config.clip_norm)
            optimizer.step()

        def turn() -> float:
            seconds = []
            for _ in range(TURN + 2):  # the first two warm up
                began = time.perf_counter()
                step()
                seconds.append(time.perf_counter() - began)
            return statistics.median(seconds[2:])

        with training.using_threads(job.config.threads), training_form(network):
            optimizer = make_optimizer(network, job.config)
            yield turn


def generated(side: int) -> Images:
    """Grey noise of two classes, a tenth of it masked."""
    rng, count = np.random.default_rng(0), SHOWN + SCORED
    masks = np.zeros((count, side, side), np.uint8)
    masks[:, : side // 10] = 1
    return Images(
        pixels=rng.integers(0, 256, (count, 1, side, side), np.uint8),
        labels=np.arange(count) % 2,
        names=tuple(map(str, range(count))),
        hashes=tuple(map(str, range(count))),
        classes=("defect", "good"),
        groups=np.arange(count),
        good=1,
        masks=masks,
        regions=("defect",),
    )


@contextlib.contextmanager
def timing(spent: Counter[str]) -> Iterator[None]:
    """Add up where the seconds of a training go beside its steps."""
    calibrate, predict, batches = training.calibrate, training.predict, Batches.__iter__

    def timed(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **options: Any) -> Any:
            before, began = spent["batches"], time.perf_counter()
            try:
                return function(*args, **options)
            finally:
                spent["batches"] = before  # those that the function made are its own
                spent[name] += time.perf_counter() - began

        return run

    def iterate(self: Batches) -> Iterator[Any]:
        made = batches(self)
        while True:
            began = time.perf_counter()
            batch = next(made, None)
            spent["batches"] += time.perf_counter() - began
            if batch is None:
                return
            yield batch

    training.calibrate, training.predict = timed("calibration", calibrate), timed("validation", predict)
    Batches.__iter__ = iterate  # type: ignore[method-assign]
    try:
        yield
    finally:
        training.calibrate, training.predict = calibrate, predict
        Batches.__iter__ = batches  # type: ignore[method-assign]


def measure_product(name: str, threads: int, rounds: int) -> str:
    """The bare loop and the product's training in turns, and a short training by itself."""
    job = Job(name, threads)
    short = (min(SHOWN, SHORT * job.batch), max(1, SHORT * job.batch // SHOWN))
    table: list[dict[str, float]] = []
    with job.bare_loop() as turn:
        for _ in range(rounds + 1):
            step_s, spent = turn(), Counter[str]()
            with timing(spent):
                whole_s = job.train(SHOWN, EPOCHS)
            fixed_s = job.train(*short) - SHORT * step_s
            spent["steps"] = SHOWN * EPOCHS / job.batch * step_s  # type: ignore[assignment]
            spent["rest"] = whole_s - spent.total()  # type: ignore[assignment]
            shares = {key: seconds / whole_s for key, seconds in spent.items()}
            rates = {"bare": job.batch / step_s, "product": SHOWN * EPOCHS / whole_s, "fixed_s": fixed_s}
            table.append({**rates, **shares})
    middle = {key: statistics.median(row[key] for row in table[1:]) for key in table[0]}  # the first one warms up
    shares = "  ".join(f"{key} {middle[key]:4.1%}" for key in ("batches", "calibration", "validation", "rest"))
    return (
        f"bare {middle['bare']:6.0f}  product {middle['product']:6.0f} images/s  ratio {middle['steps']:.2f}   "
        f"{shares}   {SHORT} steps take {middle['fixed_s']:.2f} s more than the bare loop's"
    )


def measure_against(name: str, threads: int, rounds: int, other: Path) -> str:
    """The bare loops of two checkouts in turns."""
    with worker(Path(__file__).parent.parent, name, threads) as ours, worker(other, name, threads) as theirs:
        pairs = [(ours(), theirs()) for _ in range(4 * rounds + 1)][1:]
    ratios = sorted(old / new for new, old in pairs)
    mine, older = (statistics.median(column) for column in zip(*pairs, strict=True))
    return (
        f"{mine * 1e3:7.1f} ms a step, {older * 1e3:7.1f} ms there: {statistics.median(ratios):.2f} × as fast "
        f"({ratios[0]:.2f}–{ratios[-1]:.2f} in {len(ratios)} turns)"
    )


@contextlib.contextmanager
def worker(checkout: Path, name: str, threads: int) -> Iterator[Callable[[], float]]:
    """A process of a checkout that says how long a step takes, when it is asked."""
    script = checkout.resolve() / "benchmarks" / Path(__file__).name
    command = [sys.executable, str(script), "--turns", "--designs", name, "--threads", str(threads)]
    environment = {**os.environ, "PYTHONPATH": str(checkout.resolve())}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None

        def ask() -> float:
            process.stdin.write("\n")
            process.stdin.flush()
            return float(process.stdout.readline())

        try:
            yield ask
        finally:
            process.stdin.close()


def take_turns(name: str, threads: int) -> None:
    """Answer every line with the seconds of a step."""
    job = Job(name, threads)
    with job.bare_loop() as turn:
        for _ in sys.stdin:
            print(turn(), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--designs", nargs="+", default=DESIGNS)
    parser.add_argument("--threads", nargs="+", type=int, default=(1, 2))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--against", type=Path, metavar="FOLDER", help="another checkout")
    parser.add_argument("--turns", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.turns:
        take_turns(options.designs[0], options.threads[0])
        return
    for threads in options.threads:
        for name in options.designs:
            if options.against is None:
                line = measure_product(name, threads, options.rounds)
            else:
                line = measure_against(name, threads, options.rounds, options.against)
            print(f"{name:20} {threads} threads   {line}", flush=True)


if __name__ == "__main__":
    main()
