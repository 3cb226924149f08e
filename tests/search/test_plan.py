from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compressdefect.search.clock import Clock
from compressdefect.search.plan import (
    MAX_EPOCHS,
    MIN_EPOCHS,
    NOTHING_AFTER,
    SURE,
    TIMED_TRIALS,
    After,
    Plan,
    Speed,
    TopPlan,
    fit_speed,
    plan_top,
    plan_trials,
)


def plan(
    limit_s: float,
    *,
    workers: int = 1,
    trials: int | None = None,
    cap: int | None = None,
    least: int = MIN_EPOCHS,
    spent_s: float = 0,
) -> Plan:
    clock = Clock(limit_s, spent_s=spent_s)
    return plan_trials(clock, lambda epoch_s: 100 * epoch_s, 1.0, workers=workers, trials=trials, cap=cap, least=least)


def test_the_time_after_the_reserve_is_shared_out() -> None:
    assert plan(100 + TIMED_TRIALS * 10 + 1).epochs == 10
    assert plan(100 + 8 * 30 + 1, trials=8).epochs == 30
    assert plan(100 + TIMED_TRIALS * 10 + 1, workers=2).epochs == 20
    assert plan(2 * (100 + TIMED_TRIALS * 10) + 2, spent_s=100 + TIMED_TRIALS * 10).epochs == 10


def test_trials_are_neither_too_short_nor_too_long() -> None:
    assert plan(1).epochs == MIN_EPOCHS
    assert plan(10**6).epochs == MAX_EPOCHS
    assert plan(10**6, cap=7).epochs == 7
    assert plan(1, cap=2).epochs == 2


@given(st.floats(0.1, 10), st.floats(0, 5))
def test_seconds_are_a_line_over_macs(base_s: float, million_s: float) -> None:
    speed = fit_speed([(macs, base_s + million_s * macs / 1e6) for macs in (1_000_000, 2_000_000, 8_000_000)])
    assert speed is not None
    assert speed.epoch_s(4_000_000) == pytest.approx(base_s + 4 * million_s, rel=1e-3)


def test_a_line_never_falls_and_never_starts_below_zero() -> None:
    for measured in ([(1, 8.0), (4, 2.0)], [(1, 0.1), (2, 1.0), (3, 9.0)]):
        speed = fit_speed(measured)
        assert speed is not None
        assert min(speed.base_s, speed.mac_s) >= 0


def test_before_two_designs_are_known_half_the_time_is_taken_to_depend_on_macs() -> None:
    assert fit_speed([]) is None
    assert fit_speed([(10, 3.0), (10, 5.0)]) == Speed(base_s=2.0, mac_s=0.2)
    assert fit_speed([(8, 5.0), (12, 3.0)]) == Speed(base_s=2.0, mac_s=0.2), "designs of nearly the same size"


def test_a_clock_adds_what_earlier_processes_used() -> None:
    assert 90 < Clock(100, spent_s=5).left_s <= 95
    assert Clock(100, spent_s=105).left_s == 0
    assert Clock().left_s == float("inf")


def test_a_trial_makes_the_steps_that_a_judgement_needs() -> None:
    assert plan(1, least=20).epochs == 20
    assert plan(10**6, least=2 * MAX_EPOCHS).epochs == 2 * MAX_EPOCHS
    assert plan(1, cap=7, least=20).epochs == 7


def test_the_top_takes_as_many_designs_as_can_be_trained_for_all_epochs() -> None:
    assert plan_top(1000.0, [1.0] * 9, workers=2, wanted=100, least=25, after=NOTHING_AFTER) == TopPlan(9, 100, 1.0)
    assert plan_top(340.0, [1.0] * 9, workers=2, wanted=100, least=25, after=NOTHING_AFTER) == TopPlan(6, 100, 1.0)


def test_four_designs_are_trained_for_fewer_epochs_rather_than_less_of_them() -> None:
    planned = plan_top(105.0, [1.0] * 9, workers=2, wanted=100, least=25, after=After(final=0.5))
    assert planned == TopPlan(4, int(SURE * 105 / 3), 2 / 3), "twice as long a final training"
    planned = plan_top(300.0, [1.0] * 9, workers=2, wanted=100, least=25, after=After(final=1.0))
    epochs = int((SURE * 300 - 100) / 2)
    assert planned == TopPlan(4, epochs, 2 * epochs / (2 * epochs + 100)), "a final training of all epochs"
    planned = plan_top(60.0, [1.0] * 9, workers=2, wanted=100, least=10, after=After(folds=1.2, final=0.9))
    assert planned == TopPlan(4, int(SURE * 60 / 5), 2 / 5), "the winner's other folds, then the final training"
    assert plan_top(20.0, [1.0] * 9, workers=1, wanted=100, least=8, after=NOTHING_AFTER).designs == 2
    assert plan_top(0.1, [1.0] * 9, workers=1, wanted=100, least=8, after=NOTHING_AFTER) == TopPlan(2, 1, 1.0)
    assert plan_top(0.1, [1.0], workers=1, wanted=100, least=8, after=NOTHING_AFTER) == TopPlan(1, 1, 1.0)


def test_without_a_time_limit_four_designs_are_trained_for_all_epochs() -> None:
    assert plan_top(math.inf, [1.0] * 9, workers=2, wanted=100, least=25, after=After(final=0.5))[:2] == (4, 100)


def test_unequal_designs_are_packed_onto_the_workers() -> None:
    """Three short ones beside a long one end when it does."""
    planned = plan_top(100.0, [1.0, 3.0, 1.0, 1.0], workers=2, wanted=1000, least=1, after=NOTHING_AFTER)
    assert planned == TopPlan(4, int(SURE * 100 / 3.0), 1.0)
