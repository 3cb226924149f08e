"""Two models on the same images."""

from __future__ import annotations

import numpy as np
import pytest

from compressdefect.compress.drop import compare
from compressdefect.train.classify import Classify

LABELS = np.repeat([0, 1], 100)
TASK = Classify(("good", "scratch"), good=0)


def sure(wrong: int, confidence: float = 0.9) -> np.ndarray:
    """Probabilities of the right class, but for the first so many of each class."""
    right = np.where(np.arange(200) % 100 < wrong, 1 - confidence, confidence)
    return np.stack([np.where(LABELS == 0, right, 1 - right), np.where(LABELS == 1, right, 1 - right)], axis=1)


def test_the_same_answers_hold() -> None:
    drop = compare(TASK, LABELS, sure(3), sure(3))
    assert drop.holds
    assert (drop.metric_before, drop.metric_after) == (0.97, 0.97)
    assert drop.loss_before == pytest.approx(-(0.97 * np.log(0.9) + 0.03 * np.log(0.1)))


def test_one_image_may_always_be_lost_and_half_a_point() -> None:
    few, labels = np.array([0, 1, 0, 1]), np.array([[0.9, 0.1], [0.1, 0.9], [0.9, 0.1], [0.1, 0.9]])
    worse = labels.copy()
    worse[0] = 0.49, 0.51
    assert not [reason for reason in compare(TASK, few, labels, worse).reasons if "accuracy" in reason]
    assert "accuracy falls by 1 points, 0.5 are allowed" in compare(TASK, LABELS, sure(2), sure(3)).reasons


def test_answers_that_are_less_sure_do_not_hold() -> None:
    reasons = compare(TASK, LABELS, sure(0, 0.9), sure(0, 0.88)).reasons
    assert reasons == ("the loss rises from 0.105 to 0.128, 10% are allowed",)


def test_more_escapes_than_chance_do_not_hold() -> None:
    before, after = sure(0), sure(0)
    after[100:110] = 0.95, 0.05  # ten defects look better than any good part
    drop = compare(TASK, LABELS, before, after, max_drop=0.2)
    assert (drop.escape_before, drop.escape_after) == (0.0, 0.1)
    assert drop.escape_error == pytest.approx(np.sqrt(0.1 * 0.9 / 99))
    assert "10 points more defects escape, one standard error is 3" in drop.reasons


def test_without_good_parts_there_are_no_escapes() -> None:
    drop = compare(Classify(("a", "b")), LABELS, sure(1), sure(1))
    assert (drop.escape_before, drop.escape_error, drop.holds) == (None, None, True)
    assert drop.to_json()["reasons"] == []
