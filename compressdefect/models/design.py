"""What a MODEL argument names: `lw@0.35`, `lightdefectnet@0.5:head_columns=1`, `timm:resnet50`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from compressdefect.catalog import designs, find_design
from compressdefect.cost.cost import Cost
from compressdefect.cost.piece import Shape
from compressdefect.errors import ModelError, known_names
from compressdefect.models.template import Heads
from compressdefect.models.templates import task_of, template_of
from compressdefect.space.domain import Domain, FloatDomain, Value
from compressdefect.space.genotype import Genotype
from compressdefect.space.space import Space, describe

if TYPE_CHECKING:
    from torch import nn

TIMM_TASKS = {"classify": "", "segment": " + decoder"}  # what a timm model can do, and what is put on it for that
_WORDS: dict[str, Value] = {"true": True, "on": True, "false": False, "off": False}


@dataclass(frozen=True)
class Design:
    """A network that can be built and priced: a genotype of one of our families, or a timm model.

    Attributes:
        name: as it was typed.
        genotype: the design, unless it is timm's.
        timm_name: the timm model, unless it is ours.
        input: height and width it is made for.
        timm_task: what a timm model is built for, once that is decided.
    """

    name: str
    genotype: Genotype | None = None
    timm_name: str | None = None
    input: int = 224
    timm_task: str | None = None

    @property
    def task(self) -> str | None:
        """What the network is for; None while a timm model can still become either."""
        return self.timm_task if self.genotype is None else task_of(self.genotype)

    @property
    def addition(self) -> str:
        """What a table adds to the name: a timm model may be but the encoder of the network."""
        return TIMM_TASKS.get(self.timm_task or "", "") if self.genotype is None else ""

    def for_task(self, task: str) -> Design:
        """The design for a task: a timm model becomes what is asked, one of ours is what it is.

        Raises:
            ModelError: it is for another task.
        """
        if self.genotype is None:
            if task not in TIMM_TASKS:
                raise ModelError(f"{self.name} cannot {task}", fix=f"a timm model can {' or '.join(TIMM_TASKS)}")
            return replace(self, timm_task=task)
        if task != self.task:
            raise ModelError(f"{self.name} cannot {task}, it is made to {self.task}", fix=_designs_to(task))
        return self

    def build(self, *, channels: int, heads: Heads) -> nn.Module:
        """The untrained network, without normalisation."""
        if self.genotype is not None:
            return template_of(self.genotype).build(self.genotype, channels=channels, heads=heads)
        from compressdefect.models import pretrained

        assert self.timm_name is not None, "a design is ours or timm's"
        build = pretrained.build_segmenter if self.timm_task == "segment" else pretrained.build
        return build(self.timm_name, channels=channels, heads=heads)

    def cost(self, *, input_shape: Shape, heads: Heads) -> Cost:
        """Cost at an input (C, H, W): in closed form for our families, by tracing and exporting for timm's models."""
        if self.genotype is not None:
            return template_of(self.genotype).cost(self.genotype, input_shape=input_shape, heads=heads)
        from compressdefect.cost import counting
        from compressdefect.models.inspector import Inspector

        channels = input_shape[0]
        network = self.build(channels=channels, heads=heads)
        return counting.count(Inspector.from_statistics(network, [0.0] * channels, [1.0] * channels), input_shape)


def parse_design(text: str) -> Design:
    """Read `NAME[@WIDTH][:key=value,…]` or `timm:NAME`.

    WIDTH multiplies every width and rounds within what the space allows; keys are the space's flat names.

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
    known = head in designs()
    space, genotype = find_design(head if known else name)
    if not known and "@" in head:
        genotype = scaled(space, genotype, _factor(factor))
    if settings or text.endswith(":"):
        genotype = _changed(space, genotype, settings)
    return Design(text, genotype, input=space.for_task(task_of(genotype)).input or 224)


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


def _designs_to(task: str) -> str:
    names = [name for name, space in designs().items() if task_of(space.designs[name]) == task]
    return f"designs to {task}: {', '.join(names) or 'none'}, and timm:NAME"


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
