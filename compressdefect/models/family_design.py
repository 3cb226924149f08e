"""Designs of our own families: `lw@0.35`, `lightdefectnet@0.5:head_columns=1`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

from compressdefect.catalog import designs, find_design
from compressdefect.cost.cost import Cost
from compressdefect.cost.piece import Shape
from compressdefect.errors import ModelError, known_names
from compressdefect.models.graph import Graph, Heads, Layer
from compressdefect.models.templates import task_of, template_of
from compressdefect.space.domain import Domain, FloatDomain, Value
from compressdefect.space.genotype import Genotype
from compressdefect.space.space import Space, describe

if TYPE_CHECKING:
    from torch import nn

_WORDS: dict[str, Value] = {"true": True, "on": True, "false": False, "off": False}


@dataclass(frozen=True)
class FamilyDesign:
    """A genotype of a family; see ``Design``."""

    name: str
    genotype: Genotype
    input: int = 224
    kind: ClassVar[str] = "family"

    @classmethod
    def reads(cls, text: str) -> bool:
        """Whether it begins with the name of a design."""
        head = text.partition(":")[0]
        return not designs().keys().isdisjoint({head, head.partition("@")[0]})

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `NAME[@WIDTH][:key=value,…]`.

        WIDTH multiplies every width and rounds within what the space allows; keys are the space's flat names.

        Raises:
            SpaceError: no space has a design of that name.
            ModelError: the width, a key or a value is wrong.
        """
        head, _, settings = text.partition(":")
        name, _, factor = head.partition("@")
        known = head in designs()
        space, genotype = find_design(head if known else name)
        if not known and "@" in head:
            genotype = scaled(space, genotype, _factor(factor))
        if settings or text.endswith(":"):
            genotype = _changed(space, genotype, settings)
        return cls(text, genotype, space.for_task(task_of(genotype)).input or 224)

    @property
    def title(self) -> str:
        """Its name."""
        return self.name

    @property
    def tasks(self) -> tuple[str, ...]:
        """The one task that its genotype is for."""
        return (task_of(self.genotype),)

    def for_task(self, task: str) -> Self:
        """The design itself; see ``Design.for_task``."""
        return self

    def build(self, *, channels: int, heads: Heads) -> nn.Module:
        """See ``Design.build``."""
        return self._graph(heads).build(channels)

    def cost(self, *, input_shape: Shape, heads: Heads, memory: bool = True) -> Cost:
        """Cost at an input (C, H, W), in closed form."""
        graph = self._graph(heads)
        return replace(graph.cost(input_shape), uncounted=graph.uncounted)

    def layers(self, *, input_shape: Shape, heads: Heads) -> list[Layer]:
        """See ``Design.layers``."""
        return self._graph(heads).layers(input_shape)

    def _graph(self, heads: Heads) -> Graph:
        return template_of(self.genotype).describe(self.genotype, heads)

    def to_json(self) -> dict[str, Any]:
        """See ``Design.to_json``."""
        return {"kind": self.kind, "genotype": self.genotype.to_json()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any], *, name: str, input: int) -> Self:
        """See ``Design.from_json``."""
        return cls(name, Genotype.from_json(data.get("genotype")), input)


def scaled(space: Space, genotype: Genotype, factor: float) -> Genotype:
    """The design with every width multiplied by a factor, each rounded within its domain (see `nearest`)."""
    flat = space.flatten(genotype)
    for name in space.multiplied:
        value = flat[name]
        assert isinstance(value, int | float), name
        flat[name] = nearest(space.dimensions[name], value * factor)
    return space.decode(flat)


def nearest(domain: Domain, target: float) -> Value:
    """The value of a domain of numbers that is nearest to a target, not below 90 % of it where there is one.

    It is how MobileNets round a multiplied width; of two that are as near, the larger.

    >>> from compressdefect.space.domain import IntDomain
    >>> [nearest(IntDomain(8, 64, 8), width) for width in (1.0, 21.0, 32 * 0.35, 200.0)]
    [8, 24, 16, 64]
    """
    if isinstance(domain, FloatDomain):
        return min(max(target, domain.low), domain.high)
    values = [float(value) for value in domain.values]
    enough = [value for value in values if value >= 0.9 * target] or [max(values)]
    best = min(enough, key=lambda value: (abs(value - target), -value))
    return domain.values[values.index(best)]


def _factor(text: str) -> float:
    try:
        factor = float(text)
    except ValueError:
        factor = 0.0
    if not 0 < factor < 100:
        raise ModelError("the width after @ must be a positive number", got=text or "nothing", fix="write NAME@0.5")
    return factor


def _changed(space: Space, genotype: Genotype, settings: str) -> Genotype:
    flat = space.flatten(genotype)
    for setting in settings.split(","):
        key, equals, text = setting.partition("=")
        if not equals:
            raise ModelError("a setting of a design is key=value", got=setting or "nothing", fix="write NAME:key=value")
        if key not in space.dimensions:
            raise ModelError(f"{space.name} has no parameter {key}", fix=known_names(key, space.dimensions))
        domain = space.dimensions[key]
        value = _value(text)
        if not domain.contains(value):
            raise ModelError(f"{key} is outside its domain", got=text, fix=f"use {describe(domain)}")
        flat[key] = value
    return space.decode(flat)


def _value(text: str) -> Value:
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
