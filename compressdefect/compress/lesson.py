"""What a student hears, as a delivery takes it (``deploy.assignment.Lesson``)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from compressdefect.compress.matching import METHODS as MAP_METHODS
from compressdefect.compress.matching import MapMatcher
from compressdefect.compress.teaching import MAPS_WEIGHT, SHARE, TEMPERATURE, Pupil, Teacher, taught
from compressdefect.data.truth import NOTHING, Needs
from compressdefect.models.inspector import Inspector
from compressdefect.train.task import Task

METHODS = ("answers", *MAP_METHODS)


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
        facts: what manifest and card say of it.
        deviations: what a reader of the card should know, in sentences.
    """

    teacher: Teacher
    shape: tuple[int, int, int]
    method: str = "answers"
    share: float = SHARE
    temperature: float = TEMPERATURE
    maps_weight: float = MAPS_WEIGHT
    marks: Needs = NOTHING
    facts: Mapping[str, Any] = field(default_factory=dict)
    deviations: tuple[str, ...] = ()

    def pupil(self, network: Inspector) -> Pupil:
        """The network, hearing the teacher."""
        matcher = None
        if self.method in MAP_METHODS:
            matcher = MapMatcher(network, self.teacher.networks[0], self.shape, method=self.method)
        return Pupil(network, self.teacher, matcher=matcher)

    def task(self, task: Task) -> Task:
        """The task, listening to it."""
        return taught(task, self.share, self.temperature, maps_weight=self.maps_weight, marks=self.marks)
