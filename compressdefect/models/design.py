"""A network as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self

from compressdefect.cost.cost import Cost
from compressdefect.cost.piece import Shape
from compressdefect.models.graph import Heads, Layer
from compressdefect.space.genotype import Genotype

if TYPE_CHECKING:
    from torch import nn


class Design(Protocol):
    """A network that can be priced, built and written into a bundle, without its weights.

    The life of one: a MODEL argument names it, ``for_task`` makes it one for a task (by way of ``designs.made_for``,
    which refuses those for others), ``cost`` prices and ``build`` builds it, and what ships keeps ``to_json``, from
    which ``from_json`` makes it again wherever the weights are loaded. A new kind of design, such as one made of
    another by plain-data edits, is one file with a class like ``FamilyDesign``, and one entry in ``designs.KINDS``.
    """

    kind: ClassVar[str]  # the name of the kind, which its JSON carries

    @classmethod
    def reads(cls, text: str) -> bool:
        """Whether a MODEL argument is of this kind; it may still be refused by ``parse``."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """The design that a MODEL argument names.

        Raises:
            SpaceError, ModelError: there is no such design.
        """

    @property
    def name(self) -> str:
        """As it was typed."""

    @property
    def input(self) -> int:
        """Height and width that it is made for, in pixels."""

    @property
    def title(self) -> str:
        """What tables call it: its name, and what was put on it to make it one for its task."""

    @property
    def tasks(self) -> tuple[str, ...]:
        """What it can be trained to do."""

    @property
    def genotype(self) -> Genotype | None:
        """The point of a space that it is; None where it is none."""

    def for_task(self, task: str) -> Self:
        """The design for one of its ``tasks``."""

    def build(self, *, channels: int, heads: Heads) -> nn.Module:
        """The untrained network, without normalisation: a tensor for each head comes out, of one head itself."""

    def cost(self, *, input_shape: Shape, heads: Heads, memory: bool = True) -> Cost:
        """Cost at an input (C, H, W); without ``memory`` its peak_bytes may be 0, where they take long to find."""

    def layers(self, *, input_shape: Shape, heads: Heads) -> list[Layer]:
        """The layer table; empty where nothing is known of the layers."""

    def to_json(self) -> dict[str, Any]:
        """All of it but name and input, as JSON-able data."""

    @classmethod
    def from_json(cls, data: Mapping[str, Any], *, name: str, input: int) -> Self:
        """Make again what ``to_json`` described."""


def traced_cost(design: Design, *, input_shape: Shape, heads: Heads, memory: bool = True) -> Cost:
    """What a design without a closed form costs: by tracing its network, and by exporting it for its ``memory``."""
    from compressdefect.cost import counting
    from compressdefect.models.inspector import Inspector

    channels = input_shape[0]
    network = design.build(channels=channels, heads=heads)
    bare = Inspector.from_statistics(network, [0.0] * channels, [1.0] * channels)
    return counting.count(bare, input_shape, memory=memory)
