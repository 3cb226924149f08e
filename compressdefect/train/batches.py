"""Batches of an in-memory dataset, in a new order every epoch."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from compressdefect.data.augment import Augmentation
from compressdefect.data.images import Images


class Batches:
    """Iterates over (uint8 pixels (B, C, H, W), targets (B,)); each pass is the next epoch.

    An epoch visits every image once, in ``round(n / batch_size)`` batches whose sizes differ by at most one. So no
    image is dropped and no batch is left so small that batch normalisation would see one or two images.
    """

    def __init__(
        self,
        images: Images,
        indices: NDArray[np.integer],
        batch_size: int,
        *,
        seed: int,
        augmentation: Augmentation | None = None,
    ) -> None:
        """Draw the order and the augmentation of all epochs from ``seed``."""
        self._images, self._indices, self._augmentation = images, np.asarray(indices), augmentation
        self._count = max(1, round(len(indices) / batch_size))
        self._order = np.random.default_rng(seed)
        self._changes = torch.Generator().manual_seed(seed)

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for chosen in np.array_split(self._order.permutation(self._indices), self._count):
            pixels, targets = gather(self._images, chosen)
            yield pixels if self._augmentation is None else self._augmentation(pixels, self._changes), targets


def gather(images: Images, indices: NDArray[np.integer]) -> tuple[Tensor, Tensor]:
    """Copy images from memory (or a memory map) into tensors: uint8 pixels (n, C, H, W) and labels (n,)."""
    return torch.from_numpy(images.pixels[indices]), torch.from_numpy(images.labels[indices])
