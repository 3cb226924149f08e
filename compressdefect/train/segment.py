"""Segmentation: a class for every pixel, the background first; an image is as bad as its most suspicious pixel."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from compressdefect.blocks.softmax import softmax_maps
from compressdefect.data.images import Images
from compressdefect.data.labels import GOOD
from compressdefect.data.sample import Sample
from compressdefect.data.truth import Needs, Truth
from compressdefect.data.verdict import defect_scores
from compressdefect.errors import DataError, known_names
from compressdefect.models.graph import Heads
from compressdefect.train import operating_point as op
from compressdefect.train.activation import defect_masks
from compressdefect.train.losses import SEGMENTATION_LOSSES
from compressdefect.train.metrics import area_under_roc, interval
from compressdefect.train.segment_metrics import (
    Counts,
    detection,
    detection_accuracy,
    overlap,
    overlap_intervals,
)
from compressdefect.train.task import Aim, Answers, Figure, Outputs, Records, check_metric

BACKGROUND = "background"
CRITERION = "ce+dice"


@dataclass(frozen=True)
class Segment:
    """The segmentation task: logits (N, K, H, W), one softmax per pixel.

    An image is good when its mask is empty. Its defect score is the largest probability of a defect, 1 − p(background),
    in any of its pixels; the operating point is chosen by that. TPR, TNR, mAcc and accuracy go by the most probable
    class of each pixel instead: an image with any such defect pixel is called defective, as in the paper.

    Attributes:
        pixels: names of the classes of pixels in the order of the outputs; the first is the background.
        metric: the deciding figure, one of ``metric_names``.
        overkill: share of good parts that may be rejected where the threshold is chosen.
        criterion: the loss, a sum of ``ce``, ``dice`` and ``bce``.

    Raises:
        DataError: the metric or a loss is unknown.
    """

    pixels: tuple[str, ...]
    metric: str = "dice"
    overkill: float = op.OVERKILL
    criterion: str = CRITERION
    name: ClassVar[str] = "segment"
    good: ClassVar[int | None] = 0
    metric_names: ClassVar[tuple[str, ...]] = ("dice", "iou", "macc", "escape@overkill")
    head_names: ClassVar[tuple[str, ...]] = ("pixels",)
    needs: ClassVar[Needs] = frozenset({"masks"})
    space: ClassVar[str] = "lw_cnn"
    recipe: ClassVar[Mapping[str, Any]] = {"batch_size": 8, "balance": 1.0}  # every image has thousands of pixels
    outputs: ClassVar[Mapping[str, str]] = {"probabilities": "(N, K, H, W)"}
    figures: ClassVar[tuple[Figure, ...]] = (
        Figure("dice", "Dice"),
        Figure("interval", "95 %"),
        Figure("iou", "IoU"),
        Figure("iou_interval", "95 %"),
        Figure("macc", "mAcc"),
        Figure("accuracy", "accuracy"),
    )
    tiled: ClassVar[bool] = True
    notes: ClassVar[str] = (
        "Dice and IoU are of pixels pooled over the images, averaged over the defect classes. mAcc and accuracy are of "
        "whole images, called defective where a defect is the most probable class of any pixel."
    )
    claim: ClassVar[str] = "finds defects with a Dice of {}"
    basis: ClassVar[str] = "by the most probable class of each pixel"
    fine_title: ClassVar[str] = "area under the ROC curve (Dice without good images)"

    def __post_init__(self) -> None:
        assert len(self.pixels) >= 2, "the background and at least one defect"
        self.check(Aim(self.metric, criterion=self.criterion))

    @classmethod
    def suits(cls, samples: Sequence[Sample]) -> bool:
        """Where something is marked."""
        return any(sample.regions for sample in samples)

    @classmethod
    def check(cls, aim: Aim) -> None:
        """See ``Task.check``."""
        check_metric(aim.metric, cls.metric_names)
        parse_criterion(aim.criterion or CRITERION)

    @classmethod
    def on_images(cls, images: Images, aim: Aim) -> Self:
        """See ``Task.on_images``."""
        if images.masks is None or not images.regions:
            raise _no_masks(images)
        metric = aim.metric or cls.metric_names[0]
        return cls((BACKGROUND, *images.regions), metric, aim.overkill, aim.criterion or CRITERION)

    @classmethod
    def on_heads(cls, heads: Heads, good: int | None) -> Self:
        """See ``Task.on_heads``; the background is what is good."""
        return cls(tuple(heads["pixels"]))

    @property
    def heads(self) -> Heads:
        """One head, for every pixel."""
        return {"pixels": self.pixels}

    @property
    def classes(self) -> tuple[str, ...]:
        """Of an image the largest defect, or good."""
        return (GOOD, *self.pixels[1:])

    @property
    def decided_by(self) -> str:
        """See ``Task.decided_by``."""
        return f"1 − p(`{BACKGROUND}`) in any pixel"

    def summary(self, images: Images) -> str:
        """See ``Task.summary``."""
        tiles = "" if images.tile is None else f" in {len(images.pixels)} tiles of {images.tile} pixels"
        return f"{len(images)} images{tiles}, {int(images.marked.sum())} with a defect ({', '.join(images.regions)})"

    def absent(self, images: Images, indices: NDArray[np.integer]) -> list[str]:
        """The kinds of defects that no mask of these images shows."""
        masks, shown = _masks(images), np.zeros(256, dtype=np.bool_)  # of all numbers that a mask's uint8 can be
        for row in images.rows(indices):
            shown |= np.bincount(masks[row].ravel(), minlength=256) > 0
        return [name for number, name in enumerate(images.regions, start=1) if not shown[number]]

    def labels(self, images: Images, indices: NDArray[np.integer]) -> NDArray[np.int64]:
        """The defect class with the most pixels (n,), 0 where the mask is empty."""
        _masks(images)
        counts = [np.bincount(images.mask(i).ravel(), minlength=len(self.pixels))[1:] for i in indices]
        return np.array([1 + count.argmax() if count.any() else 0 for count in counts], dtype=np.int64)

    def loss(self, outputs: Outputs, truth: Truth) -> Tensor:
        """The sum that ``criterion`` names: logits (N, K, H, W), masks (N, H, W)."""
        assert truth.masks is not None, "the task needs masks"
        logits, masks = _logits(outputs), truth.masks.long()
        return torch.stack([SEGMENTATION_LOSSES[name](logits, masks) for name in parse_criterion(self.criterion)]).sum()

    def predict(self, outputs: Outputs) -> Answers:
        """Softmax over the classes: logits → probabilities, (N, K, H, W) both."""
        return {"probabilities": softmax_maps(_logits(outputs))}

    def marks(self, answers: Answers, threshold: float | None) -> NDArray[np.bool_]:
        """The pixels that alone would have the part rejected; see ``train.activation.defect_masks``."""
        return defect_masks(answers["probabilities"], threshold)

    def record(self, answers: Answers, truth: Truth) -> Records:
        """Per image: pixels by class that are ``hit``, ``predicted`` and ``labelled``, and the ``scores`` (n, K).

        A score is the largest probability of a defect class in any pixel, the background's the smallest.
        """
        assert truth.masks is not None, "the task needs masks"
        probabilities, targets = answers["probabilities"], truth.masks
        records = np.empty(len(probabilities), dtype=_record_type(len(self.pixels)))
        found = probabilities.argmax(dim=1)
        for k in range(len(self.pixels)):
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
        value = _SCORES[self.metric](self, records, labels)
        if value is None or np.isnan(value):
            raise self._no_score(labels)
        return float(value)

    def fine_score(self, records: Records, labels: NDArray[np.integer]) -> float:
        """The area under the ROC curve of images with a defect; mean Dice where all have one.

        After a few steps no pixel is called a defect, and Dice is 0 for every network.
        """
        area = area_under_roc(defect_scores(self.image_probabilities(records), 0), labels > 0)
        return float(np.nan_to_num(overlap(_counts(records)).mean_dice)) if np.isnan(area) else area

    def mean_loss(self, records: Records, labels: NDArray[np.integer]) -> float:
        """1 − the mean Dice of the defect classes."""
        return 1 - float(np.nan_to_num(overlap(_counts(records)).mean_dice))

    def check_labels(self, labels: NDArray[np.integer]) -> None:
        """See ``Task.check_labels``; an overlap needs a defect, rates of whole images need a good one too."""
        if not labels.any() or (self.metric in _OF_IMAGES and labels.all()):
            raise self._no_score(labels)

    def _no_score(self, labels: NDArray[np.integer]) -> DataError:
        return DataError(
            f"these images give no {self.metric}",
            got=f"{int((labels > 0).sum())} of {len(labels)} with a defect",
            fix="raise --val-share, or choose another --metric",
        )

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
        scores = defect_scores(self.image_probabilities(records), 0)
        point = op.settle(scores, ~defective, threshold, groups, overkill=self.overkill, choose=choose)
        each = zip(self.pixels, both.dice, both.iou, strict=True)
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
        raise _no_masks(images)
    return images.masks


def _no_masks(images: Images) -> DataError:
    return DataError("the images have no masks to segment by", got=images.name, fix="classify them instead")


def _logits(outputs: Outputs) -> Tensor:
    assert isinstance(outputs, Tensor), "the networks of this task have one head"
    return outputs.float()


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
    scores = defect_scores(task.image_probabilities(records), 0)
    return op.caught(scores, labels == 0, overkill=task.overkill)


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


_OF_IMAGES = ("macc", "escape@overkill")
_SCORES: dict[str, Callable[[Segment, Records, NDArray[np.integer]], float | None]] = {
    "dice": lambda task, records, labels: overlap(_counts(records)).mean_dice,
    "iou": lambda task, records, labels: overlap(_counts(records)).mean_iou,
    "macc": lambda task, records, labels: detection(_called(records), labels > 0).macc,
    "escape@overkill": _caught,
}
