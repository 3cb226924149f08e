"""The cost gate: does a design keep the budgets and rules? Asked before anything is built or trained."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from compressdefect.cost.cost import Cost
from compressdefect.models.graph import Graph, Heads
from compressdefect.models.template import Template
from compressdefect.search.constraints import Budgets, Check, active_rules
from compressdefect.space.genotype import Genotype
from compressdefect.space.space import Space

Latency = Callable[[Genotype], float]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the gate found in one design; the latency only when it was measured."""

    genotype: Genotype
    cost: Cost
    checks: tuple[Check, ...]
    latency_ms: float | None = None

    @property
    def feasible(self) -> bool:
        """Whether every constraint is met."""
        return all(check.violation <= 0 for check in self.checks)

    @property
    def violated(self) -> tuple[Check, ...]:
        """The constraints that are not met."""
        return tuple(check for check in self.checks if check.violation > 0)

    @property
    def reason(self) -> str:
        """The constraints that are not met, in words; empty when the design is feasible."""
        return "; ".join(check.text for check in self.violated)

    @property
    def constraints(self) -> dict[str, float]:
        """Signed violations by name, at most 0 where feasible."""
        return {check.name: check.violation for check in self.checks}


class Gate:
    """Checks designs of one space: rules and closed-form cost first, the measured latency only when those pass.

    Args:
        space: whose template builds the designs and whose rules hold.
        template: the space's template.
        budgets: the limits.
        input_shape: (C, H, W).
        heads: what the network answers.
        latency: measures a design in ms per sample; needed with a latency budget or an objective that uses latency.
        int8: whether a design may ship in eight bits.

    Raises:
        SpaceError: the space switches an unknown rule.
    """

    def __init__(
        self,
        space: Space,
        template: Template,
        budgets: Budgets,
        *,
        input_shape: tuple[int, int, int],
        heads: Heads,
        latency: Latency | None = None,
        int8: bool = False,
    ) -> None:
        assert latency is not None or budgets.latency_ms is None, "a latency budget needs a way to measure"
        self.space, self.template, self.budgets = space, template, budgets
        self.input_shape, self.heads, self.latency, self.int8 = input_shape, heads, latency, int8
        self._rules = active_rules(space.rules)

    @property
    def computed(self) -> Gate:
        """The same gate without what has to be measured."""
        return Gate(
            self.space,
            self.template,
            replace(self.budgets, latency_ms=None),
            input_shape=self.input_shape,
            heads=self.heads,
            int8=self.int8,
        )

    def cheap(self, genotype: Genotype) -> Verdict:
        """Check everything that needs no measurement."""
        graph = self.template.describe(genotype, self.heads)
        cost = graph.cost(self.input_shape)
        return Verdict(genotype, cost, (*self._rule_checks(graph), *self.budgets.cheap_checks(cost, int8=self.int8)))

    def check(self, genotype: Genotype) -> Verdict:
        """Check a design, measuring its latency only when all else is met."""
        verdict = self.cheap(genotype)
        if self.latency is None or not verdict.feasible:
            return verdict
        latency_ms = self.latency(genotype)
        checks = (*verdict.checks, *self.budgets.latency_check(latency_ms))
        return replace(verdict, checks=checks, latency_ms=latency_ms)

    def _rule_checks(self, graph: Graph) -> list[Check]:
        if not self._rules:
            return []
        reductions = graph.reductions
        offenders = {name: tuple(rule(reductions)) for name, rule in self._rules.items()}
        return [Check(name, len(places), 0, places) for name, places in offenders.items()]
