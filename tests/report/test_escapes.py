from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from compressdefect.report import escapes
from compressdefect.report.evidence import Evidence, Predictions
from compressdefect.report.originals import Box, Extent
from compressdefect.report.table import text_of
from compressdefect.report.verdicts import ESCAPE, OVERKILL, mistakes
from compressdefect.train.metrics import wilson_interval
from compressdefect.train.operating_point import Choice
from tests.report.fake_run import SIX

CLASSES = ("good", "scratch", "dent")


@pytest.fixture
def answered(evidence_of: Callable[..., Evidence]) -> Callable[..., Evidence]:
    """A run of three classes with these scores: (class, p(good), p(scratch)) for each test image."""

    def make(rows: list[tuple[int, float, float]], choices: tuple[Choice, ...] = ()) -> Evidence:
        evidence = evidence_of(classes=CLASSES, trials=0)
        labels, good, scratch = (np.array(column) for column in zip(*rows, strict=True))
        found = Predictions(
            tuple(f"{CLASSES[label]}/{i}" for i, label in enumerate(labels)),
            labels.astype(np.int64),
            np.stack([good, scratch, 1 - good - scratch], axis=1),
            0.5,
        )
        manifest = evidence.best.manifest.model_copy(
            update={"metrics": {"val": {"choices": [choice._asdict() for choice in choices]}}}
        )
        return replace(evidence, best=evidence.best._replace(predictions=found, manifest=manifest))

    return make


def test_a_scratch_rejected_as_a_dent_does_not_escape(answered: Callable[..., Evidence]) -> None:
    evidence = answered([(0, 0.9, 0.1), (1, 0.1, 0.2), (1, 0.1, 0.8), (1, 0.9, 0.0), (2, 0.3, 0.1)])
    scratch, dent = escapes.by_type(evidence)
    assert (scratch.name, scratch.passed[:3], scratch.renamed) == ("scratch", (1, 3, pytest.approx(1 / 3)), 1)
    assert scratch.passed.interval == wilson_interval(1, 3)
    assert (dent.name, dent.passed[:3], dent.renamed) == ("dent", (0, 1, 0.0), 0)
    row = escapes.type_table([scratch]).rows[0].cells
    assert [text_of(cell) for cell in row[:4]] == ["scratch", "3", "1", "33.3 %"]


def test_escapes_of_all_types_are_the_escapes_of_the_headline(search: Evidence) -> None:
    found = mistakes(search.best.predictions, search.good)
    assert sum(row.passed.hits for row in escapes.by_type(search)) == sum(m.kind == ESCAPE for m in found)


def test_small_defects_escape_more(answered: Callable[..., Evidence]) -> None:
    """Forty scratches of 1 to 40 pixels, of which those up to 10 pass."""
    evidence = answered([(0, 0.9, 0.1)] + [(1, 0.9 if i < 10 else 0.1, 0.0) for i in range(40)])
    names = evidence.best.predictions.names
    marked = {names[1 + i]: Extent(i + 1, Box(0, 0, 1, 1)) for i in range(40)}
    rows = escapes.by_size(evidence, marked)
    assert [(row.low, row.passed.n) for row in rows] == [(1, 10), (11, 10), (21, 10), (31, 10)]
    assert [row.passed.share for row in rows] == [1.0, 0.0, 0.0, 0.0]
    assert sum(row.passed.n for row in rows) == 40
    assert [row.cells[0] for row in escapes.size_table(rows).rows] == ["1 to 10", "11 to 20", "21 to 30", "31 to 40"]


@pytest.mark.parametrize(("count", "ranges"), [(4, 0), (5, 1), (11, 2), (19, 3), (400, 4)])
def test_few_defects_have_few_ranges(answered: Callable[..., Evidence], count: int, ranges: int) -> None:
    evidence = answered([(1, 0.1, 0.9)] * count)
    marked = {name: Extent(10 * i + 7, Box(0, 0, 1, 1)) for i, name in enumerate(evidence.best.predictions.names)}
    rows = escapes.by_size(evidence, marked)
    assert len(rows) == ranges
    assert sum(row.passed.n for row in rows) == (count if ranges else 0)


def test_defects_of_one_size_are_one_range(answered: Callable[..., Evidence]) -> None:
    evidence = answered([(1, 0.1, 0.9)] * 40)
    marked = dict.fromkeys(evidence.best.predictions.names, Extent(9, Box(0, 0, 3, 3)))
    assert [(row.low, row.high, row.passed.n) for row in escapes.by_size(evidence, marked)] == [(9, 9, 40)]


def test_without_marks_there_is_no_table_of_sizes(search: Evidence) -> None:
    assert escapes.by_size(search, {}) == []


CHOICES = (Choice(0.005, 0.85, 0, 60), Choice(0.01, 0.5, 0, 60), Choice(0.05, 0.15, 3, 60))


def test_thresholds_are_validations_and_rates_the_tests(answered: Callable[..., Evidence]) -> None:
    rows = [(0, 0.9, 0.1)] * 8 + [(0, 0.8, 0.1), (0, 0.4, 0.6), (1, 0.2, 0.8), (1, 0.1, 0.9), (2, 0.6, 0.0)]
    strict, chosen, lenient = escapes.by_overkill(answered(rows, CHOICES))
    found = [(row.choice.threshold, row.chosen) for row in (strict, chosen, lenient)]
    assert found == [(0.85, False), (0.5, True), (0.15, False)]
    assert [(r.overkill.hits, r.escape.hits) for r in (strict, chosen, lenient)] == [(0, 2), (1, 1), (2, 0)]
    assert (chosen.overkill.n, chosen.escape.n) == (10, 3)


def test_the_delivered_threshold_gives_the_figures_of_the_headline(search: Evidence) -> None:
    (chosen,) = [row for row in escapes.by_overkill(search) if row.chosen]
    assert chosen.escape.share == pytest.approx(search.best.test["escape"])
    assert list(chosen.escape.interval) == pytest.approx(search.best.test["escape_interval"])
    found = mistakes(search.best.predictions, search.good)
    assert chosen.overkill.hits == sum(m.kind == OVERKILL for m in found)


def test_too_few_good_parts_are_said(search: Evidence) -> None:
    rows = escapes.by_overkill(search)
    table = escapes.overkill_table(rows)
    assert [text_of(row.cells[0]) for row in table.rows] == ["0.5 %", "1 % (delivered)", "2 %", "5 %"]
    note = escapes.overkill_note(rows)
    assert "on 60 good images, none of them tested" in note
    assert "less than 1.7 % overkill can only mean to reject none" in note


@pytest.mark.parametrize("options", [{"classes": SIX, "good": None}, {"delivered": False}])
def test_without_a_good_class_or_a_model_nothing_escapes(
    evidence_of: Callable[..., Evidence], options: dict[str, Any]
) -> None:
    evidence = evidence_of(**options)
    assert escapes.by_type(evidence) == []
    assert escapes.by_size(evidence, {}) == []
    assert escapes.by_overkill(evidence) == []


def test_without_a_threshold_nothing_is_passed(answered: Callable[..., Evidence]) -> None:
    evidence = answered([(0, 0.9, 0.1), (1, 0.1, 0.8), (2, 0.9, 0.0)])
    undecided = evidence.best._replace(predictions=evidence.best.predictions._replace(threshold=None))
    assert escapes.by_type(evidence)
    assert escapes.by_type(replace(evidence, best=undecided)) == []
