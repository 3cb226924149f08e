"""Designs that were made of another by taking channels out of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

from compressdefect.cost.cost import Cost
from compressdefect.cost.piece import Shape
from compressdefect.errors import ModelError
from compressdefect.models.design import Design, traced_cost
from compressdefect.models.edits import Edits, apply_edits, edits_from_json, edits_to_json
from compressdefect.models.graph import Heads, Layer
from compressdefect.space.genotype import Genotype

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class EditedDesign:
    """Another design and which channels of its layers are kept; see ``Design``."""

    name: str
    base: Design
    edits: Edits = field(repr=False)
    kind: ClassVar[str] = "edited"
    genotype: ClassVar[Genotype | None] = None  # the edits are of no space

    @classmethod
    def reads(cls, text: str) -> bool:
        """Never: such a design is named by the run or bundle that it was made in."""
        return False

    @classmethod
    def parse(cls, text: str) -> Self:
        """See ``Design.parse``."""
        raise ModelError("a pruned design cannot be typed", got=text, fix="name its run or bundle")

    @property
    def input(self) -> int:
        """That of the base."""
        return self.base.input

    @property
    def title(self) -> str:
        """Its name."""
        return self.name

    @property
    def tasks(self) -> tuple[str, ...]:
        """Those of the base."""
        return self.base.tasks

    def for_task(self, task: str) -> Self:
        """See ``Design.for_task``."""
        return replace(self, base=self.base.for_task(task))

    def build(self, *, channels: int, heads: Heads) -> nn.Module:
        """See ``Design.build``."""
        network = self.base.build(channels=channels, heads=heads)
        apply_edits(network, self.edits)
        return network

    def cost(self, *, input_shape: Shape, heads: Heads, memory: bool = True) -> Cost:
        """Cost at an input (C, H, W), counted by tracing the network."""
        return traced_cost(self, input_shape=input_shape, heads=heads, memory=memory)

    def layers(self, *, input_shape: Shape, heads: Heads) -> list[Layer]:
        """None: the base's are larger."""
        return []

    def to_json(self) -> dict[str, Any]:
        """See ``Design.to_json``."""
        return {"kind": self.kind, "base": self.base.to_json(), "edits": edits_to_json(self.edits)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any], *, name: str, input: int) -> Self:
        """See ``Design.from_json``; the base is a design by now (``designs.read_design``)."""
        return cls(name, data["base"], edits_from_json(data["edits"]))
