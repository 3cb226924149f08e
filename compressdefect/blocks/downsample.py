"""Ways to halve a map between stages: AADS, and the usual ones that a space's rules may forbid."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from torch import nn

from compressdefect.blocks.blurpool import BlurPool, blurpool_cost
from compressdefect.blocks.conv import Conv
from compressdefect.blocks.part import Part, Step
from compressdefect.cost.piece import Piece, Shape, convolution, operator

OPERATORS = ("aads", "conv", "pointwise", "maxpool")


class Downsampling(NamedTuple):
    """Which operator halves a map; kernel and maximum are AADS's own.

    Attributes:
        operator: "aads"; "conv", a strided 3×3; "pointwise", a strided 1×1; "maxpool", 3×3.
        kernel: size of the blur filter, 3 to 5.
        maximum: a max pool of stride 1 before the blur.
    """

    operator: str = "aads"
    kernel: int = 3
    maximum: bool = False


def downsample(channels: int, way: Downsampling) -> nn.Module:
    """(N, C, H, W) → (N, C, ⌈H/2⌉, ⌈W/2⌉) in the given way."""
    assert way.operator in OPERATORS, way.operator
    if way.operator == "aads":
        return BlurPool(channels, way.kernel, way.maximum)
    if way.operator == "maxpool":
        return nn.MaxPool2d(3, stride=2, padding=1)
    return Conv(channels, channels, kernel=3 if way.operator == "conv" else 1, stride=2)


def downsample_cost(shape: Shape, way: Downsampling) -> Piece:
    """Closed form of `downsample`."""
    channels, height, width = shape
    if way.operator == "aads":
        return blurpool_cost(shape, way.kernel, way.maximum)
    if way.operator == "maxpool":
        return operator(shape, (channels, (height + 1) // 2, (width + 1) // 2))
    return convolution(shape, channels, 3 if way.operator == "conv" else 1, 2)


@lru_cache(maxsize=256)
def downsample_part(way: Downsampling) -> Part:
    """What `downsample` makes, as data."""
    text, step, uncounted = _said(way)
    return Part(downsample, downsample_cost, (way,), f"{text}, stride 2", (step,), uncounted)


def _said(way: Downsampling) -> tuple[str, Step, tuple[str, ...]]:
    """What a layer table, a space's rules and a trace say of it."""
    if way.operator == "aads":
        blur, step = f"blur {way.kernel}×{way.kernel}", Step("aads", way.kernel, 2)
        return (f"max pool, {blur}", step, ("max_pool2d", "pad")) if way.maximum else (blur, step, ("pad",))
    if way.operator == "maxpool":
        return "maxpool", Step("maxpool", 3, 2), ("max_pool2d",)
    return way.operator, Step("conv", 3 if way.operator == "conv" else 1, 2), ()
