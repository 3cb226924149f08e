from __future__ import annotations

import random
import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compressdefect import units
from compressdefect.errors import InfeasibleError
from compressdefect.search.constraints import LATENCY_SHARE, Budgets
from compressdefect.search.reach import first_design, smallest_reachable
from compressdefect.search.repair import MEASUREMENTS, admit, nearest, scale_widths
from compressdefect.space.domain import ChoiceDomain, FloatDomain, IntDomain
from compressdefect.space.genotype import Genotype
from tests.search.fakes import FIRST, SPACE, fake_latency, gate


def test_latency_is_measured_only_when_all_else_is_met() -> None:
    measured: list[str] = []

    def latency(genotype: Genotype) -> float:
        measured.append(genotype.fingerprint)
        return 0.5

    strict = gate(Budgets(macs=1_000_000, latency_ms=1), latency=latency)
    assert strict.check(FIRST).latency_ms is None
    assert measured == []
    assert gate(Budgets(latency_ms=1), latency=latency).check(FIRST).latency_ms == 0.5
    assert measured == [FIRST.fingerprint]


def test_a_verdict_says_what_is_violated() -> None:
    verdict = gate(Budgets(flops=1_000_000, params=10**9)).check(FIRST)
    assert not verdict.feasible
    assert verdict.reason == f"flops ≤ 1.00 M (got {units.count(verdict.cost.flops)})"
    assert verdict.constraints["params"] < 0 < verdict.constraints["flops"]
    assert verdict.constraints["aads_only"] == 0


@given(seed=st.integers(0, 2**32), limit=st.integers(200_000, 50_000_000))
def test_repair_gives_feasible_designs_inside_the_domains_or_nothing(seed: int, limit: int) -> None:
    flat = SPACE.sample(random.Random(seed))
    before = dict(flat)
    admission = admit(gate(Budgets(macs=limit)), flat)
    assert flat == before
    if not admission.verdict.feasible:
        narrowest = SPACE.decode(scale_widths(SPACE, flat, 0))
        assert not gate(Budgets(macs=limit)).check(narrowest).feasible
        assert admission.flat == flat
        return
    assert admission.verdict.cost.macs <= limit
    assert SPACE.decode(admission.flat) == admission.verdict.genotype
    assert all(SPACE.dimensions[name].contains(value) for name, value in admission.flat.items())
    assert {n: v for n, v in admission.flat.items() if n not in SPACE.widths} == {
        n: v for n, v in flat.items() if n not in SPACE.widths
    }
    assert admission.repaired == (admission.flat != flat)


@given(seed=st.integers(0, 2**32))
def test_repair_keeps_latency_with_few_measurements(seed: int) -> None:
    measured: list[str] = []

    def latency(genotype: Genotype) -> float:
        measured.append(genotype.fingerprint)
        return fake_latency(genotype)

    admission = admit(gate(Budgets(latency_ms=0.3), latency=latency), SPACE.sample(random.Random(seed)))
    assert len(measured) <= MEASUREMENTS
    if admission.verdict.feasible:
        assert fake_latency(admission.verdict.genotype) <= LATENCY_SHARE * 0.3


def test_a_broken_rule_is_not_repaired() -> None:
    space = replace(SPACE, fixed={"net": {"operator": "maxpool"}}, designs={})
    flat = SPACE.flatten(FIRST)
    admission = admit(gate(Budgets(), space=space), flat)
    assert admission.verdict.reason == "aads_only: broken by stage1 (maxpool), stage2 (maxpool)"
    assert admission.flat == flat


@given(width=st.sampled_from(range(8, 65, 8)), factor=st.floats(0, 1))
def test_scaled_widths_stay_on_the_grid_and_never_grow(width: int, factor: float) -> None:
    domain = IntDomain(8, 64, 8)
    scaled = nearest(domain, width, factor)
    assert domain.contains(scaled)
    assert isinstance(scaled, int)
    assert scaled <= width
    assert abs(scaled - max(8, factor * width)) <= 4


