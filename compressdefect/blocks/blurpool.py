"""Anti-aliased downsampling (AADS; Zhang, 2019): low-pass first, then drop every other pixel.

The filter is binomial, comb(k-1, i) / 2^(k-1), its outer product is applied per channel as one fixed depthwise
convolution of stride 2: no parameters, k²·C·Ho·Wo macs. In front of it, a max pool of stride 1 turns "max pooling"
into its anti-aliased form. Maps no larger than the padding are padded by replication, since reflection needs more.
"""

from __future__ import annotations

from functools import lru_cache
from math import comb

import torch
from torch import Tensor, nn
from torch.nn import functional

from compressdefect.cost.piece import Piece, Shape, chain, operator


class BlurPool(nn.Module):
    """(N, C, H, W) → (N, C, ⌈H/2⌉, ⌈W/2⌉)."""

    stride = 2

    def __init__(self, channels: int, kernel: int = 3, maximum: bool = False) -> None:
        super().__init__()
        row = torch.tensor([comb(kernel - 1, i) for i in range(kernel)], dtype=torch.float32) / 2 ** (kernel - 1)
        self.filter: Tensor
        self.register_buffer("filter", torch.outer(row, row).repeat(channels, 1, 1, 1), persistent=False)
        self.maximum = nn.MaxPool2d(3, stride=1, padding=1) if maximum else nn.Identity()
        self.padding = ((kernel - 1) // 2, kernel // 2)

    def forward(self, x: Tensor) -> Tensor:
        """Pad, filter and subsample."""
        x = self.maximum(x)
        mode = "reflect" if min(x.shape[-2:]) > self.padding[1] else "replicate"
        x = functional.pad(x, self.padding * 2, mode=mode)
        if not torch.is_autocast_enabled(x.device.type):
            return self._blur(x)
        with torch.autocast(x.device.type, enabled=False):  # oneDNN's bfloat16 gradient is six times slower
            return self._blur(x.float()).to(x.dtype)

    def _blur(self, x: Tensor) -> Tensor:
        return functional.conv2d(x, self.filter, stride=self.stride, groups=x.shape[1])


@lru_cache(maxsize=8192)
def blurpool_cost(shape: Shape, kernel: int = 3, maximum: bool = False) -> Piece:
    """Closed form of `BlurPool`: perhaps a max pool, the padding, the filter.

    The exported graph computes a reflected blur of 3 as two averages, and what lies between has no border.
    """
    channels, height, width = shape
    border = -1 if kernel == 3 and min(height, width) > 1 else kernel - 1
    between = (channels, height + border, width + border)
    out = (channels, (height + 1) // 2, (width + 1) // 2)
    blur = operator(between, out, macs=kernel * kernel * channels * out[1] * out[2])
    before = (operator(shape, shape),) if maximum else ()
    return chain(shape, *before, operator(shape, between), blur)
