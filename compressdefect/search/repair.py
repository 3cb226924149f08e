"""Repair: scale a design's widths down by one factor until it fits its budgets."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from compressdefect.search.draws import Flat
from compressdefect.search.gate import Gate, Verdict
from compressdefect.space.domain import Domain, FloatDomain, Value
from compressdefect.space.space import Space

BISECTIONS = 8
MEASUREMENTS = 4


@dataclass(frozen=True)
class Admission:
    """A flat vector that went through the gate, and what the gate says of the design that it means.

    Where repair fails the vector is the one proposed, and ``closest`` the verdict on what repair came to.
    """

    flat: Flat
    verdict: Verdict
    repaired: bool = False
    closest: Verdict | None = None

    @property
    def reason(self) -> str:
        """What keeps the design from being trained, also after repair; empty when nothing does."""
        if self.closest is None or self.closest.genotype == self.verdict.genotype:
            return self.verdict.reason
        return f"{self.verdict.reason}; after repair: {self.closest.reason}"


def admit(gate: Gate, flat: Flat) -> Admission:
    """Check a proposal and, if it does not fit, repair it; the verdict says whether it fits in the end.

    A broken rule cannot be repaired. The latency budget costs at most ``MEASUREMENTS`` measurements, each followed by
    ``BISECTIONS`` + 1 closed-form checks. A rejected proposal comes back unchanged, with the checks that it failed and
    those that its repaired form still does.
    """
    asked = Admission(flat, gate.check(gate.space.decode(flat)))
    if asked.verdict.feasible or any(check.is_rule for check in asked.verdict.violated):
        return asked
    verdict, factor = asked.verdict, 1.0
    measured = 0 if verdict.latency_ms is None else 1
    while not verdict.feasible:
        excess = _latency_excess(verdict)
        widest = _widest(gate, flat, math.inf if excess is None else 0.97 * verdict.cost.macs / excess)
        if widest is None or measured == MEASUREMENTS:
            return replace(asked, closest=verdict)
        factor, verdict = widest, gate.check(gate.space.decode(scale_widths(gate.space, flat, widest)))
        measured += verdict.latency_ms is not None
    return Admission(scale_widths(gate.space, flat, factor), verdict, repaired=True)


def shrink(gate: Gate, admission: Admission, share: float) -> Admission | None:
    """The same design at other widths, with at most a share of its macs; None if it cannot be that narrow."""
    factor = _widest(gate, admission.flat, share * admission.verdict.cost.macs)
    if factor is None:
        return None
    flat = scale_widths(gate.space, admission.flat, factor)
    return Admission(flat, gate.check(gate.space.decode(flat)), repaired=True)


def scale_widths(space: Space, flat: Flat, factor: float) -> dict[str, Value]:
    """Multiply every width by a factor in [0, 1], each onto its own domain; all other genes stay.

    >>> from compressdefect.space.domain import IntDomain
    >>> nearest(IntDomain(8, 64, 8), 40, 0.5)
    24
    """
    return {**flat, **{name: nearest(space.dimensions[name], flat[name], factor) for name in space.widths}}


def nearest(domain: Domain, width: Value, factor: float) -> Value:
    """The domain's value closest to ``factor · width`` that is not above the width; the larger of two as close."""
    assert isinstance(width, int | float)
    target = factor * width
    if isinstance(domain, FloatDomain):
        return max(domain.low, target)
    smaller = [value for value in domain.values if isinstance(value, int | float) and value <= width]
    return min(smaller, key=lambda value: (abs(value - target), -value))


def _widest(gate: Gate, flat: Flat, macs: float) -> float | None:
    """Bisect for the largest factor whose design keeps the cheap constraints and has at most so many macs.

    None if not even the narrowest does.
    """

    def fits(factor: float) -> bool:
        verdict = gate.cheap(gate.space.decode(scale_widths(gate.space, flat, factor)))
        return verdict.feasible and verdict.cost.macs <= macs

    if not fits(0.0):
        return None
    low, high = 0.0, 1.0
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def _latency_excess(verdict: Verdict) -> float | None:
    """Measured latency over its limit, if that is above 1; macs are lowered by as much, since latency follows them."""
    found = (1 + check.violation for check in verdict.violated if check.name == "latency")
    return next(found, None)
