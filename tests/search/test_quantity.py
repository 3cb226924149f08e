from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compressdefect import units
from compressdefect.errors import SpaceError
from compressdefect.search.quantity import parse_bytes, parse_count, parse_seconds


@pytest.mark.parametrize(
    ("text", "count"), [("100M", 100_000_000), ("1.5k", 1500), ("2g", 2_000_000_000), (" 7 ", 7), (".5M", 500_000)]
)
def test_counts_are_decimal_in_any_case(text: str, count: int) -> None:
    assert parse_count(text, "--budget-flops") == count
    assert parse_count(text.swapcase(), "--budget-flops") == count


@pytest.mark.parametrize(
    ("text", "count"), [("1KiB", 1024), ("1.5gib", 1_610_612_736), ("3 mb", 3_000_000), ("512k", 512_000), ("64", 64)]
)
def test_memory_is_binary_only_where_it_says_so(text: str, count: int) -> None:
    assert parse_bytes(text, "--budget-memory") == count


@pytest.mark.parametrize(
    ("text", "seconds"), [("0.6ms", 0.0006), ("0.0001ms", 1e-7), ("90s", 90), ("6m", 360), ("1.5H", 5400)]
)
def test_times_need_a_unit(text: str, seconds: float) -> None:
    assert parse_seconds(text, "--time") == pytest.approx(seconds)
    with pytest.raises(SpaceError, match=r"--time.*6m"):
        parse_seconds("6", "--time")


@pytest.mark.parametrize("text", ["", "M", "-3M", "0", "0.0k", "nan", "inf", "1e400", "12 monkeys", "1,5M", "100 M M"])
def test_nonsense_is_an_error_that_names_its_option(text: str) -> None:
    with pytest.raises(SpaceError, match="--budget-flops"):
        parse_count(text, "--budget-flops")


@pytest.mark.parametrize(("text", "bound"), [("-3M", "above 0"), ("0", "above 0"), ("0.5", "at least 1")])
def test_too_small_a_number_is_called_that(text: str, bound: str) -> None:
    with pytest.raises(SpaceError, match=f"--budget-flops must be {bound}"):
        parse_count(text, "--budget-flops")


@given(st.integers(1, 10**12))
def test_what_is_written_is_read_back_to_three_digits(count: int) -> None:
    assert parse_count(units.count(count), "x") == pytest.approx(count, rel=5e-3)
    assert parse_bytes(units.size(count), "x") == pytest.approx(count, rel=5e-3)
