from __future__ import annotations

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from compressdefect import units


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (834, "834"), (999, "999"), (999_600, "1.00 M"), (100_000_000, "100 M"), (62_412_000, "62.4 M")],
)
def test_count(value: int, text: str) -> None:
    assert units.count(value) == text


@given(st.integers(0, 10**13))
def test_a_count_is_read_back_within_half_of_its_last_digit(value: int) -> None:
    number, _, prefix = units.count(value).partition(" ")
    scale = {"": 1, "k": 1e3, "M": 1e6, "G": 1e9}[prefix]
    assert float(number) * scale == pytest.approx(value, rel=0.005, abs=0.5)


def test_two_counts_are_told_apart_by_more_digits() -> None:
    assert units.count(100_040_000) == units.count(100_000_000) == "100 M"
    assert units.count(100_040_000, digits=5) == "100.04 M"


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.04, "0.0 s"), (59.97, "1 min 0 s"), (60, "1 min 0 s"), (7260, "2 h 1 min")]
)
def test_duration(seconds: float, text: str) -> None:
    assert units.duration(seconds) == text


@pytest.mark.parametrize(
    ("rate", "text"),
    [
        (0.0, "0.0 %"),
        (1 / 2500, "0.04 %"),
        (0.9996, "99.96 %"),
        (0.9994, "99.94 %"),
        (0.999, "99.9 %"),
        (0.9995, "99.95 %"),
        (0.0006, "0.06 %"),
        (0.00099, "0.10 %"),
        (1 - 1 / 123_456, "99.9992 %"),
        (1e-9, "< 0.0001 %"),
        (1 - 1e-8, "> 99.9999 %"),
        (1 - 1e-16, "100.0 %"),
        (0.5, "50.0 %"),
        (math.nan, "–"),
        (None, "–"),
    ],
)
def test_percent(rate: float | None, text: str) -> None:
    assert units.percent(rate) == text


@given(st.integers(1, 10**6), st.data())
@example(2500, None)
def test_no_failure_is_rounded_away(n: int, data: st.DataObject | None) -> None:
    """One of n is not none of n, and n − 1 of n are not all; what is shown is near to what is."""
    hits = 1 if data is None else data.draw(st.integers(0, n))
    text = units.percent(hits / n)
    assert (text == "0.0 %") == (hits == 0)
    assert (text == "100.0 %") == (hits == n)
    number = float(text.strip("<> %"))
    assert abs(number - 100 * hits / n) <= 0.05 + 1e-9
    assert 0 < number < 100 or hits in (0, n)


@given(st.floats(0, 1), st.floats(0, 1))
def test_percents_keep_their_order(a: float, b: float) -> None:
    low, high = sorted((a, b))
    bounds = units.interval([low, high]).removesuffix(" %").split("–")
    assert float(bounds[0].strip("<> ")) <= float(bounds[1].strip("<> "))


def test_an_interval_reaches_0_and_1_only_where_it_does() -> None:
    assert units.interval([0.0, 0.0014]) == "0.0–0.1 %"
    assert units.interval([0.9984, 0.99996]) == "99.8–99.996 %"


@given(st.floats(0, 1))
def test_a_probability_is_0_or_1_only_if_it_is(value: float) -> None:
    number = float(units.probability(value))
    assert (number == 0) == (value == 0)
    assert (number == 1) == (value == 1)
    assert number == pytest.approx(value, abs=5.01e-4)


@pytest.mark.parametrize(
    ("difference", "text"), [(0.012, "+1.2 points"), (-0.0004, "-0.04 points"), (0.0, "+0.0 points")]
)
def test_points(difference: float, text: str) -> None:
    assert units.points(difference) == text


@pytest.mark.parametrize(("times", "text"), [(15.5, "15.5×"), (0.75, "0.75×"), (0.0123, "0.012×"), (1.0, "1.00×")])
def test_ratio(times: float, text: str) -> None:
    assert units.ratio(times, 1.0) == text


def test_unknown_is_a_dash() -> None:
    for form in (
        units.count,
        units.size,
        units.milliseconds,
        units.duration,
        units.percent,
        units.interval,
        units.plain,
    ):
        assert form(None) == units.NONE
    assert units.ratio(None, 1.0) == units.ratio(1.0, 0.0) == units.NONE
