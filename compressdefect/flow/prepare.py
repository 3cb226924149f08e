"""The first part of every long command: the images, their split, the task, and a word on stderr about each."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from compressdefect import compat

compat.install()

from compressdefect.data.images import SYNTHETIC, Images, load_images
from compressdefect.data.split import Split, make_split
from compressdefect.errors import DataError, RunError, known_names
from compressdefect.options import DataOptions, SearchOptions
from compressdefect.runs import RunFolder
from compressdefect.train.classify import METRICS, Classify
from compressdefect.train.fit import EpochReport
from compressdefect.train.task import Task

_SHOWN = 3  # skipped files that are named on stderr; the manifest has them all


@dataclass(frozen=True)
class Prepared:
    """What a training needs to know of its data."""

    images: Images
    split: Split
    task: Task


@dataclass(frozen=True)
class Voice:
    """Tells the user on stderr how far a command is."""

    console: Console = field(default_factory=lambda: Console(stderr=True, highlight=False))

    def say(self, step: str) -> None:
        """Print one line."""
        self.console.print(step, soft_wrap=True, markup=False)

    def bar(self) -> Progress:
        """A progress bar that leaves nothing behind."""
        columns = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
        )
        return Progress(*columns, console=self.console, transient=True, disable=not self.console.is_terminal)

    def epoch(self, report: EpochReport) -> None:
        """Print an epoch in one line, when nobody watches a bar."""
        score = "" if report.metric is None else f", validation {report.metric:.2%}"
        self.say(f"epoch {report.epoch}: loss {report.train_loss:.3f}{score}")


def prepare(options: DataOptions, *, input: int, voice: Voice) -> Prepared:
    """Load the images at a model's input size and split them as the options say.

    Raises:
        DataError: the folder, its images, the classes or the split are wrong.
    """
    images = load(options, input=input, voice=voice)
    split = _split(options, images)
    voice.say(
        f"{len(images)} images of {len(images.classes)} classes ({', '.join(images.classes)}) at "
        f"{'×'.join(map(str, images.shape))}: "
        f"{len(split.train)} train, {len(split.val)} validation, {len(split.test)} test"
    )
    if split.group == "none":
        voice.say("duplicates and near duplicates were not kept together: test figures may be too good")
    task = Classify(images.classes, images.good, metric=options.metric, overkill=options.overkill)
    return Prepared(images, split, task)


def load(options: DataOptions, *, input: int, voice: Voice) -> Images:
    """Load the images with a progress bar and name the files that were skipped."""
    if input < 8:
        raise DataError("the input must be at least 8 pixels", got=input, fix="use a size such as 224")
    with voice.bar() as bar:
        work = bar.add_task("loading images", total=None)
        images = load_images(
            options.data,
            input=input,
            format=options.format,
            labels=options.labels,
            good=options.good,
            group=options.group,
            progress=lambda done, total: bar.update(work, completed=done, total=total),
        )
    for name, reason in images.skipped[:_SHOWN]:
        voice.say(f"skipped {name}: {reason}")
    if len(images.skipped) > _SHOWN:
        voice.say(f"… and {len(images.skipped) - _SHOWN} more")
    return images


def _split(options: DataOptions, images: Images) -> Split:
    if options.split is None:
        return make_split(images, test_share=options.test_share, val_share=options.val_share, seed=options.seed)
    path = Path(options.split)
    if not path.is_file():
        raise DataError("no such split file", got=path, fix="give a split.json that a run wrote")
    folder = RunFolder(path.parent)
    try:
        return Split.from_json(folder.read_json(path.name), images)
    except RunError as error:
        raise DataError("not a split", got=path, fix="give a split.json that a run wrote") from error


def check_options(options: DataOptions) -> None:
    """Check what can be checked before any image is loaded.

    Raises:
        DataError: a number is out of range, or the metric or the accelerator is not to be had.
    """
    for name in ("epochs", "threads", "trials", "workers", "threads_per_trial", "batch_size"):
        value = getattr(options, name, None)
        if value is not None and value < 1:
            raise DataError(f"--{name.replace('_', '-')} must be at least 1", got=value)
    if options.seed < 0:
        raise DataError("--seed must be at least 0", got=options.seed)
    if not 0 <= options.overkill < 1:
        raise DataError("--overkill must be at least 0 and below 1", got=options.overkill, fix="use a value like 0.01")
    if options.metric not in METRICS:
        raise DataError("unknown metric", got=options.metric, fix=known_names(options.metric, METRICS))
    accelerators = ("auto", "cpu", *(["gpu"] if torch.cuda.is_available() else []))
    if options.accelerator not in accelerators:
        raise DataError(
            "no such accelerator here", got=options.accelerator, fix=known_names(options.accelerator, accelerators)
        )


Options = TypeVar("Options", bound=DataOptions)


def anchored(options: Options) -> Options:
    """The options with whole paths, so that a run can be gone on with from any folder."""
    changes: dict[str, Any] = {}
    for name in ("data", "split", "space"):
        text = getattr(options, name, None)
        if text not in (None, SYNTHETIC) and Path(text).exists():
            changes[name] = str(Path(text).resolve())
    return replace(options, **changes)


def check_free(path: Path | None) -> None:
    """Refuse a run folder that cannot be used before any work is done.

    Raises:
        RunError: it is not empty, or cannot be written.
    """
    parents = (path or Path("runs")).absolute()
    there = next(folder for folder in (parents, *parents.parents) if folder.exists())
    if there.is_dir() and not os.access(there, os.W_OK):
        raise RunError("the run folder cannot be written", got=there, fix="choose another --run-dir")
    if path is not None and path.exists() and (not path.is_dir() or any(path.iterdir())):
        if path.is_file():
            raise RunError("the run folder is a file", got=path, fix="choose another --run-dir")
        raise RunError(
            "the run folder is not empty", got=path, fix="choose another --run-dir, or continue it with --resume"
        )


def budgets_of(options: SearchOptions) -> dict[str, str]:
    """The budgets that were asked for, by the names that ``Budgets.parse`` takes."""
    names = ("flops", "macs", "params", "memory", "latency")
    return {name: text for name in names if (text := getattr(options, f"budget_{name}")) is not None}
