from __future__ import annotations

from compressdefect.search.clock import Clock
from compressdefect.search.plan import MAX_EPOCHS, MIN_EPOCHS, TIMED_TRIALS, Plan, plan_trials


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


def test_the_next_trial_takes_what_was_planned_or_what_trials_take() -> None:
    assert Plan(10, 1.0).trial_s([]) == 10
    assert Plan(10, 1.0).trial_s([20, 30, 40]) == 30
    assert Plan(10, 1.0).trial_s([5]) == 5
    assert Plan(10).trial_s([]) is None


def test_a_clock_adds_what_earlier_processes_used() -> None:
    assert 90 < Clock(100, spent_s=5).left_s <= 95
    assert Clock(100, spent_s=105).left_s == 0
    assert Clock().left_s == float("inf")


def test_a_trial_makes_the_steps_that_a_judgement_needs() -> None:
    assert plan(1, least=20).epochs == 20
    assert plan(10**6, least=2 * MAX_EPOCHS).epochs == 2 * MAX_EPOCHS
    assert plan(1, cap=7, least=20).epochs == 7
