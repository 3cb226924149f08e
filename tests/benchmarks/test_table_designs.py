from __future__ import annotations

from table_designs import BUDGET, decoded, first_designs, gate_of, mutations, starts
from table_figures import FOLDER, designs


def test_the_first_designs_are_those_of_the_table() -> None:
    """Regression: figures of the table are found again by these designs."""
    kept = [(row["origin"], row["design"]) for row in designs(FOLDER).values()][:6]
    assert [(origin, admission.verdict.genotype.fingerprint) for origin, admission in first_designs(6)] == kept


def test_the_starts_are_the_named_design_its_half_and_its_quarter() -> None:
    named, half, quarter = (admission.verdict.cost.macs for admission in starts(gate_of(BUDGET)))
    assert 0.4 * named < half <= 0.5 * named
    assert 0.15 * named < quarter <= 0.25 * named


def test_mutations_are_new_designs_within_the_budget() -> None:
    (_, first), *_ = first_designs(1)
    parent = {"design": first.verdict.genotype.fingerprint, "flat": dict(first.flat)}
    for origin, admission in mutations([parent], 1, 2):
        assert origin == f"mutation of {parent['design']}"
        assert admission.verdict.feasible
        assert decoded(admission.flat).fingerprint != parent["design"]
