"""What is true of a batch of images: the class of each and, as far as they are needed, its mask and its boxes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from compressdefect.data.images import Images
from compressdefect.errors import DataError

Mark = Literal["masks", "boxes"]
Needs = frozenset[Mark]  # which annotations are needed beside the classes of images

NOTHING: Needs = frozenset()


@dataclass(frozen=True)
class Truth:
    """The truth about n images; augmentation moves all of it as it moves their pixels.

    Attributes:
        labels: class numbers of the images, int64 (n,).
        masks: uint8 (n, H, W), 0 where nothing is wrong, else 1 + the number of a defect's class.
        boxes: per image float32 (k, 5): x0, y0, x1, y1 in pixels of the input, and the number of a defect's class.
    """

    labels: Tensor
    masks: Tensor | None = None
    boxes: tuple[Tensor, ...] | None = None

    @classmethod
    def of(cls, images: Images, indices: NDArray[np.integer], needs: Needs = NOTHING) -> Truth:
        """What is true of some images; masks of tiled images are those of whole ones, which must be of one size.

        Raises:
            DataError: the images lack annotations that are needed.
        """
        return cls(
            torch.from_numpy(images.labels[indices]),
            _masks(images, indices) if "masks" in needs else None,
            _boxes(images, indices) if "boxes" in needs else None,
        )

    def __len__(self) -> int:
        return len(self.labels)

    def to(self, device: torch.device | str, **options: Any) -> Truth:
        """The same on another device; ``options`` are those of ``Tensor.to``."""
        masks = None if self.masks is None else self.masks.to(device, **options)
        boxes = None if self.boxes is None else tuple(box.to(device, **options) for box in self.boxes)
        return Truth(self.labels.to(device, **options), masks, boxes)


def _masks(images: Images, indices: NDArray[np.integer]) -> Tensor:
    if images.masks is None:
        raise DataError("the images have no masks", got=images.name, fix="classify them instead")
    chosen = images.masks[indices] if images.sizes is None else np.stack([*map(images.mask, indices)])
    return torch.from_numpy(chosen)


def _boxes(images: Images, indices: NDArray[np.integer]) -> tuple[Tensor, ...]:
    if images.boxes is None:
        raise DataError("the images have no boxes", got=images.name, fix="classify them instead")
    return tuple(torch.from_numpy(images.boxes[index]) for index in indices)
