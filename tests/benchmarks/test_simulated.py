from __future__ import annotations

import pytest
import simulated
from simulated import KnownCosts
from table_designs import BUDGET, gate_of, starts


@pytest.mark.parametrize(("kind", "value"), [("log loss", -0.3), ("balanced log loss", -2.0), ("metric", 0.97)])
def test_scores_come_back_from_the_scale_of_the_forest(kind: str, value: float) -> None:
    assert simulated._back(kind, simulated._forth(kind, value)) == pytest.approx(value)
    better, worse = simulated._forth(kind, value), simulated._forth(kind, value - 0.01)
    assert better > worse


def test_designs_cheaper_than_any_of_the_table_are_refused() -> None:
    gate = gate_of(BUDGET)
    named, half, quarter = starts(gate)
    costs = [{"params": each.verdict.cost.params, "macs": each.verdict.cost.macs} for each in (named, half)]
    known = KnownCosts(gate, costs)
    assert known.cheap(half.verdict.genotype).feasible
    assert {check.name for check in known.cheap(quarter.verdict.genotype).violated} == {"params", "macs"}
