from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compressdefect.data.verdict import defect_scores, rejected
from compressdefect.errors import DataError
from compressdefect.train.metrics import wilson_interval
from compressdefect.train.operating_point import (
    caught,
    choices,
    choose_threshold,
    figures,
    operating_point,
    settle,
)

BAD = np.array([0.55, 0.97])


def mixed(good: np.ndarray, bad: np.ndarray = BAD) -> tuple[np.ndarray, np.ndarray]:
    return np.concatenate([good, bad]), np.arange(len(good) + len(bad)) < len(good)


def test_score_is_the_probability_of_not_being_good() -> None:
    scores = defect_scores(np.array([[0.2, 0.5, 0.3], [0.0, 1.0, 0.0]], dtype=np.float32), good=1)
    assert scores == pytest.approx([0.5, 0.0])


def test_under_100_good_parts_none_may_be_rejected() -> None:
    scores, is_good = mixed(np.linspace(0, 0.49, 99))
    assert choose_threshold(scores, is_good) == pytest.approx((0.49 + 0.55) / 2)


def test_of_100_good_parts_one_may_be_rejected() -> None:
    good = np.append(np.linspace(0, 0.4, 99), 0.9)
    scores, is_good = mixed(good)
    threshold = choose_threshold(scores, is_good)
    assert threshold == pytest.approx((0.4 + 0.55) / 2)
    point = operating_point(scores, is_good, threshold)
    assert (point.overkill, point.escape) == (0.01, 0.0)


def test_one_good_part() -> None:
    assert choose_threshold(*mixed(np.array([0.25]))) == pytest.approx((0.25 + 0.55) / 2)


def test_good_part_above_every_defect() -> None:
    scores, is_good = mixed(np.array([0.1, 0.98]))
    threshold = choose_threshold(scores, is_good)
    assert threshold == pytest.approx((0.98 + 1) / 2)
    assert operating_point(scores, is_good, threshold).escape == 1.0


def test_no_defect_to_choose_by() -> None:
    assert choose_threshold(np.array([0.1, 0.3]), np.array([True, True])) == pytest.approx((0.3 + 1) / 2)


def test_equal_scores_are_never_split() -> None:
    """Three good parts tie at the highest score: rejecting one would reject three."""
    scores, is_good = mixed(np.array([*np.zeros(197), 0.8, 0.8, 0.8]), np.array([0.5, 0.9]))
    threshold = choose_threshold(scores, is_good)
    assert threshold == pytest.approx((0.8 + 0.9) / 2)


def test_certain_scores_stay_at_zero_overkill() -> None:
    scores, is_good = mixed(np.array([1.0, 0.0]), np.array([1.0]))
    threshold = choose_threshold(scores, is_good)
    assert not rejected(scores, threshold).any()


def test_a_threshold_is_kept_for_every_usual_overkill() -> None:
    good = np.linspace(0.001, 0.4, 400)
    scores, is_good = mixed(good)
    point = settle(scores, is_good, None, None, overkill=0.03, choose=True)
    assert [(c.aim, c.rejected, c.good) for c in point.choices] == [
        (0.005, 2, 400),
        (0.01, 4, 400),
        (0.02, 8, 400),
        (0.03, 12, 400),
        (0.05, 20, 400),
    ]
    assert point.threshold == point.choices[3].threshold
    assert figures(point)["choices"][3] == {"aim": 0.03, "threshold": point.threshold, "rejected": 12, "good": 400}


def test_nothing_is_chosen_on_images_whose_threshold_is_given() -> None:
    scores, is_good = mixed(np.linspace(0, 0.4, 10))
    assert settle(scores, is_good, 0.5, None, overkill=0.01, choose=False).choices == ()
    assert figures(None)["choices"] == []


def test_few_good_parts_cannot_tell_small_overkills_apart() -> None:
    found = choices(*mixed(np.linspace(0, 0.4, 41)))
    assert {c.threshold for c in found[:3]} == {found[0].threshold}
    assert [c.rejected for c in found] == [0, 0, 0, 2]


def test_no_good_part_is_an_error() -> None:
    with pytest.raises(DataError, match="no good image"):
        choose_threshold(BAD, np.array([False, False]))


@pytest.mark.parametrize(("good", "message"), [(True, "no defective image"), (False, "no good image")])
def test_no_escape_at_an_overkill_without_both_kinds(good: bool, message: str) -> None:
    with pytest.raises(DataError, match=message):
        caught(BAD, np.array([good, good]), overkill=0.01)


def test_intervals_are_wilsons() -> None:
    scores, is_good = mixed(np.linspace(0, 0.5, 50), np.array([0.1, 0.7, 0.8, 0.9]))
    point = operating_point(scores, is_good, 0.6)
    assert (point.overkill, point.overkill_interval) == (0.0, wilson_interval(0, 50))
    assert (point.escape, point.escape_interval) == (0.25, wilson_interval(1, 4))


def test_rates_of_absent_images_are_none() -> None:
    point = operating_point(BAD, np.array([False, False]), 0.6)
    assert (point.overkill, point.overkill_interval, point.escape) == (None, None, 0.5)


@given(
    st.lists(st.floats(0, 1, width=32), min_size=1, max_size=300),
    st.lists(st.floats(0, 1, width=32), max_size=50),
    st.sampled_from([0.0, 0.01, 0.05, 0.3]),
)
def test_threshold_is_the_lowest_verdict_within_the_allowance(
    good: list[float], bad: list[float], overkill: float
) -> None:
    scores, is_good = mixed(np.array(good), np.array(bad))
    threshold = choose_threshold(scores, is_good, overkill=overkill)
    allowed = int(overkill * len(good) + 1e-9)
    assert rejected(scores[is_good], threshold).sum() <= allowed
    highest_passed = scores[is_good & ~rejected(scores, threshold)].max()
    assert (scores[is_good] >= highest_passed).sum() > allowed  # passing it is what keeps the promise
    assert not (rejected(scores, highest_passed) & ~rejected(scores, threshold)).any()  # and nothing else is passed
