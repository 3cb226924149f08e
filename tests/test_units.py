from __future__ import annotations

import pytest

from compressdefect import units


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (999, "999"), (999_600, "1.00 M"), (100_000_000, "100 M"), (62_412_000, "62.4 M")]
)
def test_count(value: int, text: str) -> None:
    assert units.count(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.04, "0.0 s"), (59.97, "1 min 0 s"), (60, "1 min 0 s"), (7260, "2 h 1 min")]
)
def test_duration(seconds: float, text: str) -> None:
    assert units.duration(seconds) == text


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
