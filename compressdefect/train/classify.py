"""Image classification: one class per image, one or two columns of logits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from compressdefect.data.images import Images
from compressdefect.errors import DataError, known_names
from compressdefect.train import operating_point as op
from compressdefect.train.batches import class_numbers
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

    def targets(self, images: Images, indices: NDArray[np.integer]) -> Tensor:
        """Class numbers (n,)."""
        return class_numbers(images, indices)

    def labels(self, images: Images, indices: NDArray[np.integer]) -> NDArray[np.int64]:
        """Class numbers (n,)."""
        return images.labels[indices]

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

    def record(self, probabilities: Tensor, targets: Tensor) -> NDArray[np.float32]:
        """The probabilities (n, K) themselves: they are small."""
        return probabilities.cpu().numpy()

    def image_probabilities(self, records: NDArray[np.floating]) -> NDArray[np.float32]:
        """The probabilities (n, K)."""
        return records.astype(np.float32, copy=False)

    def score(self, records: NDArray[np.floating], labels: NDArray[np.integer]) -> float:
        """The figure that ``metric`` names, in [0, 1], higher is better."""
        return METRICS[self.metric](self, records, labels)

    def metrics(
        self,
        records: NDArray[np.floating],
        labels: NDArray[np.integer],
        *,
        threshold: float | None = None,
        groups: NDArray[np.integer] | None = None,
        choose: bool = True,
    ) -> dict[str, Any]:
        """All figures of a set of images, with 95 % intervals; see ``Task.metrics``.

        Args:
            records: probabilities (n, K).
            labels: class numbers (n,).
            threshold: from validation; chosen on these images when None and they hold a good one.
            groups: group number per image (n,), to widen the intervals where images are not independent.
            choose: whether a missing threshold is chosen on these images.
        """
        table, point = confusion(records, labels), None
        if self.good is not None:
            scores, is_good = op.defect_scores(records, self.good), labels == self.good
            point = op.settle(scores, is_good, threshold, groups, overkill=self.overkill, choose=choose)
        return {
            "n": len(labels),
            "accuracy": accuracy(table),
            "balanced_accuracy": balanced_accuracy(table),
            "interval": list(interval(records.argmax(axis=1) == labels, groups)),
            **op.figures(point),
        }


def _columns(outputs: Tensor) -> Tensor:
    """Logits as float32 (N, heads, K), whatever the network's head and precision."""
    return (outputs if outputs.ndim == 3 else outputs.unsqueeze(1)).float()


def _caught(task: Classify, probabilities: NDArray[np.floating], labels: NDArray[np.integer]) -> float:
    assert task.good is not None
    return op.caught(op.defect_scores(probabilities, task.good), labels == task.good, overkill=task.overkill)


METRICS: dict[str, Callable[[Classify, NDArray[np.floating], NDArray[np.integer]], float]] = {
    "accuracy": lambda task, probabilities, labels: accuracy(confusion(probabilities, labels)),
    "balanced_accuracy": lambda task, probabilities, labels: balanced_accuracy(confusion(probabilities, labels)),
    "escape@overkill": _caught,
}
