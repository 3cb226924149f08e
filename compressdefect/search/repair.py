"""Repair: scale a design's widths down by one factor until it fits its budgets."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from compressdefect.search.gate import Gate, Verdict
from compressdefect.space.domain import Domain, FloatDomain, Value
from compressdefect.space.space import Space

BISECTIONS = 8
MEASUREMENTS = 3

Flat = Mapping[str, Value]


@dataclass(frozen=True)
class Admission:
    """A flat vector that went through the gate, and what the gate says of it after repair."""

    flat: Flat
    verdict: Verdict
    repaired: bool = False


def admit(gate: Gate, flat: Flat) -> Admission:
    """Check a proposal and, if it does not fit, repair it; the verdict says whether it fits in the end.

    A broken rule cannot be repaired. The cheap budgets cost at most ``BISECTIONS`` + 2 closed-form checks, the latency
    budget at most ``MEASUREMENTS`` measurements. A rejected proposal comes back unchanged, with the checks it failed.
    """
    asked = Admission(flat, gate.check(gate.space.decode(flat)))
    if asked.verdict.feasible or any(check.is_rule for check in asked.verdict.violated):
        return asked
    verdict, factor, measured = asked.verdict, 1.0, 1
    if verdict.latency_ms is None:
        widest = _widest(gate, flat)
        if widest is None:
            return asked
        factor, verdict = widest, _check(gate, flat, widest)
    while measured < MEASUREMENTS and (latency := _latency_excess(verdict)) is not None:
        factor *= 0.97 / math.sqrt(latency)
        verdict, measured = _check(gate, flat, factor), measured + 1
    if not verdict.feasible:
        return Admission(flat, verdict)
    return Admission(scale_widths(gate.space, flat, factor), verdict, repaired=True)


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


def _widest(gate: Gate, flat: Flat) -> float | None:
    """Bisect for the largest factor whose design keeps the cheap constraints; None if not even the narrowest does."""
    if not gate.cheap(gate.space.decode(scale_widths(gate.space, flat, 0))).feasible:
        return None
    low, high = 0.0, 1.0
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        if gate.cheap(gate.space.decode(scale_widths(gate.space, flat, middle))).feasible:
            low = middle
        else:
            high = middle
    return low


def _check(gate: Gate, flat: Flat, factor: float) -> Verdict:
    return gate.check(gate.space.decode(scale_widths(gate.space, flat, factor)))


def _latency_excess(verdict: Verdict) -> float | None:
    """Measured latency over its limit, if that is above 1.

    Latency grows between linearly and quadratically with width, so the next factor aims just below the quadratic guess.
    """
    found = (1 + check.violation for check in verdict.violated if check.name == "latency")
    return next(found, None)
