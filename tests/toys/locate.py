"""A task that is not the package's own: name the defect of an image and say where it is, from boxes, by two answers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from compressdefect import compat
from compressdefect.data.images import Images
from compressdefect.data.sample import Sample
from compressdefect.data.truth import Needs, Truth
from compressdefect.data.verdict import defect_scores
from compressdefect.models.graph import Heads
from compressdefect.train import operating_point as op
from compressdefect.train.metrics import interval
from compressdefect.train.task import Aim, Answers, Figure, Outputs, Records, check_metric, check_one_loss

compat.install()
from torchvision.ops import box_iou

SIDE = 32  # pixels of the input, of which a box's corners are shares


@dataclass(frozen=True)
class Locate:
    kinds: tuple[str, ...]
    overkill: float = op.OVERKILL
    name: ClassVar[str] = "locate"
    metric: ClassVar[str] = "located"
    good: ClassVar[int | None] = 0
    metric_names: ClassVar[tuple[str, ...]] = ("located",)
    head_names: ClassVar[tuple[str, ...]] = ("kinds", "corners")
    needs: ClassVar[Needs] = frozenset({"boxes"})
    space: ClassVar[str] = "toy"
    recipe: ClassVar[Mapping[str, Any]] = {"batch_size": 4}
    outputs: ClassVar[Mapping[str, str]] = {"scores": "(N, K)", "boxes": "(N, 4)"}
    figures: ClassVar[tuple[Figure, ...]] = (Figure("located", "located"), Figure("interval", "95 %"))
    tiled: ClassVar[bool] = False
    notes: ClassVar[str] = "A defect is located where the box overlaps it by half."
    claim: ClassVar[str] = "locates {} of the defects"
    basis: ClassVar[str] = "by an overlap of half"
    fine_title: ClassVar[str] = "mean overlap"
    decided_by: ClassVar[str] = "the largest score"

    @classmethod
    def suits(cls, samples: Sequence[Sample]) -> bool:
        return any(sample.regions for sample in samples)

    @classmethod
    def check(cls, aim: Aim) -> None:
        check_metric(aim.metric, ("located",))
        check_one_loss(aim.criterion)

    @classmethod
    def on_images(cls, images: Images, aim: Aim) -> Self:
        cls.check(aim)
        return cls(images.regions, aim.overkill)

    @classmethod
    def on_heads(cls, heads: Heads, good: int | None) -> Self:
        return cls(tuple(heads["kinds"]))

    @property
    def heads(self) -> Heads:
        return {"kinds": self.kinds, "corners": ("x0", "y0", "x1", "y1")}

    @property
    def classes(self) -> tuple[str, ...]:
        return ("good", *self.kinds)

    def summary(self, images: Images) -> str:
        return f"{len(images)} images with boxes of {', '.join(self.kinds)}"

    def absent(self, images: Images, indices: NDArray[np.integer]) -> list[str]:
        return [name for i, name in enumerate(self.classes) if i not in self.labels(images, indices)]

    def labels(self, images: Images, indices: NDArray[np.integer]) -> NDArray[np.int64]:
        boxes = [images.boxes[i] for i in indices] if images.boxes else []
        return np.array([1 + int(rows[0, 4]) if len(rows) else 0 for rows in boxes], dtype=np.int64)

    def loss(self, outputs: Outputs, truth: Truth) -> Tensor:
        scores, corners = (output.float().flatten(1) for output in outputs)
        there = torch.tensor([len(rows) > 0 for rows in truth.boxes or ()])
        first = torch.stack([rows[0] if len(rows) else torch.zeros(5) for rows in truth.boxes or ()]).to(scores.device)
        kinds = F.one_hot(first[:, 4].long(), len(self.kinds)).float() * there[:, None].to(scores)
        far = (corners.sigmoid() - first[:, :4] / SIDE).abs().mean(dim=1) * there.to(scores)
        return F.binary_cross_entropy_with_logits(scores, kinds) + far.mean()

    def predict(self, outputs: Outputs) -> Answers:
        scores, corners = (output.float().flatten(1).sigmoid() for output in outputs)
        return {"scores": scores, "boxes": corners * SIDE}

    def check_labels(self, labels: NDArray[np.integer]) -> None: ...

    def marks(self, answers: Answers, threshold: float | None) -> None: ...

    def record(self, answers: Answers, truth: Truth) -> Records:
        records = np.zeros(len(truth), dtype=[("scores", np.float32, (len(self.kinds),)), ("overlap", np.float32)])
        records["scores"] = answers["scores"].cpu()
        for row, (rows, found) in enumerate(zip(truth.boxes or (), answers["boxes"].cpu(), strict=True)):
            records["overlap"][row] = box_iou(found[None], rows[:, :4].cpu()).max() if len(rows) else 0
        return records

    def image_probabilities(self, records: Records) -> NDArray[np.float32]:
        scores = np.asarray(records["scores"])
        return np.concatenate([1 - scores.max(axis=1, keepdims=True), scores], axis=1, dtype=np.float32)

    def score(self, records: Records, labels: NDArray[np.integer]) -> float:
        return float(np.mean(records["overlap"][labels > 0] >= 0.5)) if (labels > 0).any() else 0.0

    def fine_score(self, records: Records, labels: NDArray[np.integer]) -> float:
        return float(np.mean(records["overlap"][labels > 0])) if (labels > 0).any() else 0.0

    def mean_loss(self, records: Records, labels: NDArray[np.integer]) -> float:
        return 1 - self.fine_score(records, labels)

    def metrics(self, records: Records, labels: NDArray[np.integer], **options: Any) -> dict[str, Any]:
        groups, scores = options.get("groups"), defect_scores(self.image_probabilities(records), 0)
        point = op.settle(scores, labels == 0, options.get("threshold"), groups, overkill=self.overkill,
                          choose=options.get("choose", True))  # fmt: skip
        bounds = interval(records["overlap"] >= 0.5, groups)
        return {"n": len(labels), "located": self.score(records, labels), "interval": [*bounds], **op.figures(point)}
