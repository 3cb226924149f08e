"""How small a space can go: the design to start from when the named one does not fit, and the error when none does."""

from __future__ import annotations

import math
from collections.abc import Callable

from compressdefect import units
from compressdefect.errors import InfeasibleError
from compressdefect.search.constraints import FORMATS, Check
from compressdefect.search.draws import Flat
from compressdefect.search.gate import Gate, Verdict
from compressdefect.search.repair import Admission, admit
from compressdefect.space.domain import Domain, FloatDomain, Value
from compressdefect.space.genotype import Genotype
from compressdefect.space.space import Space

PASSES = 4

Key = Callable[[Verdict], tuple[float, ...]]


def first_design(gate: Gate, named: Genotype | None) -> Admission:
    """The design a search starts from: the named one, repaired, else the nearest feasible one that descent finds.

    Raises:
        InfeasibleError: nothing fits; the message says the binding constraint and the smallest value reachable.
    """
    starts = _starts(gate.space, named)
    admission = admit(gate, starts[0])
    if admission.verdict.feasible:
        return admission
    for key in (_excess, _excess_and_macs) if gate.latency else (_excess,):
        for start in starts:
            admission = admit(gate, _descend(gate, start, key))
            if admission.verdict.feasible:
                return Admission(admission.flat, admission.verdict, repaired=True)
    raise _infeasible(gate, admission.closest or admission.verdict)


def smallest_reachable(gate: Gate, name: str) -> float:
    """The smallest value of one constraint's quantity that descent finds in the space, with its rules kept.

    Coordinate descent over all genes from the named designs and from the narrowest one: an upper bound on the true
    minimum, exact where the genes' effects on the quantity do not depend on one another's order.
    """
    quantity = "macs" if name == "latency" else name
    key: Key = lambda verdict: (_broken(verdict, name), _quantity(verdict, quantity))  # noqa: E731
    found = [gate.cheap(gate.space.decode(_descend(gate, start, key))) for start in _starts(gate.space, None)]
    best = min(found, key=key)
    if name == "latency":
        assert gate.latency is not None
        return gate.latency(best.genotype)
    return _quantity(best, name)


def _starts(space: Space, named: Genotype | None) -> list[Flat]:
    narrowest = {name: _smallest(domain) for name, domain in space.dimensions.items()}
    designs = [space.flatten(design) for design in space.designs.values()]
    return [*([] if named is None else [space.flatten(named)]), *designs, narrowest]


def _smallest(domain: Domain) -> Value:
    if isinstance(domain, FloatDomain):
        return domain.low
    numbers = all(isinstance(value, int | float) for value in domain.values)
    return min(domain.values) if numbers else domain.values[0]


def _descend(gate: Gate, start: Flat, key: Key) -> Flat:
    """Change one gene at a time to its best value, until a pass over all genes changes nothing."""
    best, score = dict(start), key(gate.cheap(gate.space.decode(start)))
    for _ in range(PASSES):
        before = score
        for name, domain in gate.space.dimensions.items():
            values = (domain.low, domain.high) if isinstance(domain, FloatDomain) else domain.values
            for value in values:
                candidate = {**best, name: value}
                found = key(gate.cheap(gate.space.decode(candidate)))
                if found < score:
                    best, score = candidate, found
        if score == before:
            break
    return best


def _excess(verdict: Verdict) -> tuple[float, ...]:
    return (sum(check.violation for check in verdict.violated),)


def _excess_and_macs(verdict: Verdict) -> tuple[float, ...]:
    """For a latency budget: what is closest to all others, and of that what computes least."""
    return *_excess(verdict), float(verdict.cost.macs)


def _broken(verdict: Verdict, name: str) -> float:
    return sum(check.violation for check in verdict.violated if check.is_rule and check.name != name)


def _quantity(verdict: Verdict, name: str) -> float:
    cost = verdict.cost
    known = {"flops": cost.flops, "macs": cost.macs, "params": cost.params, "memory": cost.peak_bytes}
    return known[name] if name in known else sum(c.value for c in verdict.checks if c.name == name)


def _infeasible(gate: Gate, closest: Verdict) -> InfeasibleError:
    """Name the binding constraint: one that is out of reach on its own if there is any, else all that clash."""
    for check in closest.violated:
        smallest = smallest_reachable(gate, check.name)
        if smallest > check.share * check.limit:
            return _out_of_reach(gate.space, check, smallest)
    return InfeasibleError(
        f"no design of {gate.space.name} was found that meets all constraints together; the closest one misses "
        f"{closest.reason}",
        fix="raise a budget",
    )


def _out_of_reach(space: Space, check: Check, smallest: float) -> InfeasibleError:
    if check.is_rule:
        return InfeasibleError(
            f"no design of {space.name} keeps the rule {check.name}",
            got=", ".join(check.offenders),
            fix="switch it off",
        )
    form = FORMATS[check.name]
    enough = form(_round_up(smallest / check.share, form), 4)
    return InfeasibleError(
        f"no design of {space.name} meets {check.name} ≤ {form(check.limit, 3)}",
        got=f"{form(_round_up(smallest, form), 4)} at the smallest",
        fix=f"raise --budget-{check.name} to {enough}, or search another space",
    )


def _round_up(value: float, form: Callable[[float | None, int], str]) -> float:
    """To the four digits that are printed, upwards: a budget of that number can be met."""
    scale = 1024.0 ** int(math.log(value, 1024)) if form is units.size else 1.0
    unit = scale * 10.0 ** (math.floor(math.log10(value / scale)) - 3)
    return math.ceil(value / unit - 1e-9) * unit
