"""The first part of every long command: the images, their split, the task, and a word on stderr about each."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from compressdefect import compat

compat.install()

from compressdefect.catalog import hiding_spaces
from compressdefect.data.depth import check_bits
from compressdefect.data.images import SYNTHETIC, Images
from compressdefect.data.load import load_images
from compressdefect.data.marks.shapes import Box
from compressdefect.data.read import read, read_all
from compressdefect.data.split import Split, folds, make_split
from compressdefect.data.truth import NOTHING, Needs
from compressdefect.errors import DataError, RunError, known_names
from compressdefect.flow.remarks import remarks
from compressdefect.flow.voice import Voice
from compressdefect.options import (
    BudgetOptions,
    DataOptions,
    DistillOptions,
    JobOptions,
    RecipeOptions,
    SearchOptions,
    SplitOptions,
)
from compressdefect.runs import RunFolder
from compressdefect.train.gradual import Gradual
from compressdefect.train.task import Aim, Task
from compressdefect.train.tasks import TASKS, suited, task_kind
from compressdefect.train.validate import FOLDS

GUIDED = "attention"  # the method of a distillation that looks at where defects are
_MANY_STEPS = 10**9  # of which any moment is a part, so that only the reading is checked
MIN_SIDE = 8
_SHOWN = 3  # skipped files that are named on stderr; the manifest has them all


@dataclass(frozen=True)
class Prepared:
    """What a training needs to know of its data."""

    images: Images
    split: Split
    task: Task

    def check_decidable(self) -> None:
        """Refuse images by which no model could be judged, before one is trained.

        Raises:
            DataError: the part that decides lacks what the task's metric counts, or is too small to be taken in turns.
        """
        part = self.split.val if len(self.split.val) else self.split.train
        if not len(self.split.val):
            folds(self.images.labels[part], self.images.groups[part], FOLDS)
        self.task.check_labels(self.task.labels(self.images, part))

    @property
    def shown(self) -> int:
        """What an epoch shows: how many training images there are, or tiles of them."""
        return len(self.images.rows(self.split.train))

    @property
    def shown_to_decide(self) -> int:
        """What an epoch shows of a training that is only judged: without a validation part all folds but one."""
        return self.shown if len(self.split.val) else self.shown * (FOLDS - 1) // FOLDS


def choose_task(options: SplitOptions, offered: Sequence[str]) -> str:
    """The task that was asked for, the only one that is offered, or the one that the annotations are made for.

    Of several that would do, it is the first (``train.tasks.TASKS``). One that was asked for may not be offered.

    Args:
        options: ``task`` is what was asked for.
        offered: the tasks of the model or space.

    Raises:
        DataError: there is no such task.
    """
    if options.task is not None:
        return task_kind(options.task).name
    if len(offered) == 1:
        return offered[0]
    samples = () if options.data == SYNTHETIC else read_all(options.data, options.format).samples
    return suited(samples, [name for name in TASKS if name in offered])


def prepare(options: JobOptions, *, input: int, task: str, voice: Voice) -> Prepared:
    """Load the images at a model's input size and split them as the options say.

    Raises:
        DataError: the folder, its images, the classes or the split are wrong, or the task lacks masks.
    """
    kind = task_kind(task)
    if needs_of(kind, options) != kind.needs:
        _check_marked(options)
    images = load(options, kind, input=input, tile=options.tile, voice=voice)
    found = kind.on_images(images, aim_of(options))
    _check_tiles(images)
    split = _split(options, images)
    size = "×".join(map(str, images.shape))
    parts = f"{len(split.train)} train, {len(split.val)} validation, {len(split.test)} test"
    voice.say(f"{found.summary(images)} at {size}: {parts}")
    for remark in remarks(split, images, found, options):
        voice.say(remark)
    return Prepared(images, split, found)


def _check_tiles(images: Images) -> None:
    """Refuse tiles that are larger than every image: shrunk to a part of one, little would be left of them."""
    if images.sizes is not None and images.sizes.max() < images.shape[-1]:
        raise DataError(
            "--tile is larger than every image",
            got=f"{images.tile}, of which the largest image would fill {images.sizes.max()} / {images.shape[-1]}",
            fix="give a smaller one, or leave --tile out",
        )


def needs_of(kind: type[Task], options: SplitOptions) -> Needs:
    """The annotations to load: those of the task, and masks where a training magnifies defects."""
    gradual = options.gradual if isinstance(options, RecipeOptions) else None
    zooms = gradual is not None and Gradual.parse(gradual, total=_MANY_STEPS).zoom(0) > 1
    return kind.needs | {"masks"} if zooms else kind.needs


def _check_marked(options: JobOptions) -> None:
    """Refuse gradual training, which zooms on defects, where nothing says where any is."""
    if options.data != SYNTHETIC:
        listing = read(options.data, options.format, options.labels, options.good, 1, options.unlabelled)
        if listing.region_classes:
            return
    raise DataError(
        "gradual training zooms on defects, and no image has its defects marked",
        got=options.data,
        fix="add masks or boxes, or leave --gradual out",
    )


def _marks_looked_at(options: SplitOptions) -> Needs:
    """What says where a teacher's maps matter, if a student is to know: masks, or boxes where there are but these."""
    if not isinstance(options, DistillOptions) or options.method != GUIDED or options.data == SYNTHETIC:
        return NOTHING
    listing = read(options.data, options.format, options.labels, options.good, 1, options.unlabelled)
    regions = [region for sample in listing.samples for region in sample.regions or ()]
    if not regions:
        return NOTHING
    return frozenset({"boxes" if all(isinstance(region.shape, Box) for region in regions) else "masks"})


