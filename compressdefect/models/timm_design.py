"""timm's models: `timm:resnet50`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self

from compressdefect.cost.cost import Cost
from compressdefect.cost.piece import Shape
from compressdefect.models.design import traced_cost
from compressdefect.models.graph import Heads, Layer
from compressdefect.space.genotype import Genotype

if TYPE_CHECKING:
    from torch import nn

    from compressdefect.models.pretrained import Weights

PREFIX = "timm:"


class Form(NamedTuple):
    """What a model becomes for a task: what is put on it, in words, and what builds it."""

    added: str
    build: Callable[..., nn.Module]


def _classifier(model: str, **options: Any) -> nn.Module:
    from compressdefect.models import pretrained

    return pretrained.build(model, **options)


def _segmenter(model: str, **options: Any) -> nn.Module:
    from compressdefect.models import pretrained

    return pretrained.build_segmenter(model, **options)


TASKS: Mapping[str, Form] = {"classify": Form("", _classifier), "segment": Form(" + decoder", _segmenter)}


@dataclass(frozen=True)
class TimmDesign:
    """A model of timm's; ``task`` is None while it can still become one for any. See ``Design``."""

    name: str
    model: str
    input: int = 224
    task: str | None = None
    kind: ClassVar[str] = "timm"
    genotype: ClassVar[Genotype | None] = None

    @classmethod
    def reads(cls, text: str) -> bool:
        """See ``Design.reads``."""
        return text.startswith(PREFIX)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `timm:NAME`.

        Raises:
            ModelError: timm has no such model.
        """
        from compressdefect.models import pretrained

        model = text.removeprefix(PREFIX)
        return cls(text, model, pretrained.input_size(model))

    @property
    def title(self) -> str:
        """Its name; to segment, timm's model is but the encoder of the network."""
        return self.name + (TASKS[self.task].added if self.task else "")

    @property
    def tasks(self) -> tuple[str, ...]:
        """Several, until one is chosen."""
        return (self.task,) if self.task else tuple(TASKS)

    def for_task(self, task: str) -> Self:
        """The same model as what a task needs; see ``Design.for_task``."""
        return replace(self, task=task)

    def build(self, *, channels: int, heads: Heads) -> nn.Module:
        """See ``Design.build``."""
        return TASKS[self.tasks[0]].build(self.model, channels=channels, heads=heads)

    def begun(self, weights: Weights, *, channels: int, heads: Heads) -> nn.Module:
        """The network with weights to be trained on from, of a file or timm's own; its head is new."""
        return TASKS[self.tasks[0]].build(self.model, channels=channels, heads=heads, weights=weights)

    def cost(self, *, input_shape: Shape, heads: Heads, memory: bool = True) -> Cost:
        """Cost at an input (C, H, W), by tracing the network, and by exporting it for its ``memory``."""
        return traced_cost(self, input_shape=input_shape, heads=heads, memory=memory)

    def layers(self, *, input_shape: Shape, heads: Heads) -> list[Layer]:
        """None: of timm's models the layers are not known."""
        return []

    def to_json(self) -> dict[str, Any]:
        """See ``Design.to_json``."""
        return {"kind": self.kind, "timm": self.model, "task": self.task}

    @classmethod
    def from_json(cls, data: Mapping[str, Any], *, name: str, input: int) -> Self:
        """See ``Design.from_json``."""
        return cls(name, data["timm"], input, data["task"])
