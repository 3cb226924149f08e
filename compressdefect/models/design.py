"""What a MODEL argument names: `lightdefectnet`, `lightdefectnet@0.5:head_columns=1`, `timm:resnet50`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from compressdefect.catalog import find_design
from compressdefect.cost.cost import Cost
from compressdefect.cost.piece import Shape
from compressdefect.errors import ModelError, known_names
from compressdefect.models.templates import template_of
from compressdefect.space.domain import Domain, FloatDomain, Value
from compressdefect.space.genotype import Genotype
from compressdefect.space.space import Space, describe

if TYPE_CHECKING:
    from torch import nn

_WORDS: dict[str, Value] = {"true": True, "on": True, "false": False, "off": False}


@dataclass(frozen=True)
class Design:
    """A network that can be built and priced: a genotype of one of our families, or a timm model.

    Attributes:
        name: as it was typed.
        genotype: the design, unless it is timm's.
        timm_name: the timm model, unless it is ours.
        input: height and width it is made for.
    """

    name: str
    genotype: Genotype | None = None
    timm_name: str | None = None
    input: int = 224

    def build(self, *, channels: int, classes: int) -> nn.Module:
        """The untrained network, without normalisation."""
        if self.genotype is not None:
            return template_of(self.genotype).build(self.genotype, channels=channels, classes=classes)
        from compressdefect.models import pretrained

        assert self.timm_name is not None, "a design is ours or timm's"
        return pretrained.build(self.timm_name, channels=channels, classes=classes)

    def cost(self, *, input_shape: Shape, classes: int) -> Cost:
        """Cost at an input (C, H, W): in closed form for our families, by tracing and exporting for timm's models."""
        if self.genotype is not None:
            return template_of(self.genotype).cost(self.genotype, input_shape=input_shape, classes=classes)
        from compressdefect.cost import counting
        from compressdefect.models.inspector import Inspector

        channels = input_shape[0]
        network = self.build(channels=channels, classes=classes)
        return counting.count(Inspector.from_statistics(network, [0.0] * channels, [1.0] * channels), input_shape)


def parse_design(text: str) -> Design:
    """Read `NAME[@WIDTH][:key=value,…]` or `timm:NAME`.

    WIDTH scales every width to the nearest value that the space allows; keys are the space's flat names.

    Raises:
        SpaceError: no space has a design of that name.
        ModelError: the width, a key, a value or a timm model is wrong.
    """
    if text.startswith("timm:"):
        from compressdefect.models import pretrained

        name = text.removeprefix("timm:")
        return Design(text, timm_name=name, input=pretrained.input_size(name))
    head, _, settings = text.partition(":")
    name, _, factor = head.partition("@")
    space, genotype = find_design(name)
    if factor or head.endswith("@"):
        genotype = scaled(space, genotype, _factor(factor))
    if settings or text.endswith(":"):
        genotype = _changed(space, genotype, settings)
    return Design(text, genotype, input=space.input or 224)


def scaled(space: Space, genotype: Genotype, factor: float) -> Genotype:
    """The design with every width multiplied by a factor, rounded to the nearest value of its domain."""
    flat = space.flatten(genotype)
    for name in space.widths:
        value = flat[name]
        assert isinstance(value, int | float), name
        flat[name] = nearest(space.dimensions[name], value * factor)
    return space.decode(flat)


def nearest(domain: Domain, target: float) -> Value:
    """The value of a domain of numbers that is nearest to a target.

    >>> from compressdefect.space.domain import IntDomain
    >>> nearest(IntDomain(8, 64, 8), 21.0), nearest(IntDomain(8, 64, 8), 1.0)
    (24, 8)
    """
    if isinstance(domain, FloatDomain):
        return min(max(target, domain.low), domain.high)
    return min(domain.values, key=lambda value: abs(float(value) - target))


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
