"""LW bottleneck (Huang et al., 2020, §3.2): a pyramid of small depthwise kernels, then one linear pointwise.

Every kernel of the set is a depthwise path of its own with batch norm and ReLU6; the paths are concatenated and a
pointwise convolution without activation shrinks them. The input is added where the shapes agree. With the paper's
eight kernels the convolutions have (33 + 8·Cout)·Cin weights (Eq. 5).
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.nn import functional

from compressdefect.blocks.batch_norm import BatchNorm
from compressdefect.blocks.depthwise import depthwise
from compressdefect.blocks.part import Part, Step, strided
from compressdefect.blocks.same_conv import Kernel, SameConv, same_conv_cost, uncounted
from compressdefect.blocks.wide import narrow, widen
from compressdefect.cost.piece import Piece, Shape, chain, concatenated, skip

Kernels = tuple[Kernel, ...]

PYRAMID: Kernels = ((5, 1), (1, 5), (3, 1), (1, 3), (2, 1), (1, 2), (2, 2), (3, 3))

KERNEL_SETS: Mapping[str, Kernels] = {
    "pyramid": PYRAMID,
    "odd": ((5, 1), (1, 5), (3, 1), (1, 3), (3, 3)),
    "lines": ((5, 1), (1, 5), (3, 1), (1, 3)),
    "cross": ((5, 1), (1, 5), (3, 3)),
    "squares": ((3, 3), (5, 5)),
    "square": ((3, 3),),
}
"""Sets by name: the paper's, and parts of it. A set of n kernels makes the pointwise convolution read n·Cin maps."""


MANY_CHANNELS = 32  # of maps that are copied as fast by a concatenation as by a convolution


class LWBottleneck(nn.Module):
    """(N, C, H, W) → (N, channels, ⌈H/stride⌉, ⌈W/stride⌉); with stride 1 and channels = C the input is added."""

    def __init__(self, inputs: int, channels: int, kernels: Kernels = PYRAMID, stride: int = 1) -> None:
        super().__init__()
        self.paths = nn.ModuleList(SameConv(inputs, inputs, kernel, stride, groups=inputs) for kernel in kernels)
        self.shrink = SameConv(len(kernels) * inputs, channels, relu=False)
        self.adds = stride == 1 and inputs == channels

    def forward(self, x: Tensor) -> Tensor:
        """Run the paths, concatenate, shrink, add."""
        shrunk: Tensor = self.shrink(torch.cat([path(x) for path in self.paths], dim=1))
        return x + shrunk if self.adds else shrunk

    def training_form(self) -> WideBottleneck | None:
        """The same bottleneck with its paths side by side, to train; None where there is one path."""
        return WideBottleneck(self) if len(self.paths) > 1 else None


