"""Batches of an in-memory dataset, in a new order every epoch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from compressdefect.data.augment.recipes import Recipe
from compressdefect.data.images import Images
from compressdefect.data.truth import NOTHING, Needs, Truth
from compressdefect.train.gradual import DefectsFirst
from compressdefect.train.sampling import Sampling

_MOST_IMAGES, _MOST_PIXELS = 64, 64 * 224 * 224


class Batches:
    """Iterates over (uint8 pixels (B, C, H, W), their ``Truth``); each pass is the next epoch.

    An epoch draws as many images as there are, in ``round(n / batch_size)`` batches whose sizes differ by at most one.
    So no batch is left so small that batch normalisation would see one or two images. Without ``balance`` every image
    is drawn once. In gradual training defective images stand in for others, and are magnified, as long as the schedule
    says so.
    """

    def __init__(
        self,
        images: Images,
        indices: NDArray[np.integer],
        batch_size: int,
        *,
        seed: int,
        augmentation: Recipe | None = None,
        needs: Needs = NOTHING,
        classes: NDArray[np.integer] | None = None,
        balance: float = 0.0,
        defects_first: DefectsFirst | None = None,
        position: Callable[[], float] = lambda: 1.0,
    ) -> None:
        """Draw the order and the augmentation of all epochs from ``seed``.

        Args:
            images: all images, in memory.
            indices: which of them to draw from.
            batch_size: images in a batch, about.
            seed: of order and augmentation.
            augmentation: changes the pixels, and with them masks and boxes.
            needs: which annotations there are beside the classes.
            classes: the class of each of ``indices``, to balance by.
            balance: how evenly classes are shown, see ``train.sampling.Sampling``.
            defects_first: makes the batches gradual.
            position: the share of the training that is done, from 0 to 1.
        """
        self._images, self._augmentation = images, augmentation
        self._sampling = Sampling(indices, classes, balance)
        self._needs, self._defects_first, self._position = needs, defects_first, position
        self._count = steps_per_epoch(len(indices), batch_size)
        self._order = np.random.default_rng(seed)
        self._changes = torch.Generator().manual_seed(seed)

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[tuple[Tensor, Truth]]:
        for chosen in np.array_split(self._sampling.epoch(self._order), self._count):
            yield self._augmented(*self._gathered(chosen))

    def _gathered(self, chosen: NDArray[np.integer]) -> tuple[Tensor, Truth]:
        if self._defects_first is None:
            return gather(self._images, chosen), Truth.of(self._images, chosen, self._needs)
        position = self._position()
        chosen = self._defects_first.choose(chosen, position, self._order)
        pixels, truth = gather(self._images, chosen), Truth.of(self._images, chosen, self._needs)
        return self._defects_first.zoom(chosen, pixels, truth, position, self._changes)

    def _augmented(self, pixels: Tensor, truth: Truth) -> tuple[Tensor, Truth]:
        if self._augmentation is None:
            return pixels, truth
        changed = self._augmentation.apply(pixels, self._changes, truth.masks, truth.boxes)
        boxes = None if changed.boxes is None else tuple(changed.boxes)
        return changed.pixels, replace(truth, masks=changed.masks, boxes=boxes)


def steps_per_epoch(images: int, batch_size: int) -> int:
    """How many batches there are of so many images."""
    return max(1, round(images / batch_size))


def gather(images: Images, rows: NDArray[np.integer]) -> Tensor:
    """Copy images or tiles from memory (or a memory map) into a tensor: uint8 pixels (n, C, H, W)."""
    return torch.from_numpy(images.pixels[rows])


def affordable(images: Images) -> int:
    """How many of these images a network may be given at once outside training: 64 of 224 × 224, fewer larger ones."""
    _, height, width = images.shape
    return min(_MOST_IMAGES, max(1, _MOST_PIXELS // (height * width)))
