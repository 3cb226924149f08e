from __future__ import annotations

import numpy as np
import pytest

from compressdefect.report.evidence import Evidence, Predictions
from compressdefect.report.verdicts import (
    CONFUSION,
    ESCAPE,
    NEAR_CONFUSION,
    NEAR_ESCAPE,
    NEAR_OVERKILL,
    OVERKILL,
    answers,
    confusion_counts,
    mistakes,
    near_misses,
)

LABELS = np.array([0, 0, 1, 1, 2, 2])
PROBABILITIES = np.array(
    [
        [0.9, 0.05, 0.05],  # good, passed
        [0.6, 0.3, 0.1],  # good, rejected: its score .4 is above the threshold
        [0.8, 0.15, 0.05],  # defect 1, passed
        [0.2, 0.7, 0.1],  # defect 1, right
        [0.95, 0.0, 0.05],  # defect 2, passed, with the lower score
        [0.1, 0.8, 0.1],  # defect 2, rejected as defect 1
    ]
)
CASE = Predictions(tuple("abcdef"), LABELS, PROBABILITIES, 0.3)


def test_a_part_is_rejected_above_the_threshold_even_if_good_is_most_probable() -> None:
    assert answers(CASE, 0).tolist() == [0, 1, 0, 1, 0, 1]


def test_a_score_at_the_threshold_passes() -> None:
    case = Predictions(("a",), np.array([1]), np.array([[0.5, 0.5]]), 0.5)
    assert answers(case, 0).tolist() == [0]


def test_without_a_good_class_the_most_probable_one_counts() -> None:
    assert answers(CASE._replace(threshold=None), None).tolist() == [0, 0, 0, 1, 0, 1]


def test_escapes_come_first_and_the_most_confident_one_leads() -> None:
    found = [(m.kind, m.name, m.answer) for m in mistakes(CASE, 0)]
    assert found == [(ESCAPE, "e", 0), (ESCAPE, "c", 0), (OVERKILL, "b", 1), (CONFUSION, "f", 1)]
    assert [m.score for m in mistakes(CASE, 0)] == pytest.approx([0.05, 0.2, 0.4, 0.8])


def test_confusions_are_the_only_mistakes_without_a_good_class() -> None:
    assert {m.kind for m in mistakes(CASE._replace(threshold=None), None)} == {CONFUSION}


def test_counts_hold_every_image_and_every_mistake() -> None:
    counts = confusion_counts(CASE, 0)
    assert counts.tolist() == [[1, 1, 0], [1, 1, 0], [1, 1, 0]]
    assert counts.sum() - counts.trace() == len(mistakes(CASE, 0))


def test_mistakes_agree_with_the_figures_that_lead_the_report(search: Evidence) -> None:
    test, found = search.best.test, mistakes(search.best.predictions, search.good)
    assert sum(m.kind == ESCAPE for m in found) == round(test["escape"] * 150)
    assert sum(m.kind == OVERKILL for m in found) == round(test["overkill"] * 150)


def test_near_misses_are_the_right_verdicts_nearest_to_the_threshold() -> None:
    near = Predictions(
        tuple("abcdef"),
        np.array([0, 0, 0, 1, 1, 1]),
        np.array([[0.9, 0.1], [0.55, 0.45], [0.4, 0.6], [0.1, 0.9], [0.48, 0.52], [0.8, 0.2]]),
        0.5,
    )
    found = near_misses(near, 0, limit=2)
    assert [(m.kind, m.name) for m in found] == [
        (NEAR_ESCAPE, "e"),
        (NEAR_ESCAPE, "d"),
        (NEAR_OVERKILL, "b"),
        (NEAR_OVERKILL, "a"),
    ]
    assert [m.answer for m in found] == [1, 1, 1, 1]  # what the good ones were nearly taken for
    assert not {m.name for m in found} & {m.name for m in mistakes(near, 0)}
    assert found[0].score == pytest.approx(0.52)


def test_without_a_threshold_the_smallest_lead_is_a_near_miss() -> None:
    (first, second) = near_misses(CASE._replace(threshold=None), None, limit=2)
    assert (first.kind, first.name, first.answer, first.score) == (NEAR_CONFUSION, "b", 1, pytest.approx(0.6))
    assert second.name == "d"


def test_a_model_that_is_always_right_has_near_misses(search: Evidence) -> None:
    found = search.best.predictions
    sure = found._replace(probabilities=np.eye(2)[found.labels] * 0.9 + 0.05)
    assert mistakes(sure, 0) == []
    assert len(near_misses(sure, 0)) == 16
