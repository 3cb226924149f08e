from __future__ import annotations

import numpy as np
import pytest

from compressdefect.report.evidence import Evidence, Predictions
from compressdefect.report.verdicts import CONFUSION, ESCAPE, OVERKILL, answers, confusion_counts, mistakes

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
