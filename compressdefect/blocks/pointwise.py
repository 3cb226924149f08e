"""A strided 1×1 convolution, safe to train.

oneDNN writes past its memory where it differentiates one of few channels in channels_last (uxlfoundation/oneDNN, issue
6035: open in torch 2.13), which ends the process or changes weights in silence. Of stride 1 it is right.
"""

from __future__ import annotations

from torch import Tensor, nn


class StridedPointwiseConv2d(nn.Conv2d):
    """(N, C, H, W) → (N, channels, ⌈H/stride⌉, ⌈W/stride⌉), without bias; of the pixels it skips none are read."""

    def __init__(self, inputs: int, channels: int, stride: int, groups: int = 1) -> None:
        super().__init__(inputs, channels, 1, stride, groups=groups, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve; one operator in an exported graph."""
        if not self.training:
            return super().forward(x)
        kept = x[:, :, :: self.stride[0], :: self.stride[1]]
        return nn.functional.conv2d(kept, self.weight, groups=self.groups)