def aim_of(options: RecipeOptions) -> Aim:
    """What the options choose of a task."""
    return Aim(options.metric, options.overkill, options.loss)


def load(options: SplitOptions, kind: type[Task], *, input: int, tile: int | None = None, voice: Voice) -> Images:
    """Load the images and the annotations that are needed, with a progress bar, and name the files that were skipped.

    Masks that the task does not need change nothing else: an image whose defects nobody marked has an empty one.
    """
    needs = needs_of(kind, options) | _marks_looked_at(options)
    if input < MIN_SIDE:
        raise DataError(f"the input must be at least {MIN_SIDE} pixels", got=input, fix="use a size such as 224")
    with voice.bar() as bar:
        work = bar.add_task("loading images", total=None)
        images = load_images(
            options.data,
            input=input,
            format=options.format,
            labels=options.labels,
            good=options.good,
            unlabelled=options.unlabelled,
            group=options.group,
            masks="masks" in needs,
            boxes="boxes" in needs,
            only_marked=bool(kind.needs),
            tile=tile,
            bits=options.bits,
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
        raise DataError("no such split file", got=path, fix="give a split.json of a run or of data split")
    folder = RunFolder(path.parent)
    try:
        return Split.from_json(folder.read_json(path.name), images)
    except RunError as error:
        raise DataError("not a split", got=path, fix="give a split.json of a run or of data split") from error


def check_options(options: JobOptions, task: str) -> None:
    """Check what can be checked before any image is loaded.

    Raises:
        DataError: a number is out of range, or the metric, the loss or the accelerator is not available.
    """
    for name in ("epochs", "threads", "trials", "workers", "threads_per_trial", "batch_size"):
        value = getattr(options, name, None)
        if value is not None and value < 1:
            raise DataError(f"--{name.replace('_', '-')} must be at least 1", got=value)
    if options.seed < 0:
        raise DataError("--seed must be at least 0", got=options.seed)
    if not 0 <= options.overkill < 1:
        raise DataError("--overkill must be at least 0 and below 1", got=options.overkill, fix="use a value like 0.01")
    task_kind(task).check(aim_of(options))
    check_bits(options.bits)
    if options.tile is not None:
        _check_tile(options.tile, task)
    if options.gradual is not None:
        _check_gradual(options.gradual, searched=isinstance(options, SearchOptions))
    check_accelerator(options.accelerator)


def check_accelerator(name: str) -> None:
    """Refuse what this machine does not have.

    Raises:
        DataError: it has no such accelerator.
    """
    accelerators = ("auto", "cpu", *(["gpu"] if torch.cuda.is_available() else []))
    if name not in accelerators:
        raise DataError("no such accelerator here", got=name, fix=known_names(name, accelerators))


def check_split(options: DataOptions) -> None:
    """Refuse to share out images that a split file has shared out.

    Raises:
        DataError: a split, be it a trained model's own, and a share for the test are given together.
    """
    if options.split is not None and options.test_share is not None:
        raise DataError(
            "a split says which images are tested",
            got=f"--test-share {options.test_share:g} beside {options.split}",
            fix="leave --test-share out",
        )


def _check_gradual(moments: str, *, searched: bool) -> None:
    depends = Gradual.parse(moments, total=_MANY_STEPS) != Gradual.parse(moments, total=2 * _MANY_STEPS)
    if searched and depends:
        raise DataError(
            "the trainings of a search differ in length", got=f"--gradual {moments}", fix="give shares such as 22%,89%"
        )


def _check_tile(side: int, task: str) -> None:
    if not task_kind(task).tiled:
        raise DataError(
            "--tile needs a model that segments: what is true of an image is not true of each of its tiles",
            got=f"--task {task}",
            fix="use --task segment, or leave --tile out",
        )
    if side < MIN_SIDE:
        raise DataError(f"--tile must be at least {MIN_SIDE} pixels", got=side, fix="use a size such as 512")


def say_what_hides(voice: Voice) -> None:
    """Name the working folder's own spaces that stand in the way of those that ship."""
    for name, path in hiding_spaces().items():
        voice.say(f"{path} hides the space {name} that ships")


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


def budgets_of(options: BudgetOptions) -> dict[str, str]:
    """The budgets that were asked for, by the names that ``Budgets.parse`` takes."""
    names = ("flops", "macs", "params", "memory", "size", "latency")
    return {name: text for name in names if (text := getattr(options, f"budget_{name}")) is not None}
