"""A block as data: enough to build it, to price it, and to say what a layer table and a space's rules see of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from torch import nn

from compressdefect.cost.piece import Piece, Shape


class Step(NamedTuple):
    """How a part lowers the resolution.

    Attributes:
        operator: "conv", "aads" or "maxpool".
        kernel: its window.
        stride: its step.
    """

    operator: str
    kernel: int
    stride: int


class Row(NamedTuple):
    """A row of a part in a layer table; the name is empty where the part is one row."""

    name: str
    operator: str
    piece: Piece


class Part(NamedTuple):
    """A block and its options, without its inputs: those are whatever a graph hands to it.

    A part of one input may be any number of operators. A part of several is one, so that all its inputs are live while
    it runs, whoever else reads them.

    Attributes:
        module: makes the module, untrained, from the channels of its inputs and the options.
        price: its closed form, from the shapes (C, H, W) of its inputs and the options.
        options: plain, hashable values.
        operator: what a layer table calls it.
        steps: its operators that lower the resolution of the trunk.
        uncounted: what fvcore names as run but not counted, beside sums and products, which every network has.
        table: its rows in a layer table, from what ``price`` takes, where it is more than one.
    """

    module: Callable[..., nn.Module]
    price: Callable[..., Piece]
    options: tuple[Any, ...]
    operator: str
    steps: tuple[Step, ...] = ()
    uncounted: tuple[str, ...] = ()
    table: Callable[..., list[Row]] | None = None

    def build(self, *channels: int) -> nn.Module:
        """The module for inputs of so many channels."""
        return self.module(*channels, *self.options)

    def cost(self, *shapes: Shape) -> Piece:
        """The closed form on inputs of these shapes."""
        return self.price(*shapes, *self.options)

    def rows(self, *shapes: Shape) -> list[Row]:
        """The rows in a layer table; their params and macs add up to the cost's."""
        if self.table is None:
            return [Row("", self.operator, self.cost(*shapes))]
        return self.table(*shapes, *self.options)


def strided(stride: int) -> str:
    """How a layer table says that an operator has a stride.

    >>> "conv 3×3" + strided(2), "conv 3×3" + strided(1)
    ('conv 3×3, stride 2', 'conv 3×3')
    """
    return f", stride {stride}" if stride > 1 else ""
