"""The model of the metric, and the sampler that asks it."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from compressdefect.search.constraints import Budgets
from compressdefect.search.draws import Flat
from compressdefect.search.gate import Gate, Verdict
from compressdefect.search.improvement import (
    SLOPE,
    Improver,
    free_of_metric,
    front_gains,
    netscore_gains,
    tier_gains,
    what_a_winner_needs,
)
from compressdefect.search.objective import Direction, Objective
from compressdefect.search.proposal import Past, SearchDimensions
from compressdefect.search.repair import admit
from compressdefect.search.sizes import TIERS, tier_of
from compressdefect.search.starting import STARTUP
from compressdefect.search.surrogate import COSTS, GRID, Apart, Belief, Encoder, Kernel, Surrogate
from compressdefect.space.genotype import Genotype
from tests.search.fakes import BUDGETS, FIRST, SPACE, gate

FLAT = SPACE.flatten(FIRST)
ENCODE = Encoder(SPACE.dimensions)


def verdict(flat: Flat) -> Verdict:
    return gate(BUDGETS).cheap(SPACE.decode(flat))


def vector(flat: Flat) -> np.ndarray:
    return ENCODE([verdict(flat)])[0]


def test_a_vector_starts_with_the_costs_and_keeps_to_the_unit_interval() -> None:
    row, cost = vector(FLAT), verdict(FLAT).cost
    assert row[:COSTS].tolist() == [np.log10(cost.params), np.log10(cost.macs)]
    drawn = ENCODE([verdict(SPACE.sample(random.Random(seed))) for seed in range(50)])[:, COSTS:]
    assert drawn.min() >= 0
    assert drawn.max() <= 1
    assert (drawn.std(axis=0) > 0).all()  # no column is idle


def test_inactive_genes_and_the_order_of_columns_change_nothing() -> None:
    flat = FLAT | {"stage1.columns": 2, "stage1.column1.block": "plain", "stage1.column2.block": "slim"}
    idle = flat | {"stage1.column1.kernel": 5, "stage1.column3.block": "slim"}
    turned = flat | {"stage1.column1.block": "slim", "stage1.column1.kernel": flat["stage1.column2.kernel"]}
    turned["stage1.column2.block"] = "plain"
    assert vector(idle).tolist() == vector(flat).tolist() == vector(turned).tolist()
    assert vector(flat | {"stage1.column2.kernel": 5}).tolist() != vector(flat).tolist()


def test_numbers_keep_their_order() -> None:
    narrow, middle, wide = (vector(FLAT | {"stem_width": width})[COSTS:] for width in (8, 16, 32))
    assert np.abs(wide - narrow).sum() == pytest.approx(1)
    assert np.abs(middle - narrow).sum() == pytest.approx(1 / 3)


def test_a_prediction_is_the_closed_form_of_a_gaussian_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rasmussen and Williams (2006), equations 2.25 and 2.26, with one setting of the parameters."""
    monkeypatch.setattr("compressdefect.search.surrogate.GRID", ((0.2,), (0.5,), (1.0,), (1.0,)))
    rng = np.random.default_rng(0)
    seen, asked, metrics = rng.random((8, 5)), rng.random((3, 5)), rng.random(8)

    def covariance(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        squared = (a[:, None] - b) ** 2
        pairs = np.triu_indices(8, 1)
        unit = np.median(((seen[:, None] - seen) ** 2)[..., COSTS:].sum(-1)[pairs])
        costs, genes = squared[..., :COSTS].sum(-1), squared[..., COSTS:].sum(-1) / unit
        return 0.8 * (np.exp(-costs / 2) + np.exp(-genes / 2)) / 2

    inverse = np.linalg.inv(covariance(seen, seen) + 0.2 * np.eye(8))
    shared = covariance(asked, seen)
    mean = metrics.mean() + shared @ inverse @ (metrics - metrics.mean())
    variance = 0.8 - np.einsum("ij,jk,ik->i", shared, inverse, shared)
    found = Surrogate(seen, metrics).predict(asked)
    np.testing.assert_allclose(found.mean, mean)
    np.testing.assert_allclose(found.deviation, metrics.std() * np.sqrt(variance))


def test_it_is_surest_where_it_has_seen_designs() -> None:
    designs = [SPACE.sample(random.Random(seed)) for seed in range(30)]
    vectors = ENCODE([verdict(flat) for flat in designs])
    metrics = np.array([0.9 if flat["stage1.lower"] == "exit" else 0.6 for flat in designs])
    model = Surrogate(vectors[:20], metrics[:20])
    seen, other = model.predict(vectors[:20]), model.predict(vectors[20:])
    assert seen.deviation.mean() < other.deviation.mean()
    assert np.corrcoef(other.mean, metrics[20:])[0, 1] > 0.7


@pytest.mark.parametrize("count", [1, 2, 12])
def test_equal_metrics_are_expected_of_all(count: int) -> None:
    vectors = ENCODE([verdict(SPACE.sample(random.Random(seed))) for seed in range(count)])
    assert Surrogate(vectors, np.full(count, 0.8)).predict(vectors).mean == pytest.approx(0.8, abs=1e-5)


def test_every_kernel_of_the_grid_is_a_covariance() -> None:
    for setting in np.ndindex(*map(len, GRID)):
        kernel = Kernel(*(values[i] for values, i in zip(GRID, setting, strict=True)))
        assert kernel(Apart(np.zeros((1, 1)), np.zeros((1, 1)))).item() == pytest.approx(1 - kernel.noise)


def past(flat: Flat, metric: float, floor: float, *, front: bool = False) -> Past:
    admitted = admit(gate(BUDGETS), flat)
    cost = admitted.verdict.cost
    score = Objective().netscore(metric, cost, None)
    values = (metric, float(cost.macs)) if front else (score,)
    return Past(admitted.flat, "complete", values, score, -1.0 if front else floor - metric, metric)


def history(length: int, good: float = 0.9, bad: float = 0.6, *, front: bool = False) -> list[Past]:
    """Designs that are good where the first stage lowers the resolution at its exit."""
    found = [SPACE.sample(random.Random(seed)) for seed in range(length)]
    return [past(f, good if f["stage1.lower"] == "exit" else bad, good - 0.01, front=front) for f in found]


def improver(directions: tuple[Direction, ...] = ("maximize",), asked: Gate | None = None) -> Improver:
    return Improver(SearchDimensions(SPACE.dimensions, directions, FLAT, asked or gate(BUDGETS)))


def designs(proposer: Improver, known: Sequence[Past], count: int = 10) -> list[tuple[Flat, Genotype]]:
    flats = [proposer.propose(known, seed) for seed in range(count)]
    return [(flat, SPACE.decode(flat)) for flat in flats]


def test_proposals_keep_the_budgets_and_are_new() -> None:
    known = history(STARTUP + 10)
    trained = {SPACE.decode(each.flat).fingerprint for each in known}
    for flat, design in designs(improver(), known):
        assert verdict(flat).feasible
        assert design.fingerprint not in trained


def test_it_seeks_what_makes_designs_good() -> None:
    found = designs(improver(), history(STARTUP + 20))
    assert sum(flat["stage1.lower"] == "exit" for flat, _ in found) >= 9


def test_of_designs_that_are_as_good_it_seeks_the_cheap_ones() -> None:
    known = history(STARTUP + 10, good=0.8, bad=0.8)
    cheapest = min(verdict(each.flat).cost.macs for each in known)
    found = [verdict(flat).cost.macs for flat, _ in designs(improver(), known)]
    assert np.median(found) < cheapest


def larger_is_better(needed: float) -> list[Past]:
    """Designs whose metric is that of their size; a winner needs the quantile ``needed`` of them."""
    flats = [SPACE.sample(random.Random(seed)) for seed in range(STARTUP + 20)]
    macs = [verdict(admit(gate(BUDGETS), flat).flat).cost.macs for flat in flats]
    metrics = 0.2 + 0.2 * np.log10(np.array(macs) / 1e5)
    floor = float(np.quantile(metrics, needed))
    return [past(flat, float(metric), floor) for flat, metric in zip(flats, metrics, strict=True)]


def test_cheap_designs_that_see_too_little_are_left() -> None:
    """Where the metric is that of size, the best NetScore is the smallest network's, which no rule would name."""
    told = larger_is_better(1.0)
    macs = [verdict(each.flat).cost.macs for each in told]
    found = [verdict(flat).cost.macs for flat, _ in designs(improver(), told)]
    assert np.median(found) > np.median(macs)


def test_where_all_sizes_are_wanted_each_has_its_turn() -> None:
    """Though small designs have the better NetScore throughout."""
    told, most = history(STARTUP + 22, good=0.8, bad=0.8), verdict(FLAT).cost.macs
    seeks = Improver(SearchDimensions(SPACE.dimensions, ("maximize",), FLAT, gate(BUDGETS), of_all_sizes=True))
    proposed = [seeks.propose(told[: STARTUP + 20 + turn], 0) for turn in range(TIERS)]
    assert [tier_of(verdict(flat).cost.macs, most) for flat in proposed] == [
        (STARTUP + 20 + turn) % TIERS for turn in range(TIERS)
    ]


def test_gains_within_a_tier_in_closed_form() -> None:
    samples, tiers = np.array([[0.9, 0.6, 0.9], [0.7, 0.6, 0.9]]), np.array([0, 0, 2])
    before, places = np.array([0.7, 0.95]), np.array([0, 2])
    assert tier_gains(samples, tiers, before, places, turn=3) == pytest.approx([0.1, 0.0, -1.0], abs=1e-6)
    assert tier_gains(samples, tiers, before, places, turn=1) == pytest.approx([-1.0, -1.0, 0.0], abs=1e-6), "no 1"


def test_no_latency_is_measured() -> None:
    def measure(_: Genotype) -> float:
        raise AssertionError("measured")

    asked = gate(replace(BUDGETS, latency_ms=1.0), latency=measure)
    assert improver(asked=asked).propose(history(STARTUP + 5), 0)


def test_where_nearly_nothing_fits_designs_are_repaired() -> None:
    tight = gate(Budgets(macs=verdict(FLAT | dict.fromkeys(SPACE.widths, 8)).cost.macs * 2))
    flats = [admit(tight, SPACE.sample(random.Random(seed))) for seed in range(60)]
    known = [Past(a.flat, "complete", (1.0,), 1.0, 0.0, 0.9) for a in flats if a.verdict.feasible][: STARTUP + 2]
    assert tight.cheap(SPACE.decode(improver(asked=tight).propose(known, 0))).feasible


def test_designs_in_training_count_as_what_is_expected_of_them() -> None:
    known, proposer = history(STARTUP + 10), improver()
    first = proposer.propose(known, 0)
    running = Past(first, "running")
    alone = Belief(known, gate(BUDGETS), ENCODE).predict([verdict(first)])
    beside = Belief([*known, running], gate(BUDGETS), ENCODE).predict([verdict(first)])
    assert beside.mean == pytest.approx(alone.mean, abs=0.02)
    assert beside.deviation < alone.deviation
    again = proposer.propose([*known, running], 0)
    assert SPACE.decode(again).fingerprint != SPACE.decode(first).fingerprint


def test_a_front_grows_at_both_ends() -> None:
    known = history(STARTUP + 10, front=True)
    found = [verdict(flat).cost.macs for flat, _ in designs(improver(("maximize", "minimize")), known)]
    assert min(found) < np.median([verdict(each.flat).cost.macs for each in known])


def test_the_exact_netscore_is_that_of_the_objective() -> None:
    found = verdict(FLAT)
    expected = Objective().netscore(0.83, found.cost, None)
    assert free_of_metric([found])[0] + SLOPE * np.log10(0.83) == pytest.approx(expected)


def test_gains_in_closed_form() -> None:
    free, before = np.array([60.0, 66.0]), np.array([60.0, 80.0])
    samples = np.array([[0.9, 0.5], [0.9, 0.9]])
    found = netscore_gains(samples, free, np.array([0.8, 0.3]), before, floor=0.7)
    better = SLOPE * np.log10(0.9 / 0.8)
    assert found == pytest.approx([better, (6 + better) / 2], abs=1e-6)


def test_the_gain_of_a_front_is_an_area() -> None:
    prices, before = np.array([1.0, 2.0]), np.array([0.0, 2.0])
    found = front_gains(np.array([[0.5, 0.5]]), prices, np.array([0.4, 0.6]), before)
    assert found[0] > 0
    assert found[1] == 0  # the design before is better there


def test_what_a_winner_needs_is_read_off_the_shortfalls() -> None:
    assert what_a_winner_needs(history(5)) == pytest.approx(0.89)
    assert what_a_winner_needs(history(5, front=True)) == -np.inf
