"""Groups by name, and what is said of groups."""

from __future__ import annotations

import pytest

from compressdefect.data.groups import groups_by_name
from compressdefect.errors import DataError

NAMES = ["a/tile7_exp1.png", "b/tile7_exp2.png", "a/tile8_exp1.png", "a/other.png"]


def test_groups_by_name() -> None:
    assert groups_by_name(r"tile(\d+)", NAMES, list("wxyz")).numbers.tolist() == [0, 0, 1, 2]
    joined = groups_by_name(r"tile(\d+)", NAMES, ["w", "x", "y", "w"]).numbers  # a copy joins its original
    assert len(set(joined.tolist())) == 2
    with pytest.raises(DataError, match="not a regular expression"):
        groups_by_name("(", NAMES, list("wxyz"))
    with pytest.raises(DataError, match="matches no file name"):
        groups_by_name("plate", NAMES, list("wxyz"))


def test_the_alternative_that_matched_names_the_group() -> None:
    names = ["a/tile7_1.png", "a/tile7_2.png", "b/plate1.png", "b/plate2.png"]
    assert groups_by_name(r"tile(\d+)|plate(\d+)", names, list("wxyz")).numbers.tolist() == [0, 0, 1, 2]


def test_names_that_do_not_match_are_counted() -> None:
    assert groups_by_name(r"tile(\d+)", NAMES, list("wxyz")).remarks == (
        "not matched by --group, each a group of its own: 1 of 4 file names, as a/other.png",
    )
    assert groups_by_name(r"tile(\d+)", NAMES[:3], list("wxy")).remarks == ()
