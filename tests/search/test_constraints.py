from __future__ import annotations

import pytest

from compressdefect.cost.cost import Cost
from compressdefect.errors import SpaceError
from compressdefect.models.graph import Reduction
from compressdefect.search.constraints import (
    LATENCY_SHARE,
    Budgets,
    Check,
    aads_only,
    active_rules,
    no_strided_pointwise,
)

STEM = Reduction("stem", "conv", 7, 4)


@pytest.mark.parametrize(
    ("check", "text"),
    [
        (Check("flops", 131e6, 100e6), "flops ≤ 100 M (got 131 M)"),
        (Check("flops", 100_000_001, 100e6), "flops ≤ 100.000000 M (got 100.000001 M)"),
        (Check("memory", 3 * 2**19, 2**20), "memory ≤ 1.00 MiB (got 1.50 MiB)"),
        (Check("latency", 0.7, 0.54), "latency ≤ 0.540 ms (got 0.700 ms)"),
        (
            Check("latency", 0.95, 1.0, share=0.9),
            "latency ≤ 1.00 ms (got 0.950 ms, and 10% is left for measuring again)",
        ),
        (Check("aads_only", 1, 0, ("stage2 (maxpool)",)), "aads_only: broken by stage2 (maxpool)"),
        (Check("aads_only", 0, 0), "aads_only: kept"),
    ],
)
def test_a_check_describes_itself(check: Check, text: str) -> None:
    assert check.text == text


def test_a_violation_is_signed() -> None:
    assert Check("flops", 131, 100).violation == pytest.approx(0.31)
    assert Check("flops", 100, 100).violation == 0
    assert Check("flops", 50, 100).violation == pytest.approx(-0.5)
    assert Check("aads_only", 2, 0, ("a", "b")).violation == 2


def test_budgets_are_read_with_their_units() -> None:
    budgets = Budgets.parse(flops="100M", memory="1.5MiB", latency="2ms")
    assert budgets.to_json() == {"flops": 100_000_000, "memory_bytes": 1_572_864, "latency_ms": 2.0}
    checks = budgets.cheap_checks(Cost(params=10**6, macs=60_000_000, peak_bytes=10**6))
    assert [(check.name, check.value) for check in checks] == [("flops", 120_000_000), ("memory", 10**6)]


def test_the_file_of_the_graph_that_ships_is_estimated_then_measured() -> None:
    budgets, cost = Budgets.parse(size="0.5M", latency="1ms"), Cost(params=200_000, macs=1, peak_bytes=1)
    (whole,), (small,) = budgets.cheap_checks(cost), budgets.cheap_checks(cost, int8=True)
    assert (whole.name, whole.value, small.value) == ("size", 830_000, 310_000)
    assert whole.violation > 0 > small.violation
    tiny = Cost(params=10_000, macs=1, peak_bytes=1)  # its nodes would be larger than what eight bits save
    assert budgets.cheap_checks(tiny, int8=True) == budgets.cheap_checks(tiny)
    assert [(check.name, check.violation > 0) for check in budgets.shipped_checks(500_001, 0.95)] == [
        ("size", True),
        ("latency", False),
    ]


def test_a_design_is_admitted_below_the_latency_budget() -> None:
    (check,) = Budgets(latency_ms=1.0).latency_check(LATENCY_SHARE + 0.01)
    assert check.violation > 0


@pytest.mark.parametrize("budget", [{"flops": "none"}, {"latency": "2"}, {"params": "-1"}, {"memory": "0KiB"}])
def test_a_wrong_budget_names_its_option(budget: dict[str, str]) -> None:
    with pytest.raises(SpaceError, match=f"--budget-{next(iter(budget))}"):
        Budgets.parse(**budget)


def test_a_strided_pointwise_convolution_is_found() -> None:
    assert no_strided_pointwise([STEM, Reduction("stage2.entry", "conv", 1, 2)]) == [
        "stage2.entry (conv 1×1, stride 2)"
    ]
    assert no_strided_pointwise([STEM, Reduction("stage2.entry", "conv", 3, 2)]) == []


def test_after_the_stem_only_aads_may_lower_the_resolution() -> None:
    blur, pool = Reduction("stage1.exit", "aads", 3, 2), Reduction("stage2.exit", "maxpool", 3, 2)
    assert aads_only([STEM, blur, pool]) == ["stage2.exit (maxpool)"]
    assert aads_only([STEM, blur]) == []


def test_a_space_switches_rules_by_name() -> None:
    assert list(active_rules({"aads_only": True, "no_strided_pointwise": False})) == ["aads_only"]
    with pytest.raises(SpaceError, match="did you mean aads_only"):
        active_rules({"aad_only": True})
