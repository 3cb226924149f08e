"""What a family of networks must offer so that a search can price its designs and build the ones it keeps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from torch import nn

from compressdefect.cost.cost import Cost
from compressdefect.cost.piece import Shape
from compressdefect.errors import SpaceError, known_names
from compressdefect.space.domain import FloatDomain, Value
from compressdefect.space.genotype import Genotype
from compressdefect.space.space import Scope, Space

Heads = Mapping[str, tuple[str, ...]]
"""What a network answers: its heads by name, in order, each with the names of its outputs."""


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


class Gene(NamedTuple):
    """A gene that a family reads.

    Attributes:
        scope: where it belongs.
        legal: the values it may have.
        when: another gene of its scope and the values of that one which make this one needed; None: always.
    """

    scope: Scope
    legal: Sequence[Value]
    when: tuple[str, tuple[Value, ...]] | None = None


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
    genes: Mapping[str, Gene]

    def build(self, genotype: Genotype, *, channels: int, heads: Heads) -> nn.Module:
        """The network, untrained: normalised (N, channels, H, W) in, a tensor for each head out, of one head itself."""

    def cost(self, genotype: Genotype, *, input_shape: Shape, heads: Heads) -> Cost:
        """Exact cost at one input size in closed form; normalisation counts in the memory."""

    def reductions(self, genotype: Genotype) -> tuple[Reduction, ...]:
        """Every operator that lowers the resolution of the trunk, the stem first."""

    def layers(self, genotype: Genotype, *, input_shape: Shape, heads: Heads) -> list[Layer]:
        """The layer table, in order of execution."""


def check_genes(space: Space, template: Template) -> None:
    """Check that a space gives its template every gene it reads, no other, and only legal values.

    Raises:
        SpaceError: a gene is unknown, missing or can be illegal.
    """
    for task in space.tasks:
        if task not in template.tasks:
            fix = known_names(task, template.tasks)
            raise SpaceError(f"{space.name}: {template.name} has no networks for the task", got=task, fix=fix)
    if space.stages < 1:
        raise SpaceError(f"{space.name}: space.stages must be at least 1", got=space.stages)
    offered = _offered(space)
    for name, (scope, values) in offered.items():
        gene = template.genes.get(name)
        if gene is None or gene.scope != scope:
            of_scope = [known for known, other in template.genes.items() if other.scope == scope]
            raise SpaceError(
                f"{space.name}: {template.name} reads no {scope} gene {name}", fix=known_names(name, of_scope)
            )
        for value in values:
            if not _is_legal(value, gene.legal):
                raise SpaceError(
                    f"{space.name}: {name} cannot be that", got=repr(value), fix=f"use {_some(gene.legal)}"
                )
    for name, gene in template.genes.items():
        if name not in offered and (gene.when is None or _can_be(offered, *gene.when)):
            raise SpaceError(
                f"{space.name}: the {gene.scope} gene {name} is missing", fix=f"give it {_some(gene.legal)}"
            )


def _offered(space: Space) -> dict[str, tuple[Scope, Sequence[Value]]]:
    """Every gene of a space, searched or fixed: its scope and the values it can have."""
    found: dict[str, tuple[Scope, Sequence[Value]]] = {}
    for scope, genes in space.fixed.items():
        found |= {name: (scope, (value,)) for name, value in genes.items()}
    for parameter in space.parameters:
        domain = parameter.domain
        values = (domain.low, domain.high) if isinstance(domain, FloatDomain) else domain.values
        found[parameter.name] = (parameter.scope, values)
    return found


def _is_legal(value: Value, legal: Sequence[Value]) -> bool:
    return value in legal and isinstance(value, bool) == isinstance(legal[0], bool) and not isinstance(value, float)


def _can_be(offered: Mapping[str, tuple[Scope, Sequence[Value]]], name: str, values: tuple[Value, ...]) -> bool:
    return name in offered and any(value in values for value in offered[name][1])


def _some(legal: Sequence[Value]) -> str:
    if isinstance(legal, range):
        step = "" if legal.step == 1 else f" in steps of {legal.step}"
        return f"whole numbers from {legal[0]} to {legal[-1]}{step}"
    return ", ".join(map(str, legal))
