"""Training augmentation of uint8 batches that keeps a defect a defect.

Mirrored, turned, shifted, slightly zoomed and differently lit plates are still the same plate; nothing here erases,
blurs or covers a small defect. Geometry is drawn once per few images, so it costs little next to a training step.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from compressdefect import compat

compat.install()
from torchvision.transforms.v2 import functional as F

GROUP = 4  # images that share one geometric draw


@dataclass(frozen=True)
class Augmentation:
    """Ranges of the random changes, as fractions: ``shift`` of the side, ``zoom`` ± around 1, light likewise.

    ``turn`` are rotations by 90°, for square images only.
    """

    flip: bool = True
    turn: bool = True
    shift: float = 0.06
    zoom: float = 0.1
    brightness: float = 0.1
    contrast: float = 0.2

    def __call__(self, batch: Tensor, generator: torch.Generator) -> Tensor:
        """Return a changed copy of ``batch`` uint8 (N, C, H, W); all randomness comes from ``generator``."""
        assert batch.dtype == torch.uint8
        assert batch.ndim == 4
        changed = torch.empty_like(batch)
        for start in range(0, len(batch), GROUP):
            moved = self._move(batch[start : start + GROUP], generator)
            changed[start : start + GROUP] = self._relight(moved, generator)
        return changed

    def _move(self, images: Tensor, generator: torch.Generator) -> Tensor:
        height, width = images.shape[-2:]
        draws = torch.rand(6, generator=generator).tolist()
        if self.flip and draws[0] < 0.5:
            images = F.horizontal_flip(images)
        if self.flip and draws[1] < 0.5:
            images = F.vertical_flip(images)
        if self.turn and height == width and draws[2] < 0.5:  # with both flips: all eight symmetries, equally often
            images = images.transpose(-1, -2)
        if not (self.shift or self.zoom):
            return images
        scale = 1 / (1 + self.zoom * (2 * draws[3] - 1))
        crop = round(height * scale), round(width * scale)
        margin = [
            math.ceil(side * (self.shift + max(0.0, 1 / (1 - self.zoom) - 1) / 2)) + 1 for side in (height, width)
        ]
        padded = pad(
            images, (margin[1], margin[1], margin[0], margin[0]), mode="reflect"
        )  # v2's own goes through float
        top = margin[0] + (height - crop[0]) / 2 + height * self.shift * (2 * draws[4] - 1)
        left = margin[1] + (width - crop[1]) / 2 + width * self.shift * (2 * draws[5] - 1)
        return _resize(F.crop(padded, int(top), int(left), *crop), height, width)

    def _relight(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Scale each image's contrast around its mean and shift its brightness."""
        if not (self.brightness or self.contrast):
            return images
        draws = torch.rand(2, len(images), 1, generator=generator) * 2 - 1
        gain, shift = 1 + self.contrast * draws[0], 255 * self.brightness * draws[1]
        mean = images.flatten(1).float().mean(dim=1, keepdim=True)
        table = (torch.arange(256) - mean) * gain + mean + shift  # what each of the 256 levels becomes, per image
        table = table.round_().clamp_(0, 255).to(torch.uint8)
        return table.gather(1, images.flatten(1).long()).view_as(images)


def _resize(images: Tensor, height: int, width: int) -> Tensor:
    """Antialiased bilinear resize, in the memory layout that torch's uint8 kernel is fast in."""
    if images.shape[1] == 1:  # grey images as the channels of one
        return F.resize(images.transpose(0, 1), [height, width], antialias=True).transpose(0, 1)
    return F.resize(images.contiguous(), [height, width], antialias=True)
