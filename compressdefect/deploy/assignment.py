"""What is to be delivered, and what a manifest says of its images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import nn

from compressdefect.data.images import Images
from compressdefect.data.split import Split
from compressdefect.data.statistics import pixel_statistics
from compressdefect.models.design import Design
from compressdefect.models.inspector import Inspector
from compressdefect.train.config import FitConfig
from compressdefect.train.task import Records, Task
from compressdefect.train.validate import seeded


@dataclass(frozen=True)
class Earlier:
    """What is known of a design that was trained before, by the recipe of the assignment.

    Attributes:
        indices: the validation images (n,), or the training images of the folds that were predicted by the others.
        records: what was answered on them (n, …).
        weights: of the finished network; None where it was trained on parts of the images alone.
        epochs: how many were trained, in each fold.
        seconds: how long that took.
    """

    indices: NDArray[np.int64]
    records: Records
    weights: bytes | None
    epochs: int
    seconds: float


class Lesson(Protocol):
    """What a network hears in training beside the truth, such as a teacher."""

    @property
    def facts(self) -> Mapping[str, Any]:
        """What manifest and card say of it."""

    @property
    def deviations(self) -> tuple[str, ...]:
        """What a reader of the card should know, in sentences."""

    @property
    def heard(self) -> frozenset[str]:
        """Hashes of the images that it tells of: those that teachers were trained on, and further ones."""

    def pupil(self, network: Inspector) -> nn.Module:
        """What is trained in the network's place: in evaluation it answers as the network does."""

    def task(self, task: Task) -> Task:
        """The task, with a loss that takes what the pupil returns in training."""


@dataclass(frozen=True)
class Assignment:
    """What is to be delivered: a design, the images and their split, and the recipe.

    Attributes:
        name: what the bundle calls the model.
        design: builds the network.
        images: all images.
        split: the test part is predicted once, by the finished network.
        task: what the training is for.
        config: the recipe of the final training.
        threads: CPU threads that latency is measured with.
        budgets: the limits that the design keeps, for the card.
        deviations: what a reader of the card should know, in sentences.
        earlier: what need not be trained again.
        lesson: what the network hears in training beside the truth, if anything.
        heard: hashes of images that it learned of through others; those of its own training part may be among them.
    """

    name: str
    design: Design
    images: Images
    split: Split
    task: Task
    config: FitConfig
    threads: int = 1
    budgets: Mapping[str, float] = field(default_factory=dict)
    deviations: tuple[str, ...] = ()
    earlier: Earlier | None = None
    lesson: Lesson | None = None
    heard: frozenset[str] = frozenset()

    def network(self) -> Inspector:
        """The untrained network on raw pixels, normalised by the training images."""
        channels, heads = self.images.shape[0], self.task.heads
        bare = seeded(lambda: self.design.build(channels=channels, heads=heads), self.config.seed)
        return Inspector.from_statistics(bare, *pixel_statistics(self.images, self.split.train))

    def pupil(self, network: Inspector) -> nn.Module:
        """What is trained: the network, or what hears a lesson in its place."""
        return network if self.lesson is None else self.lesson.pupil(network)

    @property
    def learned(self) -> Task:
        """The task as it is trained."""
        return self.task if self.lesson is None else self.lesson.task(self.task)


def describe_data(images: Images, split: Split) -> dict[str, Any]:
    """What a manifest says of the images and their split; ``parts`` counts the images of each class."""
    parts = {"train": split.train, "val": split.val, "test": split.test, "left_out": split.left_out}
    return {
        "name": images.name,
        "fingerprint": images.fingerprint,
        "classes": list(images.classes),
        "good": images.good,
        "n": len(images),
        "channels": images.shape[0],
        "train": len(split.train),
        "val": len(split.val),
        "test": len(split.test),
        "group": split.group,
        "split_seed": split.seed,
        "parts": {name: _by_class(images, part) for name, part in parts.items() if len(part)},
        "skipped": len(images.skipped),
        **({} if images.tile is None else {"tile": images.tile, "tiles": len(images.pixels)}),
    }


def _by_class(images: Images, part: NDArray[np.int64]) -> dict[str, int]:
    counts = np.bincount(images.labels[part], minlength=len(images.classes)).tolist()
    return dict(zip(images.classes, counts, strict=True))