def test_scaling_knows_every_kind_of_domain() -> None:
    assert nearest(ChoiceDomain((16, 24, 40)), 40, 0.5) == 24
    assert nearest(FloatDomain(0.25, 1.0), 0.8, 0.5) == 0.4
    assert nearest(FloatDomain(0.25, 1.0), 0.8, 0.0) == 0.25


def test_the_smallest_reachable_value_is_the_true_one() -> None:
    # stem 8 at 32² (9·8·1024), one slim column of kernel 3, depth 1, 8 → 8 in both stages, the first one lowering; the
    # head's 8·2
    assert smallest_reachable(gate(Budgets(macs=1)), "macs") == 9 * 8 * 1024 + 3 * 64 * 1024 + 3 * 64 * 256 + 16
    assert smallest_reachable(gate(Budgets(params=1)), "params") == 9 * 8 + 2 * 3 * 64 + 16
    assert smallest_reachable(gate(Budgets(memory_bytes=1)), "memory") == 4 * 8 * 1024


def test_the_named_design_is_repaired_to_the_budget() -> None:
    admission = first_design(gate(Budgets(macs=6_000_000)), FIRST)
    assert admission.repaired
    assert admission.verdict.cost.macs <= 6_000_000
    assert admission.verdict.genotype.stages[0].genes["depth"] == 2


def test_a_feasible_start_is_found_where_scaling_is_not_enough() -> None:
    admission = first_design(gate(Budgets(macs=330_000)), FIRST)
    assert admission.verdict.feasible


@pytest.mark.parametrize(
    ("budgets", "text"),
    [
        (Budgets(flops=100), r"no design of fake meets flops ≤ 100: got 639.1 k at the smallest; raise --budget-flops"),
        (Budgets(params=471), r"params ≤ 471: got 472 at the smallest"),
        (Budgets(memory_bytes=1024), r"memory ≤ 1.00 KiB: got 32.00 KiB at the smallest"),
        (Budgets(size_bytes=1024), r"size ≤ 1.00 KiB: got 31.15 KiB at the smallest; raise --budget-size"),
    ],
)
def test_nothing_fits(budgets: Budgets, text: str) -> None:
    with pytest.raises(InfeasibleError, match=text):
        first_design(gate(budgets), FIRST)


@pytest.mark.parametrize(
    ("option", "budgets"),
    [
        ("flops", Budgets(flops=100)),
        ("params", Budgets(params=471)),
        ("memory", Budgets(memory_bytes=1024)),
        ("size", Budgets(size_bytes=1024)),
        ("latency", Budgets(latency_ms=0.1)),
    ],
)
def test_the_budget_that_the_error_names_can_be_met(option: str, budgets: Budgets) -> None:
    with pytest.raises(InfeasibleError) as error:
        first_design(gate(budgets, latency=fake_latency), FIRST)
    named = re.search(rf"raise --budget-{option} to ([^,]+), or search another space", str(error.value))
    assert named is not None
    enough = gate(Budgets.parse(**{option: named[1]}), latency=fake_latency)
    assert first_design(enough, FIRST).verdict.feasible


def test_no_latency_fits() -> None:
    with pytest.raises(
        InfeasibleError, match=r"latency ≤ 0\.100 ms: got 0\.103\d ms at the smallest; raise --budget-latency to 0\.11"
    ):
        first_design(gate(Budgets(latency_ms=0.1), latency=fake_latency), FIRST)


def test_budgets_may_clash() -> None:
    """Each is within reach, but the fewest parameters come without lowering the resolution, the fewest macs with it."""
    with pytest.raises(InfeasibleError, match="meets all constraints together; the closest one misses"):
        first_design(gate(Budgets(params=472, macs=320_000)), FIRST)


def test_latency_repair_changes_the_design_even_on_a_coarse_grid() -> None:
    """Slightly too slow a design, whose widths scaled by that little would all round back to where they were."""
    flat = SPACE.flatten(FIRST)
    limit = fake_latency(FIRST) / 1.02 / LATENCY_SHARE
    admission = admit(gate(Budgets(latency_ms=limit), latency=fake_latency), flat)
    assert admission.verdict.feasible
    assert admission.repaired
    assert admission.verdict.genotype != FIRST
