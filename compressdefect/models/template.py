"""What a family of networks must offer so that a search can price its designs and build the ones it keeps."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from torch import nn

from compressdefect.cost.cost import Cost
from compressdefect.cost.piece import Shape
from compressdefect.space.genotype import Genotype


class Reduction(NamedTuple):
    """An operator that lowers the resolution, as a space's rules see it.

    Attributes:
        where: the place in the net, such as "stem" or "stage2.entry".
        operator: "conv", "aads" or "maxpool".
        kernel: its window.
        stride: its step.
    """

    where: str
    operator: str
    kernel: int
    stride: int


class Layer(NamedTuple):
    """A row of a design's layer table; `out_shape` is (C, H, W)."""

    name: str
    operator: str
    out_shape: Shape
    params: int
    macs: int


class Template(Protocol):
    """The skeleton of a family.

    In a search, `reductions` and `cost` see thousands of genotypes, most of which are rejected on what they say;
    `build` sees the few that are left. `layers` describes the winner. All four read the same genotype, and a
    network's counts, its closed form and its layer table agree to the last unit.
    """

    name: str
    tasks: tuple[str, ...]

    def build(self, genotype: Genotype, *, channels: int, classes: int) -> nn.Module:
        """The network, untrained: normalised (N, channels, H, W) in, the task's outputs out."""

    def cost(self, genotype: Genotype, *, input_shape: Shape, classes: int) -> Cost:
        """Exact cost at one input size in closed form; normalisation counts in the memory."""

    def reductions(self, genotype: Genotype) -> tuple[Reduction, ...]:
        """Every operator that lowers the resolution of the trunk, the stem first."""

    def layers(self, genotype: Genotype, *, input_shape: Shape, classes: int) -> list[Layer]:
        """The layer table, in order of execution."""
