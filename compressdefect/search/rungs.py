"""The training of a design on a short rung of the ladder, and what it is scored on."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from compressdefect.data.images import Images
from compressdefect.data.shrink import at_side
from compressdefect.data.split import Split
from compressdefect.errors import DataError
from compressdefect.train.batches import steps_per_epoch
from compressdefect.train.config import FitConfig
from compressdefect.train.task import Task
from compressdefect.train.validate import parts_of

BATCH = 16  # images a step: in so few steps more of them are worth more than more images in each
MOST_SCORED = 512  # images: more of them take time, and a few steps of training leave more in doubt
LEAST_SIDE = 32  # pixels of the images on a rung
LEAST_SCORED = 8
LEAST_WIDTH = 3  # pixels of the median defect in smaller images: the narrower half may be lost in them
_MEASURED = 24  # images at most whose defects are measured
_SIDES = 8  # a side is a multiple of it


@dataclass(frozen=True)
class Rung:
    """A short training that compares designs.

    Attributes:
        steps: of ``BATCH`` images, rounded to whole epochs.
        scale: the images' side as a share of the input's.
        until: the share of a search's time at which it ends.
    """

    steps: int
    scale: float
    until: float


@dataclass(frozen=True)
class Course:
    """What all designs on a rung are trained and scored on: ``images`` of its size, and the rows of both parts."""

    images: Images
    train: NDArray[np.int64]
    scored: NDArray[np.int64]


def course(images: Images, split: Split, task: Task, rung: Rung) -> Course:
    """The images of a rung: no more of them than its steps can show, the classes in proportion.

    Without a validation part they are those of the first fold.
    """
    train, scored = parts_of(images, split)[0]
    train = _thinned(train, task.labels(images, train), rung.steps * BATCH, split.seed)
    scored = _thinned(scored, task.labels(images, scored), MOST_SCORED, split.seed)
    shown = images.subset(np.concatenate([train, scored]))
    places = np.arange(len(shown))
    return Course(at_side(shown, side_of(images, rung)), places[: len(train)], places[len(train) :])


def side_of(images: Images, rung: Rung) -> int:
    """The height and width in pixels of the images on a rung."""
    side = images.shape[1]
    if rung.scale == 1:
        return side
    return min(side, max(LEAST_SIDE, _SIDES * round(rung.scale * side / _SIDES)))


def fitted(rung: Rung, images: Images, split: Split) -> Rung:
    """The rung for these images: as large as the input where they have masks and the median defect is too narrow."""
    width = median_width(images, split.train)
    is_narrow = width is not None and width * side_of(images, rung) / images.shape[1] < LEAST_WIDTH
    return replace(rung, scale=1.0) if is_narrow else rung


def median_width(images: Images, rows: NDArray[np.int64]) -> float | None:
    """The width in pixels of the median defect where it is widest, in a few of these images that have any.

    None without masks, or where nothing is marked.
    """
    if images.masks is None or images.sizes is not None:
        return None
    marked = rows[images.marked[rows]]
    widths: list[float] = []
    for mask in images.masks[marked[:: max(1, math.ceil(len(marked) / _MEASURED))]]:
        doubled = np.pad(mask.repeat(2, axis=0).repeat(2, axis=1), 1)  # so that the middle of even widths is a pixel
        parts, count = ndimage.label(doubled, structure=np.ones((3, 3)))
        depths = ndimage.distance_transform_edt(doubled > 0)
        widths += list(ndimage.maximum(depths, parts, range(1, count + 1)))
    return float(np.median(widths)) if widths else None


def recipe(config: FitConfig, rung: Rung, shown: int) -> FitConfig:
    """The recipe of a rung's training: that of a whole one, in as many epochs as make the rung's steps.

    Not gradual: in so few steps normal images would come too late to be told from the others.
    """
    epochs = max(1, round(rung.steps / steps_per_epoch(shown, BATCH)))
    return replace(config, epochs=epochs, batch_size=BATCH, score_every=epochs, gradual=None)


def why_not(images: Images, split: Split, task: Task) -> str | None:
    """Why images cannot be used on short rungs, in words; None when they can."""
    if images.sizes is not None:
        return "images are cut into tiles"
    train, scored = parts_of(images, split)[0]
    if len(train) < 2 * BATCH or len(scored) < LEAST_SCORED:
        return f"a short training needs {2 * BATCH} images and {LEAST_SCORED} to be scored on"
    for name, part in (("trains on", train), ("is scored on", scored)):
        if len(np.unique(task.labels(images, part))) < 2:
            return f"what a short training {name} shows one class only"
    try:
        for part in (scored, train):  # without a validation part the other folds are scored too, for the winner
            task.check_labels(task.labels(images, part))
    except DataError as error:
        return f"what designs are compared on is too little: {error}"
    return None


def _thinned(rows: NDArray[np.int64], labels: NDArray[np.int64], most: int, seed: int) -> NDArray[np.int64]:
    """At most so many rows (n,), of each class about its share and at least one."""
    if len(rows) <= most:
        return rows
    order = np.random.default_rng(seed).permutation(len(rows))
    place = np.empty(len(rows))
    for label in np.unique(labels):
        own = order[labels[order] == label]
        place[own] = np.arange(len(own)) / len(own)
    return np.sort(rows[np.argsort(place, kind="stable")[:most]])
