"""A search space: named domains with a scope and conditions, and the flat vector that samplers see.

A parameter belongs to the net, to each stage, or to each column of each stage. It may depend on one parameter of its
own scope that is declared above it, so the number of designs is a closed formula (``Space.size``).

Samplers see a flat vector, ``{"stem_width": 16, "stage1.depth": 2, "stage1.column2.vac": True, ...}``, in which every
parameter is always present. ``Space.decode`` drops what is inactive: the genotype holds only genes that matter, so two
vectors that mean the same design have the same fingerprint.

A space for several tasks has a net parameter ``task``; what only one of them needs depends on it. ``Space.for_task``
fixes it, so that a search for one task sees no other's genes.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal

from compressdefect.errors import SpaceError, known_names
from compressdefect.space.domain import ChoiceDomain, Domain, FloatDomain, Value
from compressdefect.space.genotype import Genes, Genotype, StageGenes

Scope = Literal["net", "stage", "column"]
SCOPES: tuple[Scope, ...] = ("net", "stage", "column")
TASK = "task"


@dataclass(frozen=True)
class Condition:
    """A parameter is active only while another of its scope has one of these values."""

    parameter: str
    values: tuple[Value, ...]

    def holds(self, genes: Genes) -> bool:
        """Whether the genes decoded so far activate the parameter."""
        return self.parameter in genes and genes[self.parameter] in self.values


@dataclass(frozen=True)
class Parameter:
    """One named domain.

    ``role="width"`` marks what a design's ``@WIDTH`` multiplies and repair may scale down, ``role="repair"`` what only
    repair may.
    """

    name: str
    scope: Scope
    domain: Domain
    when: Condition | None = None
    role: str | None = None


@dataclass(frozen=True)
class Space:
    """Everything a search may choose from, with the named designs and the rules that hold in it."""

    name: str
    template: str
    summary: str
    tasks: tuple[str, ...]
    stages: int
    parameters: tuple[Parameter, ...]
    column_count: str | None = None
    input: int | None = None
    fixed: Mapping[Scope, Genes] = field(default_factory=dict)
    rules: Mapping[str, bool] = field(default_factory=dict)
    designs: Mapping[str, Genotype] = field(default_factory=dict)
    inputs: Mapping[str, int] = field(default_factory=dict)
    """Height and width in pixels for tasks that have a size of their own; ``input`` is for all others."""
    portfolio: tuple[Genotype, ...] = ()
    """Designs that did well on other data, the most useful first: what a search asks before it proposes its own."""
    ladder: bool = False
    """Whether designs are compared by short trainings before some are trained to the end, unless a user says."""

    def for_task(self, task: str) -> Space:
        """The part of the space that is for one task: ``task`` fixed, its own input and designs, nobody else's genes.

        Raises:
            SpaceError: the space has no designs for the task.
        """
        if task not in self.tasks:
            raise SpaceError(f"{self.name} has no designs to {task}", got=", ".join(self.tasks))
        size = self.inputs.get(task, self.input)
        if all(p.name != TASK for p in self.scope("net")):
            return replace(self, tasks=(task,), input=size)
        kept: list[Parameter] = []
        gone = {TASK}
        for parameter in self.parameters:
            when = parameter.when
            own = when is None or (task in when.values if when.parameter == TASK else when.parameter not in gone)
            if parameter.scope == "net" and (parameter.name == TASK or not own):
                gone.add(parameter.name)
            else:
                kept.append(parameter)
        return replace(
            self,
            tasks=(task,),
            parameters=tuple(kept),
            input=size,
            fixed={**self.fixed, "net": {**self.fixed.get("net", {}), TASK: task}},
            designs={name: design for name, design in self.designs.items() if design.net.get(TASK) == task},
            portfolio=tuple(design for design in self.portfolio if design.net.get(TASK) == task),
        )

    def scope(self, scope: Scope) -> tuple[Parameter, ...]:
        """The parameters of one scope, in order of declaration."""
        return self._by_scope[scope]

    @cached_property
    def _by_scope(self) -> dict[Scope, tuple[Parameter, ...]]:
        return {scope: tuple(p for p in self.parameters if p.scope == scope) for scope in SCOPES}

    @cached_property
    def max_columns(self) -> int:
        """The most columns that a stage can have; 0 without a column scope."""
        counts = [p for p in self.scope("stage") if p.name == self.column_count]
        return int(max(counts[0].domain.values)) if counts and not isinstance(counts[0].domain, FloatDomain) else 0

    @cached_property
    def dimensions(self) -> dict[str, Domain]:
        """The flat vector: every parameter of every place, always active."""
        return {
            prefix + parameter.name: parameter.domain
            for scope, prefix in self._places
            for parameter in self.scope(scope)
        }

    @cached_property
    def widths(self) -> tuple[str, ...]:
        """The flat names of the parameters that repair may scale down."""
        return self._with_role("width", "repair")

    @cached_property
    def multiplied(self) -> tuple[str, ...]:
        """The flat names of the parameters that a design's ``@WIDTH`` multiplies."""
        return self._with_role("width")

    def _with_role(self, *roles: str) -> tuple[str, ...]:
        return tuple(prefix + p.name for scope, prefix in self._places for p in self.scope(scope) if p.role in roles)

    @cached_property
    def _places(self) -> list[tuple[Scope, str]]:
        places: list[tuple[Scope, str]] = [("net", "")]
        for stage in range(1, self.stages + 1):
            places.append(("stage", f"stage{stage}."))
            places += [("column", f"stage{stage}.column{c}.") for c in range(1, self.max_columns + 1)]
        return places

    def sample(self, rng: random.Random) -> dict[str, Value]:
        """Draw a flat vector, every parameter independently and uniformly."""
        return {name: domain.sample(rng) for name, domain in self.dimensions.items()}

    def decode(self, flat: Mapping[str, Value]) -> Genotype:
        """Read a flat vector as a design; inactive parameters are left out.

        Raises:
            KeyError: the vector lacks a parameter.
        """
        stages = []
        for stage in range(1, self.stages + 1):
            prefix = f"stage{stage}."
            genes = self._active("stage", prefix, flat)
            count = int(genes[self.column_count]) if self.column_count else 0
            columns = tuple(self._active("column", f"{prefix}column{c}.", flat) for c in range(1, count + 1))
            stages.append(StageGenes(genes, columns))
        return Genotype(self.template, self._active("net", "", flat), tuple(stages))

    def _active(self, scope: Scope, prefix: str, flat: Mapping[str, Value]) -> dict[str, Value]:
        genes = dict(self.fixed.get(scope, {}))
        for name, place, when in self._plans[prefix]:
            if when is None or genes.get(when.parameter) in when.values:
                genes[name] = flat[place]
        return genes

    @cached_property
    def _plans(self) -> dict[str, list[tuple[str, str, Condition | None]]]:
        """For each place, its parameters as (name, flat name, condition): decoding is a search's hot path."""
        return {
            prefix: [(p.name, prefix + p.name, p.when) for p in self.scope(scope)] for scope, prefix in self._places
        }

    def flatten(self, genotype: Genotype) -> dict[str, Value]:
        """The flat vector of a design of this space; inactive parameters get their domain's default.

        Raises:
            SpaceError: the design is of another template, has a gene that this space does not, lacks one, has a value
                outside its domain, or another value than a fixed one.
        """
        if genotype.template != self.template:
            raise SpaceError(f"a design of {self.name} is of the template {self.template}", got=genotype.template)
        if len(genotype.stages) != self.stages:
            raise SpaceError(f"a design of {self.name} has {self.stages} stages", got=len(genotype.stages))
        flat = self._flatten("net", "", genotype.net)
        for number, stage in enumerate(genotype.stages, 1):
            prefix = f"stage{number}."
            flat |= self._flatten("stage", prefix, stage.genes)
            if self.column_count and len(stage.columns) != stage.genes[self.column_count]:
                raise SpaceError(
                    f"{prefix}{self.column_count} must count the columns",
                    got=f"{stage.genes[self.column_count]} for {len(stage.columns)}",
                )
            for column in range(1, self.max_columns + 1):
                place = f"{prefix}column{column}."
                if column <= len(stage.columns):
                    flat |= self._flatten("column", place, stage.columns[column - 1])
                else:
                    flat |= {place + p.name: p.domain.default for p in self.scope("column")}
        return flat

    def _flatten(self, scope: Scope, prefix: str, genes: Genes) -> dict[str, Value]:
        fixed = self.fixed.get(scope, {})
        parameters = self._by_scope[scope]
        known = {p.name for p in parameters}
        for name, value in genes.items():
            if name in fixed and not ChoiceDomain((fixed[name],)).contains(value):
                raise SpaceError(f"{prefix}{name} is fixed in {self.name}", got=repr(value), fix=f"use {fixed[name]!r}")
            if name not in fixed and name not in known:
                raise SpaceError(f"{self.name} has no {scope} parameter {name}", fix=known_names(name, known))
        flat: dict[str, Value] = {}
        for parameter in parameters:
            active = parameter.when is None or parameter.when.holds({**fixed, **genes})
            if active != (parameter.name in genes):
                state = "is missing" if active else "does not apply here"
                raise SpaceError(f"{prefix}{parameter.name} {state} in a design of {self.name}")
            value = genes[parameter.name] if active else parameter.domain.default
            if active and not parameter.domain.contains(value):
                raise SpaceError(
                    f"{prefix}{parameter.name} is outside its domain",
                    got=value,
                    fix=f"use {describe(parameter.domain)}",
                )
            flat[prefix + parameter.name] = value
        return flat

    @cached_property
    def size(self) -> int | float:
        """How many different designs there are, in closed form; infinite with a real-valued parameter."""
        column = self._scope_size("column")
        per_stage = self._scope_size("stage", {self.column_count: column} if self.column_count else {})
        return self._scope_size("net") * per_stage**self.stages

    def _scope_size(self, scope: Scope, powers: Mapping[str | None, int | float] | None = None) -> int | float:
        """Sum over each root's values of the product over the parameters those values activate."""
        total: int | float = 1
        fixed = self.fixed.get(scope, {})
        for parameter in self._by_scope[scope]:
            if parameter.when is None or parameter.when.holds(fixed):
                total *= self._subtree_size(parameter, powers or {})
        return total

    def _subtree_size(self, parameter: Parameter, powers: Mapping[str | None, int | float]) -> int | float:
        dependants = [
            p for p in self._by_scope[parameter.scope] if p.when is not None and p.when.parameter == parameter.name
        ]
        if isinstance(parameter.domain, FloatDomain):
            return parameter.domain.size
        total: int | float = 0
        for value in parameter.domain.values:
            below: int | float = powers[parameter.name] ** int(value) if parameter.name in powers else 1
            for dependant in dependants:
                if dependant.when is not None and dependant.when.holds({parameter.name: value}):
                    below *= self._subtree_size(dependant, powers)
            total += below
        return total


def describe(domain: Domain) -> str:
    """Say in words which values a domain has."""
    if isinstance(domain, FloatDomain):
        return f"a number from {domain.low} to {domain.high}"
    values = domain.values
    if len(values) > 8:
        return f"{values[0]} to {values[-1]} in steps of {values[1] - values[0]}"  # type: ignore[operator]
    return ", ".join(str(value) for value in values)
