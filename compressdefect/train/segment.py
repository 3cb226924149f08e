"""Segmentation: a class for every pixel, the background first; an image is as bad as its most suspicious pixel."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from compressdefect.blocks.softmax import softmax_maps
from compressdefect.data.images import Images
from compressdefect.errors import DataError, known_names
from compressdefect.train import operating_point as op
from compressdefect.train.losses import SEGMENTATION_LOSSES
from compressdefect.train.metrics import interval
from compressdefect.train.segment_metrics import (
    Counts,
    detection,
    detection_accuracy,
    overlap,
    overlap_intervals,
)
from compressdefect.train.task import Records

BACKGROUND = "background"
CRITERION = "ce+dice"


@dataclass(frozen=True)
class Segment:
    """The segmentation task: logits (N, K, H, W), one softmax per pixel.

    An image is good when its mask is empty. Its defect score is the largest probability of a defect, 1 − p(background),
    in any of its pixels; the operating point is chosen by that. TPR, TNR, mAcc and accuracy go by the most probable
    class of each pixel instead: an image with any such defect pixel is called defective, as in the paper.

    Attributes:
        classes: class names in the order of the outputs; the first is the background.
        metric: the deciding figure, a key of ``METRICS``.
        overkill: share of good parts that may be rejected where the threshold is chosen.
        criterion: the loss, a sum of ``ce``, ``dice`` and ``bce``.

    Raises:
        DataError: the metric or a loss is unknown.
    """

    classes: tuple[str, ...]
    metric: str = "dice"
    overkill: float = op.OVERKILL
    criterion: str = CRITERION
    name: ClassVar[str] = "segment"
    good: ClassVar[int | None] = 0

    def __post_init__(self) -> None:
        assert len(self.classes) >= 2, "the background and at least one defect"
        if self.metric not in METRICS:
            raise DataError("unknown metric", got=self.metric, fix=known_names(self.metric, METRICS))
        parse_criterion(self.criterion)

    def targets(self, images: Images, indices: NDArray[np.integer]) -> Tensor:
        """Masks (n, H, W), uint8; of tiled images those of whole images, which must be of one size.

        Raises:
            DataError: the images have no masks.
        """
        masks = _masks(images)
        return torch.from_numpy(masks[indices] if images.sizes is None else np.stack([*map(images.mask, indices)]))

    def labels(self, images: Images, indices: NDArray[np.integer]) -> NDArray[np.int64]:
        """The defect class with the most pixels (n,), 0 where the mask is empty."""
        _masks(images)
        counts = [np.bincount(images.mask(i).ravel(), minlength=len(self.classes))[1:] for i in indices]
        return np.array([1 + count.argmax() if count.any() else 0 for count in counts], dtype=np.int64)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The sum that ``criterion`` names: logits (N, K, H, W), masks (N, H, W)."""
        logits, masks = outputs.float(), targets.long()
        return torch.stack([SEGMENTATION_LOSSES[name](logits, masks) for name in parse_criterion(self.criterion)]).sum()

    def predict(self, outputs: Tensor) -> Tensor:
        """Softmax over the classes: logits → probabilities, (N, K, H, W) both."""
        return softmax_maps(outputs.float())

    def record(self, probabilities: Tensor, targets: Tensor) -> Records:
        """Per image: pixels by class that are ``hit``, ``predicted`` and ``labelled``, and the ``scores`` (n, K).

        A score is the largest probability of a defect class in any pixel, the background's the smallest.
        """
        records = np.empty(len(probabilities), dtype=_record_type(len(self.classes)))
        found = probabilities.argmax(dim=1)
        for k in range(len(self.classes)):
            here, there = found == k, targets == k
            records["hit"][:, k] = (here & there).sum(dim=(1, 2)).cpu()
            records["predicted"][:, k] = here.sum(dim=(1, 2)).cpu()
            records["labelled"][:, k] = there.sum(dim=(1, 2)).cpu()
        records["scores"] = probabilities.amax(dim=(2, 3)).cpu()
        records["scores"][:, 0] = probabilities[:, 0].amin(dim=(1, 2)).cpu()
        return records

    def image_probabilities(self, records: Records) -> NDArray[np.float32]:
        """The scores (n, K): of the background the smallest in any pixel, of a defect the largest."""
        return records["scores"]

    def score(self, records: Records, labels: NDArray[np.integer]) -> float:
        """The figure that ``metric`` names, in [0, 1], higher is better.

        Raises:
            DataError: the images have no defect, or no good one where the metric needs it.
        """
        value = METRICS[self.metric](self, records, labels)
        if value is None or np.isnan(value):
            raise DataError(
                f"these images give no {self.metric}",
                got=f"{int((labels > 0).sum())} of {len(labels)} with a defect",
                fix="raise --val-share, or choose another --metric",
            )
        return float(value)

    def metrics(
        self,
        records: Records,
        labels: NDArray[np.integer],
        *,
        threshold: float | None = None,
        groups: NDArray[np.integer] | None = None,
        choose: bool = True,
    ) -> dict[str, Any]:
        """All figures of a set of images, with 95 % intervals; see ``Task.metrics``.

        ``dice`` and ``iou`` are means over the defect classes, of pixels pooled over the set; ``classes`` has each
        class's own. ``interval`` is that of ``dice``.
        """
        both, bounds = overlap(_counts(records)), overlap_intervals(_counts(records), groups)
        called, defective = _called(records), labels > 0
        found = detection(called, defective, groups)
        scores = op.defect_scores(self.image_probabilities(records), 0)
        point = op.settle(scores, ~defective, threshold, groups, overkill=self.overkill, choose=choose)
        each = zip(self.classes, both.dice, both.iou, strict=True)
        return {
            "n": len(labels),
            "dice": _number(both.mean_dice),
            "interval": None if bounds is None else list(bounds[0]),
            "iou": _number(both.mean_iou),
            "iou_interval": None if bounds is None else list(bounds[1]),
            "classes": {name: {"dice": _number(dice), "iou": _number(iou)} for name, dice, iou in each},
            "macc": found.macc,
            "tpr": found.tpr,
            "tpr_interval": None if found.tpr_interval is None else list(found.tpr_interval),
            "tnr": found.tnr,
            "tnr_interval": None if found.tnr_interval is None else list(found.tnr_interval),
            "accuracy": detection_accuracy(called, defective),
            "accuracy_interval": list(interval(called == defective, groups)),
            **op.figures(point),
        }


