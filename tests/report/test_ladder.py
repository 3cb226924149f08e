"""The report of a search in which most designs were compared by short trainings alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from html import unescape
from itertools import pairwise
from pathlib import Path

import pytest
from scipy.stats import kendalltau

from compressdefect.report import gallery, headline, tables
from compressdefect.report.evidence import Agreement, Evidence
from compressdefect.report.figures import gain, history, ladder, parallel, pareto
from compressdefect.report.html import render, write_report
from compressdefect.report.sections import provenance
from compressdefect.report.sections import search as section
from compressdefect.report.table import text_of
from tests.report.fake_run import SHORT, make_run

ALL = (pareto, ladder, history, gain, parallel)
SCORE = "score of the short training"


def noted(evidence: Evidence) -> str:
    return unescape(section.search(evidence)[0].content)


@pytest.mark.parametrize("module", ALL, ids=lambda module: module.__name__.rpartition(".")[2])
def test_every_figure_draws_a_ladder(module: object, climbed: Evidence) -> None:
    figure = module.draw(module.compute(climbed))  # type: ignore[attr-defined]
    assert figure.to_json()
    assert {trace.type for trace in figure.data} <= {"scatter", "bar", "pie"}


def test_without_a_ladder_there_is_none_to_draw(search: Evidence) -> None:
    assert ladder.compute(search) is None
    assert "figure-ladder" not in noted(search)
    assert "score" not in {column.title for column in tables.trials(search).columns}


def test_every_compared_design_is_drawn_as_far_as_it_climbed(climbed: Evidence) -> None:
    data = ladder.compute(climbed)
    tally = climbed.tally
    assert len(data.points) == tally.compared == 59
    assert len(data.are("finished")) == tally.finished == 6
    assert len(data.are("climbed")) == tally.climbed - tally.finished
    assert {p.number for p in data.are("finished")} == {score.number for score in climbed.finished}
    drawn = ladder.draw(data)
    climbers = tally.climbed - 6
    assert [trace.name for trace in drawn.data] == [
        f"compared ({59 - 6 - climbers})",
        f"climbed ({climbers})",
        "finished (6)",
        "winner",
        "trial 0",
    ]
    assert [len(trace.x) for trace in drawn.data[2:]] == [6, 1, 1]
    assert (drawn.layout.xaxis.type, drawn.layout.yaxis.title.text) == ("log", f"{SCORE} (%)")
    at = {trace.name: (trace.x[0], trace.y[0]) for trace in drawn.data}
    assert at["trial 0"] == (climbed.trials[0].macs, pytest.approx(100 * climbed.trials[0].score))
    assert len({trace.marker.symbol for trace in drawn.data[:2]}) == 2


def test_what_failed_where_it_climbed_to_has_climbed(climbed: Evidence) -> None:
    failed = replace(climbed.trials[0], state="failed", metric=None, netscore=None)
    assert [p.reached for p in ladder.compute(replace(climbed, trials=(failed,))).points] == ["climbed"]


def test_the_chart_is_a_table_too(climbed: Evidence) -> None:
    table, more = ladder.table(ladder.compute(climbed)), climbed.tally.climbed
    came = [text_of(row.cells[1]) for row in table.rows]
    assert came == ["finished"] * 6 + ["climbed"] * (more - 6) + ["compared"] * (59 - more)
    scores = [float(text_of(row.cells[2]).rstrip(" %")) for row in table.rows[more:]]
    assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize(("low", "high"), [(7.8e6, 49e6), (1e6, 1e6), (3.0, 9e9), (20e6, 50e6)])
def test_ticks_are_round_and_hold_all(low: float, high: float) -> None:
    ticks = ladder.ticks_of(low, high)
    assert ticks[0] <= low
    assert ticks[-1] >= high
    assert all(1.4 < b / a <= 2 for a, b in pairwise(ticks))
    assert all(f"{tick:e}"[0] in "1235" for tick in ticks)


def test_counts_and_agreement_are_said(climbed: Evidence) -> None:
    pairs = [(score.trial.score, score.metric) for score in climbed.finished]
    tau = kendalltau(*zip(*pairs, strict=True)).statistic
    assert climbed.agreement == Agreement(pytest.approx(tau), 6)
    text = noted(climbed)
    assert "Designs asked: 80; turned away before any training: 20; " in text
    assert f"compared by short trainings of {SHORT}: 59; climbed from there: {climbed.tally.climbed}, " in text
    assert "of which trained to the end: 6. The score is the area under the ROC curve. " in text
    assert f"Kendall's τ between that score and the final accuracy is {tau:.2f} over the 6 finished designs" in text


def with_finished(evidence: Evidence, count: int) -> Evidence:
    """The run with so many of its finished designs, the winner first."""
    order = [evidence.winner, evidence.passed_over.score, *evidence.finished]
    kept = list(dict.fromkeys(score.number for score in order))[:count]
    return replace(evidence, trials=tuple(t for t in evidence.trials if t.state != "complete" or t.number in kept))


def test_two_finished_designs_say_nothing_of_the_short_trainings(climbed: Evidence) -> None:
    text = noted(with_finished(climbed, 2))
    assert "So few finished designs do not tell how well the short trainings foretell the end." in text
    assert "τ" not in text


@pytest.mark.parametrize(("count", "by_chance"), [(3, True), (4, True), (5, False)])
def test_the_order_of_few_finished_designs_may_be_chance(climbed: Evidence, count: int, by_chance: bool) -> None:
    text = noted(with_finished(climbed, count))
    assert f"over the {count} finished designs" in text
    assert ("so few may stand in any order by chance" in text) == by_chance


def test_finished_designs_that_are_all_alike_say_nothing_either(climbed: Evidence) -> None:
    alike = tuple(replace(t, metric=0.98) if t.state == "complete" else t for t in climbed.trials)
    same = replace(climbed, trials=alike)
    assert same.agreement == Agreement(None, 6)
    assert "The 6 finished designs are alike in that score or at the end" in noted(same)


def test_history_shows_the_scores_of_all(climbed: Evidence) -> None:
    data = history.compute(climbed)
    assert set(data.by_state) == {"compared", "finished", "failed"}
    assert sum(map(len, data.by_state.values())) == 60
    assert [value for rows in data.by_state.values() for _, value in rows].count(None) == 1
    values = [value for _, value in data.best]
    assert values == sorted(values)
    assert values[-1] == max(t.score or 0.0 for t in climbed.trials)
    assert data.trial_zero == climbed.trials[0].score
    drawn = history.draw(data)
    assert drawn.layout.yaxis.title.text == f"{SCORE} (%)"
    star = next(trace for trace in drawn.data if trace.name == "winner")
    assert star.y[0] == pytest.approx(100 * climbed.winner.trial.score)


def test_trial_zero_that_did_not_finish_has_its_line(climbed: Evidence) -> None:
    zero = replace(climbed.trials[0], state="compared", rung=0, metric=None, netscore=None)
    data = history.compute(replace(climbed, trials=(zero, *climbed.trials[1:])))
    assert data.trial_zero == zero.score


def test_the_gain_is_in_the_order_in_which_designs_took_the_lead(climbed: Evidence) -> None:
    """Designs are finished by their rank, not by their number."""
    first, second, third = [score.number for score in climbed.finished if score.number][:3]

    def led(*numbers: int) -> gain.GainData:
        manifest = {**climbed.manifest, "led": numbers, "choice": {"winner": numbers[-1]}}
        return gain.compute(replace(climbed, manifest=manifest, best=None))

    assert [step.number for step in led(second, 0, third, first, third).steps] == [0, third]
    assert [step.number for step in led(second, 0).steps] == [0]
    data = led(third, first)
    assert [step.number for step in data.steps] == [0, third, first]
    figure = gain.draw(data)
    assert list(figure.layout.xaxis.ticktext) == ["0", str(third), str(first)]
    assert list(figure.data[1].x) == [0, 1, 2]


def test_parallel_coordinates_hold_every_compared_design(climbed: Evidence) -> None:
    data = parallel.compute(climbed)
    assert len(data.numbers) == 59
    assert data.axes[-1].title == "score"
    assert data.numbers[data.winner] == climbed.winner.number
    assert f"Each line is a compared design, the more orange the better its {SCORE};" in noted(climbed)


def test_all_trials_say_what_they_had_in_their_short_training(climbed: Evidence) -> None:
    table = tables.trials(climbed)
    titles = [column.title for column in table.columns]
    rows = {row.cells[0]: dict(zip(titles, row.cells, strict=True)) for row in table.rows}
    marks = {row.cells[0]: row.mark for row in table.rows}
    for trial in climbed.trials[:60]:
        row = rows[str(trial.number)]
        assert (row["score"] == "–") == (trial.score is None)
        muted = trial.state not in ("compared", "complete")
        assert (marks[str(trial.number)] == "muted") == muted
    assert rows["–"]["score"] == "–"
    assert "Score is what a design had in its short training." in section.trials(climbed)[0].content


def test_the_design_that_was_passed_over_is_named(climbed: Evidence) -> None:
    better = climbed.passed_over
    assert better is not None
    assert f"Trial {better.score.number} was better on validation by" in noted(climbed)


def test_the_page_says_what_was_compared_and_what_was_trained(climbed: Evidence) -> None:
    page = render(climbed, gallery.compute(climbed))
    assert "Designs trained to the end: 6; on the front" in page
    assert "The score is the area under the ROC curve." in page
    assert SHORT in provenance.provenance(climbed).content
    assert page.count("The same as a table") == 5


def test_a_ladder_that_was_stopped_says_how_far_it_came(evidence_of: Callable[..., Evidence]) -> None:
    stopped = evidence_of(trials=12, delivered=False, ladder=True)
    first, *others = headline.quality(stopped)
    assert (first.title, first.value) == ("Designs trained to the end", str(stopped.tally.finished))
    assert first.lines[1].startswith(f"{stopped.tally.compared} compared by short trainings")
    assert len(others) == 1


def test_a_ladder_without_a_finished_design_has_a_page(tmp_path: Path) -> None:
    make_run(tmp_path / "run", trials=12, delivered=False, ladder=True, per_class=2, side=8)
    trials = tmp_path / "run" / "trials.csv"
    lines = trials.read_text().splitlines()
    trials.write_text("\n".join(line for line in lines if ",complete," not in line) + "\n")
    page = write_report(tmp_path / "run").read_text()
    assert "No design was trained to its end yet; " in page
    assert "No trial has been trained to its end yet." in page
    assert "figure-ladder" in page
    assert "figure-history" in page
