"""Image classification: one class per image, one or two columns of logits."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from compressdefect.data.images import Images
from compressdefect.data.sample import Sample
from compressdefect.data.truth import NOTHING, Needs, Truth
from compressdefect.data.verdict import defect_scores
from compressdefect.errors import DataError
from compressdefect.models.graph import Heads
from compressdefect.train import operating_point as op
from compressdefect.train.losses import paired_discrepancy_loss
from compressdefect.train.metrics import accuracy, area_under_roc, balanced_accuracy, confusion, interval
from compressdefect.train.task import Aim, Answers, Figure, Outputs, check_metric, check_one_loss


@dataclass(frozen=True)
class Classify:
    """The classification task.

    Attributes:
        classes: class names, in the order of the outputs.
        good: which class is a good part, if any.
        metric: the deciding figure, one of ``metric_names``.
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
    metric_names: ClassVar[tuple[str, ...]] = ("accuracy", "balanced_accuracy", "escape@overkill")
    head_names: ClassVar[tuple[str, ...]] = ("image",)
    needs: ClassVar[Needs] = NOTHING
    space: ClassVar[str] = "lightdefectnet"
    recipe: ClassVar[Mapping[str, Any]] = {}
    outputs: ClassVar[Mapping[str, str]] = {"probabilities": "(N, K)"}
    figures: ClassVar[tuple[Figure, ...]] = (
        Figure("accuracy", "accuracy"),
        Figure("interval", "95 %"),
        Figure("balanced_accuracy", "balanced accuracy"),
    )
    tiled: ClassVar[bool] = False
    notes: ClassVar[str] = ""
    claim: ClassVar[str] = "names the right class for {} of the images"
    basis: ClassVar[str] = "by the most probable class of each image"
    fine_title: ClassVar[str] = "area under the ROC curve"

    def __post_init__(self) -> None:
        self.check(Aim(self.metric))
        if self.metric == "escape@overkill" and self.good is None:
            raise DataError(
                "escape@overkill needs a class of good parts", got=", ".join(self.classes), fix="name it with --good"
            )

    @classmethod
    def suits(cls, samples: Sequence[Sample]) -> bool:
        """Where no image lacks a class of its own while something is marked in it."""
        return not any(sample.label is None and sample.regions for sample in samples)

    @classmethod
    def check(cls, aim: Aim) -> None:
        """See ``Task.check``."""
        check_metric(aim.metric, cls.metric_names)
        check_one_loss(aim.criterion)

    @classmethod
    def on_images(cls, images: Images, aim: Aim) -> Self:
        """See ``Task.on_images``."""
        cls.check(aim)
        return cls(images.classes, images.good, aim.metric or cls.metric_names[0], aim.overkill)

    @classmethod
    def on_heads(cls, heads: Heads, good: int | None) -> Self:
        """See ``Task.on_heads``."""
        return cls(tuple(heads["image"]), good)

    @property
    def heads(self) -> Heads:
        """One head, for the image."""
        return {"image": self.classes}

    @property
    def decided_by(self) -> str:
        """See ``Task.decided_by``."""
        return "" if self.good is None else f"1 − p(`{self.classes[self.good]}`)"

    def summary(self, images: Images) -> str:
        """See ``Task.summary``."""
        return f"{len(images)} images of {len(self.classes)} classes ({', '.join(self.classes)})"

    def absent(self, images: Images, indices: NDArray[np.integer]) -> list[str]:
        """The classes that none of these images is of."""
        return [name for number, name in enumerate(images.classes) if number not in images.labels[indices]]

    def labels(self, images: Images, indices: NDArray[np.integer]) -> NDArray[np.int64]:
        """Class numbers (n,)."""
        return images.labels[indices]

    def loss(self, outputs: Outputs, truth: Truth) -> Tensor:
        """Cross-entropy of one column, or the paired discrepancy loss of two: logits (N, K) or (N, columns, K)."""
        columns, targets = _columns(outputs), truth.labels
        if columns.shape[1] == 1:
            return F.cross_entropy(columns[:, 0], targets, label_smoothing=self.label_smoothing)
        return paired_discrepancy_loss(
            columns, targets, discrepancy=self.discrepancy, label_smoothing=self.label_smoothing
        )

    def predict(self, outputs: Outputs) -> Answers:
        """Mean softmax over the columns: logits (N, K) or (N, columns, K) → probabilities (N, K)."""
        return {"probabilities": _columns(outputs).softmax(dim=-1).mean(dim=1)}

    def marks(self, answers: Answers, threshold: float | None) -> None:
        """None: a class says nothing of where."""

    def record(self, answers: Answers, truth: Truth) -> NDArray[np.float32]:
        """The probabilities (n, K) themselves: they are small."""
        return answers["probabilities"].cpu().numpy()

    def image_probabilities(self, records: NDArray[np.floating]) -> NDArray[np.float32]:
        """The probabilities (n, K)."""
        return records.astype(np.float32, copy=False)

    def score(self, records: NDArray[np.floating], labels: NDArray[np.integer]) -> float:
        """The figure that ``metric`` names, in [0, 1], higher is better."""
        return _SCORES[self.metric](self, records, labels)

    def fine_score(self, records: NDArray[np.floating], labels: NDArray[np.integer]) -> float:
        """The area under the ROC curve of the defects; without good images the mean of those of each class."""
        if self.good is not None and (labels == self.good).any():
            found = [area_under_roc(defect_scores(records, self.good), labels != self.good)]
        else:
            found = [area_under_roc(records[:, number], labels == number) for number in range(len(self.classes))]
        known = [area for area in found if not np.isnan(area)]
        return float(np.mean(known)) if known else 0.0

    def mean_loss(self, records: NDArray[np.floating], labels: NDArray[np.integer]) -> float:
        """The log loss: the mean of −log of the right class's probability, which counts as 1e-7 at least."""
        right = records[np.arange(len(labels)), labels].astype(np.float64)
        return float(-np.log(right.clip(1e-7)).mean())

    def check_labels(self, labels: NDArray[np.integer]) -> None:
        """See ``Task.check_labels``; any images give an accuracy, escapes need good and defective ones."""
        if self.metric == "escape@overkill":
            op.check_both_kinds(labels == self.good)

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
            scores, is_good = defect_scores(records, self.good), labels == self.good
            point = op.settle(scores, is_good, threshold, groups, overkill=self.overkill, choose=choose)
        return {
            "n": len(labels),
            "accuracy": accuracy(table),
            "balanced_accuracy": balanced_accuracy(table),
            "interval": list(interval(records.argmax(axis=1) == labels, groups)),
            **op.figures(point),
        }


def _columns(outputs: Outputs) -> Tensor:
    """Logits as float32 (N, columns, K), whatever the network's head and precision."""
    assert isinstance(outputs, Tensor), "the networks of this task have one head"
    return (outputs if outputs.ndim == 3 else outputs.unsqueeze(1)).float()


def _caught(task: Classify, probabilities: NDArray[np.floating], labels: NDArray[np.integer]) -> float:
    assert task.good is not None
    return op.caught(defect_scores(probabilities, task.good), labels == task.good, overkill=task.overkill)


_SCORES: dict[str, Callable[[Classify, NDArray[np.floating], NDArray[np.integer]], float]] = {
    "accuracy": lambda task, probabilities, labels: accuracy(confusion(probabilities, labels)),
    "balanced_accuracy": lambda task, probabilities, labels: balanced_accuracy(confusion(probabilities, labels)),
    "escape@overkill": _caught,
}