def parse_criterion(text: str) -> tuple[str, ...]:
    """The losses that a sum such as ``ce+dice`` names.

    >>> parse_criterion("ce+dice")
    ('ce', 'dice')

    Raises:
        DataError: one is unknown.
    """
    names = tuple(name.strip() for name in text.split("+"))
    for name in names:
        if name not in SEGMENTATION_LOSSES:
            fix = f"{known_names(name, SEGMENTATION_LOSSES)}; and sums such as {CRITERION}"
            raise DataError("unknown loss", got=name or "nothing", fix=fix)
    return names


def _masks(images: Images) -> NDArray[np.uint8]:
    if images.masks is None:
        raise DataError("the images have no masks to segment by", got=images.name, fix="use --task classify")
    return images.masks


def _record_type(classes: int) -> np.dtype[Any]:
    counts = [(name, np.int64, (classes,)) for name in Counts._fields]
    return np.dtype([*counts, ("scores", np.float32, (classes,))])


def _counts(records: Records) -> Counts:
    return Counts(*(records[name] for name in Counts._fields))


def _called(records: Records) -> NDArray[np.bool_]:
    return np.asarray(records["predicted"][:, 1:].any(axis=1))


def _caught(task: Segment, records: Records, labels: NDArray[np.integer]) -> float | None:
    if not labels.any():
        return None
    scores = op.defect_scores(task.image_probabilities(records), 0)
    return op.caught(scores, labels == 0, overkill=task.overkill)


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


METRICS: dict[str, Callable[[Segment, Records, NDArray[np.integer]], float | None]] = {
    "dice": lambda task, records, labels: overlap(_counts(records)).mean_dice,
    "iou": lambda task, records, labels: overlap(_counts(records)).mean_iou,
    "macc": lambda task, records, labels: detection(_called(records), labels > 0).macc,
    "escape@overkill": _caught,
}
