"""Image classification: one class per image, one or two columns of logits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from compressdefect.errors import DataError, known_names
from compressdefect.train import operating_point as op
from compressdefect.train.losses import paired_discrepancy_loss
from compressdefect.train.metrics import accuracy, balanced_accuracy, confusion, interval


@dataclass(frozen=True)
class Classify:
    """The classification task.

    Attributes:
        classes: class names, in the order of the outputs.
        good: which class is a good part, if any.
        metric: the deciding figure, a key of ``METRICS``.
        overkill: share of good parts that may be rejected where the threshold is chosen.
        discrepancy: λ of the paired discrepancy loss, for two columns.
        label_smoothing: share of each target spread evenly over the classes.

    Raises:
        DataError: the metric is unknown, or needs a good class and there is none.
    """

    classes: tuple[str, ...]
    good: int | None = None
    metric: str = "accuracy"
    overkill: float = op.OVERKILL
    discrepancy: float = 0.1
    label_smoothing: float = 0.1
    name: ClassVar[str] = "classify"

    def __post_init__(self) -> None:
        if self.metric not in METRICS:
            raise DataError("unknown metric", got=self.metric, fix=known_names(self.metric, METRICS))
        if self.metric == "escape@overkill" and self.good is None:
            raise DataError(
                "escape@overkill needs a class of good parts", got=", ".join(self.classes), fix="name it with --good"
            )

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Cross-entropy of one column, or the paired discrepancy loss of two: logits (N[, heads], K), targets (N,)."""
        columns = _columns(outputs)
        if columns.shape[1] == 1:
            return F.cross_entropy(columns[:, 0], targets, label_smoothing=self.label_smoothing)
        return paired_discrepancy_loss(
            columns, targets, discrepancy=self.discrepancy, label_smoothing=self.label_smoothing
        )

    def predict(self, outputs: Tensor) -> Tensor:
        """Mean softmax over the columns: logits (N, K) or (N, heads, K) → probabilities (N, K)."""
        return _columns(outputs).softmax(dim=-1).mean(dim=1)

    def score(self, probabilities: NDArray[np.floating], targets: NDArray[np.integer]) -> float:
        """The figure that ``metric`` names, in [0, 1], higher is better."""
        return METRICS[self.metric](self, probabilities, targets)

    def metrics(
        self,
        probabilities: NDArray[np.floating],
        targets: NDArray[np.integer],
        *,
        threshold: float | None = None,
        groups: NDArray[np.integer] | None = None,
        choose: bool = True,
    ) -> dict[str, Any]:
        """All figures of a set of images, with 95 % intervals; see ``Task.metrics``.

        Args:
            probabilities: (n, K).
            targets: class numbers (n,).
            threshold: from validation; chosen on these images when None and they hold a good one.
            groups: group number per image (n,), to widen the intervals where images are not independent.
            choose: whether a missing threshold is chosen on these images.
        """
        table = confusion(probabilities, targets)
        decided = choose or threshold is not None
        point = self._operating_point(probabilities, targets, threshold, groups) if decided else None
        return {
            "n": len(targets),
            "accuracy": accuracy(table),
            "balanced_accuracy": balanced_accuracy(table),
            "interval": list(interval(probabilities.argmax(axis=1) == targets, groups)),
            "threshold": point.threshold if point else None,
            "escape": point.escape if point else None,
            "overkill": point.overkill if point else None,
            "escape_interval": list(point.escape_interval) if point and point.escape_interval else None,
            "overkill_interval": list(point.overkill_interval) if point and point.overkill_interval else None,
        }

    def _operating_point(
        self,
        probabilities: NDArray[np.floating],
        targets: NDArray[np.integer],
        threshold: float | None,
        groups: NDArray[np.integer] | None,
    ) -> op.OperatingPoint | None:
        if self.good is None:
            return None
        scores, is_good = op.defect_scores(probabilities, self.good), targets == self.good
        if threshold is None:
            if not is_good.any():
                return None
            threshold = op.choose_threshold(scores, is_good, overkill=self.overkill)
        return op.operating_point(scores, is_good, threshold, groups)


def _columns(outputs: Tensor) -> Tensor:
    """Logits as float32 (N, heads, K), whatever the network's head and precision."""
    return (outputs if outputs.ndim == 3 else outputs.unsqueeze(1)).float()


def _caught(task: Classify, probabilities: NDArray[np.floating], targets: NDArray[np.integer]) -> float:
    """1 − escape at the allowed overkill, both on these images."""
    assert task.good is not None
    scores, is_good = op.defect_scores(probabilities, task.good), targets == task.good
    threshold = op.choose_threshold(scores, is_good, overkill=task.overkill)
    return float(op.rejected(scores[~is_good], threshold).mean())


METRICS: dict[str, Callable[[Classify, NDArray[np.floating], NDArray[np.integer]], float]] = {
    "accuracy": lambda task, probabilities, targets: accuracy(confusion(probabilities, targets)),
    "balanced_accuracy": lambda task, probabilities, targets: balanced_accuracy(confusion(probabilities, targets)),
    "escape@overkill": _caught,
}
