from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compressdefect.report.evidence import Evidence
from compressdefect.report.figures import confusion, gain, history, operating, parallel, pareto
from compressdefect.report.table import Shade, text_of
from tests.report.fake_run import SIX

ALL = (pareto, history, gain, parallel, operating)


@pytest.mark.parametrize("module", ALL, ids=lambda module: module.__name__.rpartition(".")[2])
def test_every_figure_draws_a_search(module: object, search: Evidence) -> None:
    figure = module.draw(module.compute(search))  # type: ignore[attr-defined]
    assert len(figure.data) >= 1
    assert figure.to_json()


@pytest.mark.parametrize("module", [pareto, history, gain, parallel])
def test_a_training_has_no_search_to_draw(module: object, evidence_of: Callable[..., Evidence]) -> None:
    assert module.compute(evidence_of(trials=0)) is None  # type: ignore[attr-defined]


def test_front_of_a_hand_made_case() -> None:
    points = [pareto.Point(i, c, m) for i, (c, m) in enumerate([(5, 0.9), (3, 0.8), (4, 0.7), (6, 0.9), (3, 0.75)])]
    assert [p.number for p in pareto.front(points)] == [1, 0]


@given(st.lists(st.tuples(st.integers(1, 20), st.integers(0, 20)), min_size=1, max_size=40))
def test_front_is_what_nothing_beats(pairs: list[tuple[int, int]]) -> None:
    points = [pareto.Point(i, cost, metric) for i, (cost, metric) in enumerate(pairs)]
    kept = {(p.cost, p.metric) for p in pareto.front(points)}
    beaten = {
        (p.cost, p.metric)
        for p in points
        if any(q.cost <= p.cost and q.metric >= p.metric and (q.cost, q.metric) != (p.cost, p.metric) for q in points)
    }
    assert kept == {(p.cost, p.metric) for p in points} - beaten


def test_pareto_marks_budget_winner_and_trial_zero(search: Evidence) -> None:
    data = pareto.compute(search)
    assert data.axis.column == "flops"
    assert data.budget == 100_000_000
    assert data.winner.number == search.winner.number
    assert data.trial_zero.number == 0
    assert len(data.points) == len(search.finished)
    assert len(data.turned_away) == 20
    assert min(data.turned_away) > data.budget
    drawn = pareto.draw(data)
    assert {"winner", "trial 0", "Pareto front"} <= {trace.name for trace in drawn.data}
    assert any(shape.x0 == shape.x1 == 100 for shape in drawn.layout.shapes)
    assert "budget 100 M" in {note.text for note in drawn.layout.annotations}


def test_a_latency_budget_chooses_the_axis(search: Evidence) -> None:
    evidence = replace(search, manifest={"budgets": {"flops": 1e8, "latency_ms": 0.6}})
    assert pareto.compute(evidence).axis.column == "latency_ms"
    assert pareto.compute(replace(search, manifest={})).axis.column == "macs"


def test_low_outliers_stay_below_the_axis_and_are_counted(search: Evidence) -> None:
    points = [pareto.Point(n, 1e7, 0.95 + n / 1000) for n in range(20)]
    data = pareto.compute(search)._replace(points=points)
    low = data._replace(points=[*points, pareto.Point(99, 1e7, 0.2)])
    assert (data.below, low.below) == (0, 1)
    assert low.floor > 0.9


def test_history_keeps_every_trial_and_its_end(search: Evidence) -> None:
    data = history.compute(search)
    asked = [t for t in search.trials if t.number is not None]
    assert sum(map(len, data.by_state.values())) == len(asked) == 60
    assert set(data.by_state) == {t.state for t in asked}
    values = [m for _, m in data.best]
    assert values == sorted(values)
    assert values[-1] == max(s.metric for s in search.finished)


def test_history_shows_trials_without_a_score_on_the_edge(search: Evidence) -> None:
    failed = replace(search.trials[1], state="failed", metric=None)
    data = history.compute(replace(search, trials=(search.trials[0], failed)))
    drawn = {trace.name: trace for trace in history.draw(data).data}
    assert drawn["failed (1)"].y[0] == pytest.approx(100 * search.trials[0].metric)


def test_gain_starts_at_nothing_and_ends_at_the_winner(search: Evidence) -> None:
    data = gain.compute(search)
    assert data.steps[0] == gain.Step(0, 0.0, 0.0, 1.0, 1.0)
    last, zero, winner = data.steps[-1], search.trial_zero, search.winner
    assert last.number == winner.number
    assert last.netscore_gain == pytest.approx(winner.netscore - zero.netscore)
    assert last.flops_ratio == pytest.approx(winner.trial.flops / zero.trial.flops)
    assert data.last == 59


def test_gain_ends_at_the_winner_whichever_rule_named_it(search: Evidence) -> None:
    """With a Pareto front, or after a lead that went to a better but dearer design, it is not the best NetScore."""
    dearer = min(search.finished[1:], key=lambda score: score.netscore)
    manifest = {"led": [0, search.winner.number, dearer.number], "choice": {"winner": dearer.number}}
    evidence = replace(search, manifest=manifest, best=None)
    assert gain.compute(evidence).steps[-1].number == evidence.winner.number == dearer.number


def test_over_nothing_there_is_no_gain(search: Evidence) -> None:
    blind = replace(search.trials[0], metric=0.0, netscore=-1000.0)
    assert gain.compute(replace(search, trials=(blind, *search.trials[1:]))) is None


