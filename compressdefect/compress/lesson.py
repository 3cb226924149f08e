"""What a student hears, as a delivery takes it (``deploy.assignment.Lesson``)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain, repeat
from typing import Any

import numpy as np
from torch import Tensor

from compressdefect.compress.matching import METHODS as MAP_METHODS
from compressdefect.compress.matching import MapMatcher
from compressdefect.compress.teaching import MAPS_WEIGHT, SHARE, TEMPERATURE, Pupil, Teacher, taught
from compressdefect.data.augment.recipes import RECIPES
from compressdefect.data.images import Images
from compressdefect.data.truth import NOTHING, Needs
from compressdefect.models.inspector import Inspector
from compressdefect.train.batches import Batches
from compressdefect.train.task import Task

METHODS = ("answers", *MAP_METHODS)


@dataclass(frozen=True)
class Further:
    """Images without labels that join each step of a training, behind its own; a tile counts as an image.

    Attributes:
        images: all of them; each is shown once before any is shown again.
        count: how many join a step, about.
        augment: how they are changed, by the name of a recipe.
        seed: of their order and changes.
    """

    images: Images
    count: int
    augment: str
    seed: int

    def batches(self) -> Iterator[Tensor]:
        """Pixels (M, C, H, W) for one step after the other, without end."""
        pieces, augmentation = self.images.pieces, RECIPES.get(self.augment)
        rows = np.arange(len(pieces))
        epochs = repeat(Batches(pieces, rows, self.count, seed=self.seed, augmentation=augmentation))
        return (pixels for pixels, _ in chain.from_iterable(epochs))


@dataclass(frozen=True)
class TeacherLesson:
    """Learning from a teacher.

    Attributes:
        teacher: what is heard.
        shape: of the images (C, H, W).
        method: one of ``METHODS``; the answers are part of each.
        share: of the teacher's answers in the loss, from 0 to 1.
        temperature: by which both answers are softened.
        maps_weight: of the maps in the loss.
        marks: annotations that say where maps matter, beside those of the task.
        further: images without labels, of which the answers are heard too.
        facts: what manifest and card say of it.
        deviations: what a reader of the card should know, in sentences.
        heard: hashes of the images that the teacher was trained on, and of the further ones.
    """

    teacher: Teacher
    shape: tuple[int, int, int]
    method: str = "answers"
    share: float = SHARE
    temperature: float = TEMPERATURE
    maps_weight: float = MAPS_WEIGHT
    marks: Needs = NOTHING
    further: Further | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    deviations: tuple[str, ...] = ()
    heard: frozenset[str] = frozenset()

    def pupil(self, network: Inspector) -> Pupil:
        """The network, hearing the teacher."""
        matcher = None
        if self.method in MAP_METHODS:
            matcher = MapMatcher(network, self.teacher.networks[0], self.shape, method=self.method)
        further = None if self.further is None else self.further.batches()
        return Pupil(network, self.teacher, matcher=matcher, further=further)

    def task(self, task: Task) -> Task:
        """The task, listening to it."""
        return taught(task, self.share, self.temperature, maps_weight=self.maps_weight, marks=self.marks)
