"""Normalisation inside the graph: raw pixels in, so that the line never repeats the training's arithmetic."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor, nn

from compressdefect.cost.piece import Piece, Shape, size


class Normalize(nn.Module):
    """(N, C, H, W) pixels in 0..255, uint8 or float → float32, (x - mean) / std per channel."""

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        center, spread = torch.tensor(mean, dtype=torch.float32), torch.tensor(std, dtype=torch.float32)
        assert center.shape == spread.shape, "one mean and one std per channel"
        assert bool((spread > 0).all()), "a std must be positive"
        self.scale: Tensor
        self.shift: Tensor
        self.register_buffer("scale", (1 / spread).view(1, -1, 1, 1))
        self.register_buffer("shift", (-center / spread).view(1, -1, 1, 1))

    def forward(self, pixels: Tensor) -> Tensor:
        """Raw pixels → normalised ones."""
        return pixels.float() * self.scale + self.shift


@lru_cache(maxsize=256)
def normalize_cost(shape: Shape) -> Piece:
    """Cast, multiply, add: two float maps live at once. The pixels themselves are one byte each."""
    tensor = size(shape)
    pixels = tensor // 4
    return Piece(shape, 0, 0, 2 * tensor, 2 * tensor + pixels)
