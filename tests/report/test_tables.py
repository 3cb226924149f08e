from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from compressdefect.models.graph import Layer
from compressdefect.report import tables
from compressdefect.report.evidence import Evidence, Latency
from compressdefect.report.html import layers_of
from compressdefect.report.sections import tested
from compressdefect.report.table import Bar, Column, Row, Table, named
from compressdefect.train.metrics import wilson_interval
from tests.report.fake_run import SIX


def _column(table: Table, title: str) -> list[str]:
    at = [column.title for column in table.columns].index(title)
    return [cell if isinstance(cell, str) else cell.text for cell in (row.cells[at] for row in table.rows)]


def test_trials_are_in_order_with_the_turned_away_last(search: Evidence) -> None:
    table = tables.trials(search)
    assert _column(table, "trial") == [str(n) for n in range(60)] + ["–"] * 20
    assert all("flops ≤ 100 M" in note for note in _column(table, "note")[60:])
    assert [row.mark for row in table.rows].count("winner") == 1
    assert table.rows[0].mark == "zero"
    assert "MACs" in [column.title for column in table.columns]


def test_trial_zero_is_the_trial_that_repeated_it(search: Evidence) -> None:
    killed = replace(search.trials[0], state="interrupted", metric=None, netscore=None)
    again = replace(search.trials[0], number=1)
    table = tables.trials(replace(search, trials=(killed, again, search.trials[2])))
    assert [row.mark for row in table.rows][:2] == ["muted", "zero"]


def test_trials_are_capped(search: Evidence) -> None:
    many = replace(search, trials=search.trials * 10)
    assert len(tables.trials(many).rows) == tables.TRIALS_SHOWN


def test_comparison_says_how_many_times(search: Evidence) -> None:
    table, zero, winner = tables.comparison(search), search.trial_zero.trial, search.winner.trial
    ratios = dict(zip(_column(table, ""), _column(table, "ratio"), strict=True))
    assert float(ratios["FLOPs"].rstrip("×")) == pytest.approx(winner.flops / zero.flops, abs=0.005)


def test_comparison_is_left_out_where_trial_zero_won(search: Evidence) -> None:
    assert tables.comparison(replace(search, trials=search.trials[:1], best=None)) is None


def test_layers_add_up_to_the_bundle_cost(search: Evidence) -> None:
    found = layers_of(search)
    cost = search.best.manifest.cost
    assert sum(layer.params for layer in found) == cost.params
    assert sum(layer.macs for layer in found) == cost.macs
    assert tables.layers(found).rows[-1].mark == "total"


def test_layer_bars_are_shares_of_the_largest() -> None:
    table = tables.layers([Layer("a", "conv", (8, 4, 4), 10, 50), Layer("b", "conv", (8, 4, 4), 10, 200)])
    assert table.rows[0].cells == ("a", "conv", "8 × 4 × 4", "10", Bar("50", 0.25))


def test_latency_is_beside_the_delivered_model() -> None:
    big, ours = Latency("big", 1, 1, "fp32", 8.0, 9.0), Latency("ours", 1, 1, "int8", 0.5, 0.6)
    table = tables.latency([big, ours, big._replace(batch=10, median_ms=6.0)], "ours")
    assert _column(table, "precision") == ["int8", "fp32", "fp32"]
    assert _column(table, "model") == ["ours", "big", "big"]
    assert _column(table, "ratio") == ["1.00×", "16.0×", "–"]
    assert [row.mark for row in table.rows] == ["winner", "", ""]


def test_per_class_recall_has_wilson_intervals(evidence_of: Callable[..., Evidence]) -> None:
    evidence = evidence_of(classes=SIX, good=None)
    table = tables.per_class(evidence)
    assert _column(table, "class") == list(SIX)
    hits = int(_column(table, "right")[0])
    low, high = wilson_interval(hits, 12)
    assert _column(table, "95 % interval")[0] == f"{100 * low:.1f}–{100 * high:.1f} %"


def test_per_class_intervals_are_over_groups(evidence_of: Callable[..., Evidence]) -> None:
    """Twelve exposures of one part say of a class what one image says."""
    evidence = evidence_of(classes=SIX, good=None)
    found = evidence.best.predictions
    right = np.eye(len(SIX))[found.labels]
    grouped = found._replace(probabilities=right, groups=found.labels)
    table = tables.per_class(replace(evidence, best=evidence.best._replace(predictions=grouped)))
    low, high = wilson_interval(1, 1)
    assert _column(table, "95 % interval") == [f"{100 * low:.1f}–{100 * high:.1f} %"] * len(SIX)


@pytest.mark.parametrize(("threshold", "decided"), [(0.5, "the chosen threshold"), (None, "the most probable class")])
def test_what_decided_is_said_where_no_part_is_good(search: Evidence, threshold: float | None, decided: str) -> None:
    """Without good parts there is no operating point to draw, and the threshold decides all the same."""
    found = search.best.predictions
    bad = found.labels == 1
    shown = found._replace(
        names=tuple(np.array(found.names)[bad]),
        labels=found.labels[bad],
        probabilities=found.probabilities[bad],
        threshold=threshold,
    )
    page = tested.quality(replace(search, best=search.best._replace(predictions=shown)), {}).content
    assert f"Decided {'at' if threshold else 'by'} {decided}" in page


def test_wrong_answers_name_the_images(search: Evidence) -> None:
    table = tables.wrong_answers(search, limit=2)
    assert len(table.rows) <= 2
    assert set(_column(table, "image")) <= set(search.best.predictions.names)


def test_names_are_escaped_and_missing_facts_left_out() -> None:
    table = tables.facts([("data", "<script>alert(1)</script>"), ("seed", 0), ("space", None)])
    assert "<script>" not in table.markup()
    assert "&lt;script&gt;" in table.markup()
    assert _column(table, "").count("") == 0
    assert len(table.rows) == 2


def test_headings_of_a_sortable_table_are_buttons_and_rows_have_names() -> None:
    table = Table((Column("name"), Column("size", numeric=True)), [Row(("a", "3"))])
    assert table.markup(sortable=True).count('<button type="button">') == 2
    assert "<button" not in table.markup()
    assert '<th scope="row">a</th>' in table.markup()
    assert '<th scope="col" class="number">' in table.markup()


def test_columns_after_the_first_are_numbers() -> None:
    assert [column.numeric for column in named("class", "images", "right")] == [False, True, True]
