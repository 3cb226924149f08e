"""What a family of networks must offer so that a search can price its designs and build the ones it keeps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from compressdefect.errors import SpaceError, known_names
from compressdefect.models.graph import Graph, Heads
from compressdefect.space.domain import FloatDomain, Value
from compressdefect.space.genotype import Genotype
from compressdefect.space.space import Scope, Space


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


class Template(Protocol):
    """A family of networks: one description, from which everything else is derived.

    A new family is one file with a class like ``lightdefectnet.LightDefectNetTemplate``, an entry in
    ``templates.TEMPLATES``, and a space of the same name in ``search_spaces/``. It says which ``tasks`` its networks
    are for and which ``genes`` a space must give it; ``describe`` turns the genes of one design into a ``Graph``:
    parts from ``blocks`` (or new ones), each by its name and with the names of the maps that it reads. Parts that run
    one after another are a ``graph.series``; a branch is a map that several nodes read, a join a part of several
    inputs. The classifier of this family is a stem, a bottleneck and a head::

        def describe(self, genotype, heads):
            ((head, outputs),) = heads.items()
            parts = [("stem", conv_part(16, 3, 2)), ("body", lw_part(genotype.net["width"]))]
            return Graph(series([*parts, ("head", head_part(len(outputs)))]), {head: "head"})

    In a search, thousands of genotypes are described, and most are rejected on what ``Graph.cost`` and
    ``Graph.reductions`` say. The few that are left are built: ``Graph.build`` makes a network that runs the same nodes.
    ``Graph.layers`` describes the winner. Because there is one description, a network's counts, its closed form and its
    layer table agree to the last unit.

    A template holds no state: it is sent to worker processes as it is, which look up no family.
    """

    name: str
    tasks: tuple[str, ...]
    genes: Mapping[str, Gene]

    def describe(self, genotype: Genotype, heads: Heads) -> Graph:
        """The network of a design, with these heads."""


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
