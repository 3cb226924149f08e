"""What a step of a compression costs: a smaller model beside the one it came from, on the same validation images."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compressdefect.data.verdict import defect_scores, rejected
from compressdefect.train.operating_point import choose_threshold
from compressdefect.train.task import Records, Task

MAX_DROP = 0.005
LOSS_RISE = 0.10  # of the loss before


@dataclass(frozen=True)
class Drop:
    """Two models on the same images, each at the threshold that it would ship with.

    Attributes:
        metric: name of the deciding figure.
        n: images.
        metric_before: that figure of the first model, in [0, 1], and so on.
        metric_after: of the second.
        loss_before: what ``Task.mean_loss`` says of the first.
        loss_after: of the second.
        escape_before: share of defective parts passed by the first; None where no class is good, or an image of a
            good or of a defective part is missing.
        escape_after: by the second.
        escape_error: one standard error of the difference, image by image.
        max_drop: how much of the metric may be lost, as a share.
    """

    metric: str
    n: int
    metric_before: float
    metric_after: float
    loss_before: float
    loss_after: float
    escape_before: float | None
    escape_after: float | None
    escape_error: float | None
    max_drop: float = MAX_DROP

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why the second is too much worse, in words; empty where it holds."""
        found, allowed = [], max(self.max_drop, 1 / self.n)
        if (lost := self.metric_before - self.metric_after) > allowed + 1e-9:
            found.append(f"{self.metric} falls by {100 * lost:.2g} points, {100 * allowed:.2g} are allowed")
        if self.loss_after > (1 + LOSS_RISE) * self.loss_before + 1e-9:
            rise = f"from {self.loss_before:.3g} to {self.loss_after:.3g}"
            found.append(f"the loss rises {rise}, {LOSS_RISE:.0%} are allowed")
        if self.escape_before is not None and self.escape_after is not None and self.escape_error is not None:
            more = self.escape_after - self.escape_before
            if more > self.escape_error + 1e-9:
                error = f"one standard error is {100 * self.escape_error:.2g}"
                found.append(f"{100 * more:.2g} points more defects escape, {error}")
        return tuple(found)

    @property
    def holds(self) -> bool:
        """Whether the second model may take the place of the first."""
        return not self.reasons

    def to_json(self) -> dict[str, Any]:
        """All of it, as JSON-able data."""
        return {**asdict(self), "holds": self.holds, "reasons": list(self.reasons)}


def compare(
    task: Task, labels: NDArray[np.integer], before: Records, after: Records, *, max_drop: float = MAX_DROP
) -> Drop:
    """Hold two models' records (n, …) of the same images, whose ``labels`` are (n,), beside each other."""
    passed_before, passed_after, error = _escapes(task, labels, before, after)
    return Drop(
        task.metric,
        len(labels),
        task.score(before, labels),
        task.score(after, labels),
        task.mean_loss(before, labels),
        task.mean_loss(after, labels),
        passed_before,
        passed_after,
        error,
        max_drop,
    )


def _escapes(
    task: Task, labels: NDArray[np.integer], before: Records, after: Records
) -> tuple[float, float, float] | tuple[None, None, None]:
    """The share of defective parts that each passes, and the standard error of the difference."""
    is_good = labels == (-1 if task.good is None else task.good)
    if is_good.all() or not is_good.any():
        return None, None, None
    first, second = (_passed(task, records, is_good) for records in (before, after))
    change = second.astype(float) - first
    error = float(change.std(ddof=1) / np.sqrt(len(change))) if len(change) > 1 else 0.0
    return float(first.mean()), float(second.mean()), error


def _passed(task: Task, records: Records, is_good: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which defective parts pass at the threshold that these images give."""
    assert task.good is not None
    scores = defect_scores(task.image_probabilities(records), task.good)
    threshold = choose_threshold(scores, is_good, overkill=task.overkill)
    return ~rejected(scores[~is_good], threshold)
