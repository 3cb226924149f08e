"""The designs of the evaluation table: named ones, random ones after repair, and mutations around the best."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from compressdefect.catalog import find_space
from compressdefect.models.templates import TEMPLATES
from compressdefect.search.asking import SMALLER_STARTS
from compressdefect.search.constraints import Budgets
from compressdefect.search.draws import derive_seed, mutate
from compressdefect.search.gate import Gate
from compressdefect.search.reach import first_design
from compressdefect.search.repair import Admission, admit, shrink
from compressdefect.space.genotype import Genotype
from compressdefect.space.space import Space

SPACE, SIDE = "lightdefectnet", 224
BUDGET, SMALL_BUDGET, TINY_BUDGET = "100M", "25M", "6M"
HEADS = {"image": tuple("abcdef")}


def gate_of(budget: str) -> Gate:
    """The space's gate under a budget of FLOPs."""
    space, shape = _space(), (1, SIDE, SIDE)
    return Gate(space, TEMPLATES[space.template], Budgets.parse(flops=budget), input_shape=shape, heads=HEADS)


def starts(gate: Gate) -> list[Admission]:
    """The designs that a search begins with: the named one, its half and its quarter, as far as it can shrink."""
    first = first_design(gate, next(iter(gate.space.designs.values())))
    smaller = (shrink(gate, first, share) for share in SMALLER_STARTS)
    return [first, *(admission for admission in smaller if admission is not None)]


def first_designs(count: int) -> Iterator[tuple[str, Admission]]:
    """The named design, its half and its quarter, then random designs, a third of them under the small budget."""
    large, small = gate_of(BUDGET), gate_of(SMALL_BUDGET)
    named = ("named", *(f"named/{share}" for share in SMALLER_STARTS))
    yield from zip(named, starts(large), strict=True)
    for number in range(len(named), count):
        gate = small if number % 3 == 0 else large
        for attempt in range(1000):
            admission = admit(gate, gate.space.sample(random.Random(derive_seed("table", number, attempt))))
            if admission.verdict.feasible:
                yield "random", admission
                break


def mutations(parents: Sequence[Mapping[str, Any]], known: int, count: int) -> Iterator[tuple[str, Admission]]:
    """Mutations around some rows of the table, of which so many are known."""
    gates = [gate_of(budget) for budget in (SMALL_BUDGET, BUDGET, BUDGET, TINY_BUDGET, BUDGET, BUDGET)]
    for number in range(count):
        parent = parents[number % len(parents)]
        gate = gates[(number + number // len(gates)) % len(gates)]
        for attempt in range(1000):
            flat = mutate(gate.space.dimensions, parent["flat"], derive_seed("mutation", known, number, attempt))
            admission = admit(gate, flat)
            if admission.verdict.feasible and admission.verdict.genotype.fingerprint != parent["design"]:
                yield f"mutation of {parent['design']}", admission
                break


@cache
def _space() -> Space:
    return find_space(SPACE).for_task("classify")


def decoded(flat: Mapping[str, Any]) -> Genotype:
    """The design of a row's flat vector."""
    return _space().decode(flat)