class WideBottleneck(nn.Module):
    """A bottleneck that runs its paths as few wide ones, and all their batch norms as one.

    The input is repeated for each path of a family of kernels (`families`), which run as one depthwise convolution:
    each kernel lies within the largest of its family, where a mask keeps the rest 0. Forward and backward of the
    paper's eight kernels take 16 ms instead of 23 on 16 × 8 × 56 × 56, and two thirds to nine tenths of the time on
    other maps of `lw@0.35` (1 thread, an AMD EPYC with AVX-512, bfloat16).
    """

    def __init__(self, block: LWBottleneck) -> None:
        super().__init__()
        layers = [_layers(path) for path in block.paths]
        kernels = [(layer.kernel_size[0], layer.kernel_size[1]) for layer, _ in layers]
        self.families = families(kernels)
        self.order = [index for family in self.families for index in family]
        self.windows: list[list[tuple[slice, slice]]] = []
        for number, family in enumerate(self.families):
            sides = [max(kernels[index][axis] | 1 for index in family) for axis in (0, 1)]
            windows = [_window(kernels[index], sides) for index in family]
            weight, mask = torch.zeros(2, len(family), layers[0][0].out_channels, 1, *sides)
            for place, (index, window) in enumerate(zip(family, windows, strict=True)):
                weight[place][..., *window] = layers[index][0].weight.detach()
                mask[place][..., *window] = 1
            self.windows.append(windows)
            self.register_parameter(f"family{number}_weight", nn.Parameter(weight.flatten(0, 1)))
            self.register_buffer(f"family{number}_mask", mask.flatten(0, 1))
        self.stride = layers[0][0].stride[0]
        self.norm = widen([layers[index][1] for index in self.order])
        self.relu = nn.ReLU6(inplace=True)
        self.shrink = copy.deepcopy(block.shrink)
        self._reorder(self.shrink, self.order)
        self.adds = block.adds

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) → (N, channels, ⌈H/stride⌉, ⌈W/stride⌉)."""
        maps = [self._run(number, x) for number in range(len(self.families))]
        shrunk: Tensor = self.shrink(self.relu(self.norm(torch.cat(maps, dim=1))))
        return x + shrunk if self.adds else shrunk

    def _run(self, number: int, x: Tensor) -> Tensor:
        """One family's paths; of rows or columns that a stride skips and no kernel reaches, none are read."""
        weight = self._weight(number) * self.get_buffer(f"family{number}_mask")
        strides = [self.stride, self.stride]
        for axis in (0, 1):
            if weight.shape[2 + axis] == 1 and self.stride > 1:
                x = x[:, :, :: self.stride] if axis == 0 else x[:, :, :, :: self.stride]
                strides[axis] = 1
        padding = (weight.shape[2] // 2, weight.shape[3] // 2)
        return depthwise(repeated(x, len(self.families[number])), weight, (strides[0], strides[1]), padding)

    def _weight(self, number: int) -> nn.Parameter:
        """One family's kernels (paths · C, 1, h, w)."""
        return self.get_parameter(f"family{number}_weight")

    def give_back(self, block: LWBottleneck) -> None:
        """Write what was trained into the bottleneck that this one was made of."""
        layers = [_layers(path) for path in block.paths]
        narrow(self.norm, [layers[index][1] for index in self.order])
        with torch.no_grad():
            for number, (family, windows) in enumerate(zip(self.families, self.windows, strict=True)):
                parts = self._weight(number).chunk(len(family))
                for index, window, part in zip(family, windows, parts, strict=True):
                    layers[index][0].weight.copy_(part[..., *window])
        block.shrink.load_state_dict(self.shrink.state_dict())
        self._reorder(block.shrink, [self.order.index(index) for index in range(len(self.order))])

    @staticmethod
    def _reorder(shrink: SameConv, order: Sequence[int]) -> None:
        """Have a pointwise convolution read the paths' maps in another order."""
        weight = shrink[0].weight
        assert isinstance(weight, nn.Parameter)
        parts = weight.detach().chunk(len(order), dim=1)
        weight.data = torch.cat([parts[index] for index in order], dim=1)


def families(kernels: Sequence[Kernel]) -> list[list[int]]:
    """Which kernels run as one: those of one column, those of one row, and the others.

    >>> [[PYRAMID[index] for index in family] for family in families(PYRAMID)]
    [[(5, 1), (3, 1), (2, 1)], [(1, 5), (1, 3), (1, 2)], [(2, 2), (3, 3)]]
    """
    found: dict[str, list[int]] = {}
    for index, (height, width) in enumerate(kernels):
        found.setdefault("column" if width == 1 else "row" if height == 1 else "square", []).append(index)
    return list(found.values())


def repeated(x: Tensor, count: int) -> Tensor:
    """Maps (N, C, H, W) so many times, (N, count · C, H, W).

    Few channels are copied by a pointwise convolution with ones: exact, and on a CPU up to four times as fast as a
    concatenation of maps in channels_last, whose gradient it sums in float32.
    """
    if count == 1:
        return x
    channels = x.shape[1]
    if channels >= MANY_CHANNELS or x.device.type != "cpu":
        return torch.cat([x] * count, dim=1)
    ones = torch.eye(channels, dtype=x.dtype).repeat(count, 1).view(count * channels, channels, 1, 1)
    return functional.conv2d(x, ones)


def _layers(path: nn.Module) -> tuple[nn.Conv2d, BatchNorm]:
    """The convolution and the batch norm of a path."""
    (convolution,) = (layer for layer in path.children() if isinstance(layer, nn.Conv2d))
    (norm,) = (layer for layer in path.children() if isinstance(layer, BatchNorm))
    return convolution, norm


def _window(kernel: Kernel, sides: Sequence[int]) -> tuple[slice, slice]:
    """Where a kernel lies within a larger one of odd sides, so that both read the same place."""
    rows, columns = (
        slice(side // 2 - (own - 1) // 2, side // 2 + own // 2 + 1) for own, side in zip(kernel, sides, strict=True)
    )
    return rows, columns


@lru_cache(maxsize=16384)
def lw_cost(shape: Shape, channels: int, kernels: Kernels = PYRAMID, stride: int = 1) -> Piece:
    """Closed form of `LWBottleneck`."""
    paths = concatenated(shape, [same_conv_cost(shape, shape[0], kernel, stride, shape[0]) for kernel in kernels])
    body = chain(shape, paths, same_conv_cost(paths.out, channels))
    return skip(shape, body) if stride == 1 and channels == shape[0] else body


@lru_cache(maxsize=4096)
def lw_part(channels: int, kernels: Kernels = PYRAMID, stride: int = 1) -> Part:
    """An `LWBottleneck` as data; each of its paths lowers the resolution by itself."""
    return Part(
        LWBottleneck,
        lw_cost,
        (channels, kernels, stride),
        f"bottleneck {', '.join(f'{height}×{width}' for height, width in kernels)}{strided(stride)}",
        tuple(Step("conv", max(kernel), stride) for kernel in kernels) if stride > 1 else (),
        uncounted(kernels),
    )
