"""Changes of the pixels where they are: what optics, sensor and lighting do.

An effect takes pixels float32 (N, C, H, W) from 0 to 255 and a generator and returns new ones, which may lie outside
that range; every picture gets a draw of its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

Effect = Callable[[Tensor, torch.Generator], Tensor]


@dataclass(frozen=True)
class Blur:
    """Gaussian blur of a standard deviation between ``least`` and ``most`` pixels."""

    least: float = 0.3
    most: float = 1.2

    def __call__(self, pixels: Tensor, generator: torch.Generator) -> Tensor:
        """Return the blurred pixels, mirrored at the edge."""
        sigma = self.least + (self.most - self.least) * torch.rand(len(pixels), generator=generator)
        distances = torch.arange(math.ceil(3 * self.most) + 1)
        weights = torch.exp(-((distances / sigma[:, None]) ** 2) / 2)
        return _smooth(_smooth(pixels, weights, 3), weights, 2)


@dataclass(frozen=True)
class Noise:
    """Gaussian noise of a standard deviation up to ``most`` levels of 255."""

    most: float = 10.0

    def __call__(self, pixels: Tensor, generator: torch.Generator) -> Tensor:
        """Return the noisy pixels."""
        sigma = self.most * torch.rand(len(pixels), 1, 1, 1, generator=generator)
        return torch.addcmul(pixels, torch.randn(pixels.shape, generator=generator), sigma)


@dataclass(frozen=True)
class Illumination:
    """Other light: stronger or weaker, of more or less contrast, and falling off to one side."""

    brightness: float = 0.1
    contrast: float = 0.2
    slope: float = 0.2

    def __call__(self, pixels: Tensor, generator: torch.Generator) -> Tensor:
        """Return the pixels in the other light."""
        height, width = pixels.shape[2:]
        brightness, contrast, down, right = torch.rand(4, len(pixels), 1, 1, 1, generator=generator) * 2 - 1
        mean = pixels.mean(dim=(1, 2, 3), keepdim=True)
        gain = 1 + self.contrast * contrast
        shift = mean * (1 - gain) + 255 * self.brightness * brightness
        y, x = torch.linspace(-1, 1, height)[:, None], torch.linspace(-1, 1, width)
        return (pixels * gain).add_(shift).mul_(1 + self.slope / 2 * (down * y + right * x))


def _smooth(pixels: Tensor, weights: Tensor, axis: int) -> Tensor:
    """Weighted means of each pixel and its neighbours along an axis; ``weights`` (N, r + 1) by distance.

    Sums of shifted pictures: with a kernel of its own for each picture, a convolution is twenty times slower.
    """
    length = pixels.shape[axis]
    reach = min(weights.shape[1] - 1, length - 1)
    weights = weights[:, : reach + 1]
    weights = weights / (2 * weights.sum(dim=1, keepdim=True) - weights[:, :1])  # 1 for both sides together
    padded = pad(pixels, (reach, reach, 0, 0) if axis == 3 else (0, 0, reach, reach), mode="reflect")
    smooth = pixels * weights[:, 0].view(-1, 1, 1, 1)
    for distance in range(1, reach + 1):
        pair = padded.narrow(axis, reach - distance, length) + padded.narrow(axis, reach + distance, length)
        smooth.addcmul_(pair, weights[:, distance].view(-1, 1, 1, 1))
    return smooth
