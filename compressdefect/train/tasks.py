"""The tasks by name."""

from __future__ import annotations

from collections.abc import Sequence

from compressdefect.data.sample import Sample
from compressdefect.errors import DataError, known_names
from compressdefect.train.classify import Classify
from compressdefect.train.segment import Segment
from compressdefect.train.task import Task

_KINDS: tuple[type[Task], ...] = (Classify, Segment)
TASKS: dict[str, type[Task]] = {kind.name: kind for kind in _KINDS}


def task_kind(name: str) -> type[Task]:
    """A kind of task by its name.

    Raises:
        DataError: there is none of that name.
    """
    if name not in TASKS:
        raise DataError("no such task", got=name, fix=known_names(name, TASKS))
    return TASKS[name]


def suited(samples: Sequence[Sample], offered: Sequence[str]) -> str:
    """The first of the offered tasks that the annotations are made for, else the last of them."""
    return next((name for name in offered if TASKS[name].suits(samples)), offered[-1])
