"""The reconstruction of generator and inquisitor."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from compressdefect.search.generative import CYCLE, FLOOR, PROTOTYPE, RATE, REPLAYED, Generative, levels, softmax
from compressdefect.search.objective import Direction, Objective
from compressdefect.search.proposal import Past, SearchDimensions
from compressdefect.search.repair import admit
from compressdefect.space.domain import ChoiceDomain, FloatDomain, IntDomain
from tests.search.fakes import BUDGETS, FIRST, SPACE, gate

FLAT = SPACE.flatten(FIRST)


def generative(directions: tuple[Direction, ...] = ("maximize",), *, probed: bool = True) -> Generative:
    return Generative(SearchDimensions(SPACE.dimensions, directions, FLAT, gate(BUDGETS)), probed)


def history(length: int, *, front: bool = False, **probes: float) -> list[Past]:
    """Designs that are good where the first stage lowers the resolution nowhere, which the prototype does not do."""
    found = []
    for seed in range(length):
        admission = admit(gate(BUDGETS), SPACE.sample(random.Random(seed)))
        metric = 0.9 if admission.flat["stage1.lower"] == "none" else 0.6
        score = Objective().netscore(metric, admission.verdict.cost, None)
        values = (metric, float(admission.verdict.cost.macs)) if front else (score,)
        found.append(Past(admission.flat, "complete", values, score, 0.89 - metric, metric, probes))
    return found


def after(proposer: Generative, past: Sequence[Past]) -> dict[str, np.ndarray]:
    return dict(proposer._replay(past, 0.01))


def test_it_starts_around_the_prototype() -> None:
    shares = after(generative(), [])["stage1.columns"]
    assert shares.tolist() == pytest.approx([PROTOTYPE + 0.1, 0.1, 0.1])


def test_it_learns_from_cycles() -> None:
    proposer = generative()
    none = SPACE.dimensions["stage1.lower"].values.index("none")  # type: ignore[union-attr]
    shares = [after(proposer, history(length))["stage1.lower"][none] for length in (0, CYCLE - 1, 4 * CYCLE, 8 * CYCLE)]
    assert shares[0] == shares[1] == pytest.approx((1 - PROTOTYPE) / 2)
    assert shares[1] < shares[2] < shares[3]
    flats = [proposer.propose(history(8 * CYCLE), seed) for seed in range(10)]
    assert sum(flat["stage1.lower"] == "none" for flat in flats) >= 8


def test_metrics_that_change_a_little_change_the_distributions_a_little() -> None:
    """As the scores of a ladder's designs do with every new one: what was drawn in a cycle is drawn again."""
    past = history(4 * CYCLE)
    changed = [replace(each, metric=(each.metric or 0.0) + 1e-9) for each in past]
    before, now = (after(generative(), each) for each in (past, changed))
    for name in before:
        np.testing.assert_allclose(now[name], before[name], atol=1e-4)


def test_no_value_is_lost() -> None:
    for shares in after(generative(), history(12 * CYCLE)).values():
        assert shares.sum() == pytest.approx(1)
        assert shares.min() > 0.9 * FLOOR / len(shares)


def test_stages_that_probes_call_sensitive_move_faster() -> None:
    plain = after(generative(), history(CYCLE))
    start = after(generative(), [])
    probed = generative()
    rates = probed._rates(history(CYCLE, stage1=0.4, stage2=0.1))
    assert rates == pytest.approx({"stage1": 2 * RATE, "stage2": 1.25 * RATE})
    moved = after(probed, history(CYCLE, stage1=0.4, stage2=-0.1))
    name = "stage1.lower"
    assert np.abs(moved[name] - start[name]).sum() > np.abs(plain[name] - start[name]).sum()


def test_without_probes_it_is_the_same_with_any() -> None:
    past, probed = history(3 * CYCLE), history(3 * CYCLE, stage1=0.4)
    blind = generative(probed=False)
    assert blind._rates(probed) == {}
    assert generative()._rates(past) == {}
    assert generative()._rates(history(CYCLE, stage1=-0.1)) == {}


def test_what_it_keeps_changes_nothing() -> None:
    used = generative()
    for length in range(0, 6 * CYCLE, 4):
        used.propose(history(length), length)
    assert used.propose(history(4 * CYCLE), 7) == generative().propose(history(4 * CYCLE), 7)


def test_the_last_cycles_are_replayed() -> None:
    past, used, fresh = history((REPLAYED + 2) * CYCLE), generative(), generative()
    after(used, past[:-CYCLE])
    for name, shares in after(used, past).items():
        np.testing.assert_array_equal(shares, after(fresh, past)[name])
    assert len(fresh._replayed) == REPLAYED


def test_proposals_keep_the_budgets_and_are_new() -> None:
    past, proposer = history(3 * CYCLE), generative()
    trained = {SPACE.decode(each.flat).fingerprint for each in past}
    for seed in range(8):
        design = SPACE.decode(proposer.propose(past, seed))
        assert gate(BUDGETS).cheap(design).feasible
        assert design.fingerprint not in trained


def test_no_latency_is_measured() -> None:
    def measure(_: object) -> float:
        raise AssertionError("measured")

    asked = gate(replace(BUDGETS, latency_ms=1.0), latency=measure)
    proposer = Generative(SearchDimensions(SPACE.dimensions, ("maximize",), FLAT, asked))
    assert proposer.propose(history(CYCLE), 0)


def test_a_front_is_taken() -> None:
    assert generative(("maximize", "minimize")).propose(history(2 * CYCLE, front=True), 0)


def test_numbers_without_steps_get_levels() -> None:
    assert levels(IntDomain(1, 3)) == (1, 2, 3)
    assert levels(ChoiceDomain((False, True))) == (False, True)
    assert levels(FloatDomain(1e-4, 1.0, log=True))[4] == pytest.approx(1e-2)


def test_weights_are_those_of_the_able() -> None:
    weights = softmax(np.array([1.0, 2.0, 9.0]), np.array([True, True, False]))
    assert weights[1] / weights[0] == pytest.approx(np.exp(1 / 0.25))
    assert weights[2] == 0
    assert softmax(np.zeros(4), np.full(4, False)).tolist() == [0.25] * 4
