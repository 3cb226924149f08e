"""The tasks by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from compressdefect.errors import DataError, known_names
from compressdefect.train import classify, segment
from compressdefect.train.classify import Classify
from compressdefect.train.operating_point import OVERKILL
from compressdefect.train.segment import Segment
from compressdefect.train.task import Task

METRICS: Mapping[str, Sequence[str]] = {
    Classify.name: tuple(classify.METRICS),
    Segment.name: tuple(segment.METRICS),
}
"""What each task can be decided by, the default first."""


def make_task(
    name: str,
    classes: tuple[str, ...],
    *,
    good: int | None = None,
    metric: str | None = None,
    overkill: float = OVERKILL,
    criterion: str | None = None,
) -> Task:
    """A task by its name; ``classes`` are its outputs.

    Args:
        name: a key of ``METRICS``.
        classes: for segmentation the background first.
        good: which class is a good part; for segmentation it is the background.
        metric: the deciding figure; None is the task's default.
        overkill: share of good parts that may be rejected where the threshold is chosen.
        criterion: the loss, for segmentation; None is its default.

    Raises:
        DataError: the task, the metric or the loss is unknown.
    """
    if name not in METRICS:
        raise DataError("no such task", got=name, fix=known_names(name, METRICS))
    metric = metric or METRICS[name][0]
    if criterion is not None:
        check_loss(criterion, name)
    if name == Segment.name:
        return Segment(classes, metric, overkill, criterion or segment.CRITERION)
    return Classify(classes, good, metric, overkill)


def check_loss(criterion: str, task: str) -> None:
    """Refuse a loss that a task does not have.

    Raises:
        DataError: it is unknown, or the task leaves no choice.
    """
    if task != Segment.name:
        raise DataError(f"to {task} there is no choice of losses", got=criterion, fix="leave --loss out")
    segment.parse_criterion(criterion)