def test_gain_starts_at_trial_zero_that_was_repeated(search: Evidence) -> None:
    trials = (replace(search.trials[0], state="interrupted", metric=None), replace(search.trials[0], number=1))
    data = gain.compute(replace(search, trials=trials, manifest={"led": [1]}, best=None))
    assert (data.zero, [step.number for step in data.steps]) == (1, [1])


def test_association_is_one_for_a_gene_that_decides_and_low_for_noise() -> None:
    metric = np.linspace(0.5, 0.9, 40)
    assert parallel.association([i // 10 for i in range(40)], metric) > 0.9
    assert parallel.association([i % 4 for i in range(40)], metric) < 0.1
    assert parallel.association(list(range(40)), metric) == 0.0  # one trial per value says nothing


def test_association_tells_a_switch_from_a_number() -> None:
    metric = np.array([0.1, 0.9] * 4)
    assert parallel.association([True, 1] * 4, metric) == 1.0


def test_genes_have_their_flat_names(search: Evidence) -> None:
    genes = parallel.genes_of(search.trials[0])
    assert {"stem_width", "stage1.width", "stage1.column1.block", "stage4.depth"} <= set(genes)


def test_parallel_axes_hold_one_height_per_trial(search: Evidence) -> None:
    data = parallel.compute(search)
    assert [axis.title for axis in data.axes[-3:]] == ["params", "FLOPs", "accuracy"]
    assert len(data.axes) == parallel.GENES + 3
    assert data.genes_left_out > 0
    assert data.numbers[data.winner] == search.winner.number
    for axis in data.axes:
        heights = axis.heights[~np.isnan(axis.heights)]
        assert len(axis.heights) == len(axis.values) == len(search.finished)
        assert heights.min() >= 0
        assert heights.max() == pytest.approx(1.0)
    assert data.axes[-1].heights.argmax() == data.metric.argmax()


def test_parallel_needs_three_trials(evidence_of: Callable[..., Evidence]) -> None:
    assert parallel.compute(evidence_of(trials=2)) is None


def test_confusion_counts_the_test_images(evidence_of: Callable[..., Evidence]) -> None:
    data = confusion.compute(evidence_of(classes=SIX, good=None, channels=3))
    assert data.classes == SIX
    assert data.counts.sum(axis=1).tolist() == [12] * 6
    table = confusion.draw(data)
    assert [text_of(cell) for row in table.rows for cell in row.cells[1:]] == [str(n) for n in data.counts.ravel()]
    assert [row.cells[0] for row in table.rows] == [column.title for column in table.columns[1:]] == list(SIX)


def test_every_mistake_of_a_confusion_matrix_has_a_tint() -> None:
    table = confusion.draw(confusion.ConfusionData(("a", "b"), np.array([[9999, 1], [0, 50]])))
    right, wrong = table.rows[0].cells[1:]
    assert isinstance(wrong, Shade)
    assert (wrong.kind, wrong.strength) == ("wrong", pytest.approx(0.16, abs=0.01))
    assert (right.kind, right.strength) == ("right", pytest.approx(0.9999))  # type: ignore[union-attr]
    assert table.rows[1].cells[1] == "0"


def test_the_page_draws_with_what_its_library_can(search: Evidence) -> None:
    """The part of plotly.js that a page holds knows scatter, bar and pie."""
    figures = [module.draw(module.compute(search)) for module in ALL]
    figures.append(operating.draw_scores(operating.compute(search)))
    assert {trace.type for figure in figures for trace in figure.data} <= {"scatter", "bar", "pie"}


@pytest.mark.parametrize("module", [pareto, gain, parallel])
def test_what_a_chart_shows_is_a_table_too(module: object, search: Evidence) -> None:
    table = module.table(module.compute(search))  # type: ignore[attr-defined]
    assert table.rows
    assert all(len(row.cells) == len(table.columns) for row in table.rows)


def test_the_scores_in_ranges_are_all_the_images(search: Evidence) -> None:
    table = operating.scores_table(operating.compute(search))
    assert sum(int(cell) for row in table.rows for cell in row.cells[1:]) == 300
    assert table.rows[0].cells[0] == "0.0 to 0.1"


def test_operating_point_agrees_with_the_metrics(search: Evidence) -> None:
    data, test = operating.compute(search), search.best.test
    assert data.chosen == pytest.approx((test["overkill"], test["escape"]))
    assert data.aim == 0.01
    at = int(np.flatnonzero(data.thresholds <= data.threshold)[0])
    assert (data.overkill[at], data.escape[at]) == pytest.approx(data.chosen)


def test_operating_curve_runs_from_all_passed_to_all_rejected(search: Evidence) -> None:
    data = operating.compute(search)
    assert (data.overkill[0], data.escape[0]) == (0.0, 1.0)
    assert (data.overkill[-1], data.escape[-1]) == (1.0, 0.0)
    assert (np.diff(data.overkill) >= 0).all()
    assert (np.diff(data.escape) <= 0).all()
    assert len(data.good_scores) == len(data.defect_scores) == 150


def test_no_operating_point_without_a_good_class(evidence_of: Callable[..., Evidence]) -> None:
    assert operating.compute(evidence_of(classes=SIX, good=None)) is None
