from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compressdefect.train.schedule import SCHEDULES, Deadline, Pace, cosine, onecycle


class Clock:
    """A clock that moves only when told."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def run(pace: Pace, clock: Clock, steps: int, seconds_per_step: float) -> int:
    """Step until done or out of time; return the number of steps made."""
    for done in range(steps):
        if pace.out_of_time:
            return done
        clock.now += seconds_per_step
        pace.step()
    return steps


def test_cosine_by_closed_form() -> None:
    assert [cosine(p) for p in (0.0, 0.025, 0.05, 0.525, 1.0)] == pytest.approx([0.0, 0.5, 1.0, 0.5, 0.0])


def test_onecycle_by_closed_form() -> None:
    assert [onecycle(p) for p in (0.0, 0.15, 0.3, 0.65, 1.0)] == pytest.approx([0.04, 0.52, 1.0, 0.50005, 1e-4])


@given(st.sampled_from(sorted(SCHEDULES)), st.floats(0, 1))
def test_rates_are_shares_of_the_peak(name: str, position: float) -> None:
    assert 0 <= SCHEDULES[name](position) <= 1


def test_without_a_deadline_the_position_is_the_share_of_steps() -> None:
    pace = Pace(7, None)
    positions = []
    for _ in range(7):
        positions.append(pace.position)
        pace.step()
    assert positions == pytest.approx(np.arange(7) / 7)
    assert pace.position == pytest.approx(1.0)
    assert not pace.out_of_time


def test_a_deadline_far_away_changes_nothing() -> None:
    clock = Clock()
    pace, free = Pace(50, Deadline(100.0 + 60.0, clock)), Pace(50, None)
    assert run(pace, clock, 20, 1.0) == run(free, Clock(), 20, 1.0)
    assert pace.position == free.position


@given(st.floats(1.5, 20))
def test_a_near_deadline_shortens_the_schedule_to_its_end(seconds_per_step: float) -> None:
    clock = Clock()
    pace = Pace(100, Deadline(200.0, clock))
    made = run(pace, clock, 100, seconds_per_step)
    assert made < 100
    assert clock.now <= 200.0 + seconds_per_step
    assert pace.position > 0.99


@given(st.floats(1.5, 5), st.floats(1, 10))
def test_what_follows_the_last_step_is_in_time_too(seconds_per_step: float, closing: float) -> None:
    clock = Clock()
    pace = Pace(100, Deadline(200.0, clock), closing)
    run(pace, clock, 100, seconds_per_step)
    assert clock.now + closing * seconds_per_step <= 200.0 + 2 * seconds_per_step
    assert clock.now + (closing + 3) * seconds_per_step >= 200.0
    assert pace.position > 0.9


def test_a_deadline_that_has_passed_allows_no_step() -> None:
    clock = Clock()
    assert run(Pace(10, Deadline(99.0, clock)), clock, 10, 1.0) == 0


def test_a_slow_first_step_does_not_change_a_schedule_that_has_time() -> None:
    now = [0.0]
    pace = Pace(100, Deadline(50.0, lambda: now[0]))
    for step in range(100):
        now[0] += 5.0 if step == 0 else 0.1
        pace.step()
        assert pace.position == pytest.approx((step + 1) / 100)


def test_a_part_of_a_deadline_is_of_the_time_left() -> None:
    clock = Clock()
    deadline = Deadline(160.0, clock)
    assert (deadline.left_s, deadline.part(1 / 3).at) == (60.0, 120.0)
    clock.now = 150.0
    assert deadline.part(0.5).left_s == 5.0
