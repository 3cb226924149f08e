"""How the search went, and every design that it asked for."""

from __future__ import annotations

from compressdefect import units
from compressdefect.report import tables
from compressdefect.report.evidence import Evidence, PassedOver
from compressdefect.report.figures import gain, history, ladder, parallel, pareto
from compressdefect.report.markup import Markup, element
from compressdefect.report.sections.frame import Section, empty, note, plot, scroll, section

PAIRS_NEEDED = 3
"""Finished designs below which nothing is said of how well the short trainings foretold them."""

FEW = 5
"""Finished designs below which chance puts them in the same order or its reverse more than once in twenty times."""

_NONE_ENDED = "No trial has been trained to its end yet."


def search(evidence: Evidence) -> list[Section]:
    """How the search went: front, ladder, history, gain, parallel coordinates."""
    if not evidence.rated:
        return [section("search", "The search", empty(_NONE_ENDED))]
    content = [*_front(evidence), *_ladder(evidence)]
    content.append(element("div", _history(evidence), _gain(evidence), class_="halves"))
    lines = parallel.compute(evidence)
    if lines:
        title, text = "What the designs are made of", _parallel_note(evidence, lines)
        content.append(plot("parallel", parallel.draw(lines), title, text, parallel.table(lines), wide=True))
    return [section("search", "The search", *content)]


def trials(evidence: Evidence) -> list[Section]:
    """Every design that was asked for."""
    if not evidence.trials:
        return []
    left_out = len(evidence.trials) - tables.TRIALS_SHOWN
    text = f"The headings sort. NetScore is 20·log10 of the {evidence.metric_title} (%) squared"
    text += " over the root of params (M) times MACs (G)."
    text += " Score is what a design had in its short training." if evidence.short_training else ""
    text += f" {left_out} more rows are in trials.csv." if left_out > 0 else ""
    return [section("trials", "All trials", note(text), scroll(tables.trials(evidence), "All trials", tall=True))]


def _front(evidence: Evidence) -> list[Markup]:
    data = pareto.compute(evidence)
    if data is None:
        return [empty(_NONE_ENDED)]
    drawn = plot("pareto", pareto.draw(data), "Pareto front", _front_note(evidence, data), pareto.table(data))
    better = evidence.passed_over
    return [drawn, note(_passed_over_note(evidence, better))] if better else [drawn]


def _ladder(evidence: Evidence) -> list[Markup]:
    data = ladder.compute(evidence)
    if data is None:
        return []
    return [plot("ladder", ladder.draw(data), "The ladder", _ladder_note(data), ladder.table(data))]


def _ladder_note(data: ladder.LadderData) -> str:
    """How many designs came how far, and how well the short trainings foretold the end."""
    tally = data.tally
    text = f"Designs asked: {tally.asked}; turned away before any training: {tally.infeasible}; "
    text += f"compared by short trainings of {data.short_training}: {tally.compared}; "
    text += f"climbed from there: {tally.climbed}, of which trained to the end: {tally.finished}. "
    text += f"The score is the {data.score_title}. "
    tau, n = data.agreement
    if n < PAIRS_NEEDED:
        return f"{text}So few finished designs do not tell how well the short trainings foretell the end."
    if tau is None:
        return f"{text}The {n} finished designs are alike in that score or at the end: there is no order to compare."
    chance = "; so few may stand in any order by chance" if n < FEW else ""
    return (
        f"{text}Kendall's τ between that score and the final {data.metric_title} is {tau:.2f} over the {n} finished"
        f" designs (1: the same order, 0: no relation{chance})."
        " These were chosen by their score, so it is lower than over all as a rule."
    )


def _history(evidence: Evidence) -> Markup:
    data = history.compute(evidence)
    assert data is not None, "a front has trials"
    spent = units.duration(sum(trial.seconds or 0.0 for trial in evidence.trials))
    text = f"{spent} of training in all; trials without a score stand on the bottom edge. Every trial is listed below."
    return plot("history", history.draw(data), "All trials, in order", text)


def _gain(evidence: Evidence) -> Markup:
    data, title = gain.compute(evidence), "Gain over trial 0"
    if data is None:
        why = "scored 0" if evidence.trial_zero else "did not end"
        return element("figure", element("h3", title), empty(f"Trial 0, the space's own named design, {why}."))
    if len(data.steps) < 2:
        return element("figure", element("h3", title), empty("Trial 0, the space's own named design, leads."))
    last = data.steps[-1]
    text = f"Trial {last.number}: NetScore {last.netscore_gain:+.1f}"
    text += f", {evidence.metric_title} {units.points(last.metric_gain)}"
    costs = (("FLOPs", last.flops_ratio), ("latency", last.latency_ratio))
    parts = [f"{units.ratio(ratio, 1.0)} the {name}" for name, ratio in costs if ratio is not None]
    rule = "A design leads by NetScore, and only while validation cannot tell it from the best."
    return plot("gain", gain.draw(data), title, f"{', '.join([text, *parts])}. {rule}", gain.table(data))


def _front_note(evidence: Evidence, data: pareto.ParetoData) -> str:
    trained = "Designs trained to the end" if evidence.short_training else "Trained designs"
    text = f"{trained}: {len(data.points)}; on the front, where none is cheaper and better: {len(data.front)}."
    text += f" Turned away before any training: {len(data.turned_away)}." if data.turned_away else ""
    text += f" {data.below} lie below the axis: a double click shows them." if data.below else ""
    return text


def _passed_over_note(evidence: Evidence, better: PassedOver) -> str:
    number, winner = better.score.number, evidence.winner
    assert winner is not None
    text = f"Trial {number} was better on validation by {units.points(better.difference).lstrip('+')} of "
    text += f"{evidence.metric_title}, with a standard error of {100 * better.standard_error:.2f}: too little to tell. "
    costs = [("parameters", "params"), ("FLOPs", "flops"), ("latency", "latency_ms")]
    saved = [(name, getattr(winner.trial, key), getattr(better.score.trial, key)) for name, key in costs]
    ratios = [f"{units.ratio(own, its)} its {name}" for name, own, its in saved if own is not None and its]
    return f"{text}It was passed over for trial {winner.number}, which has {', '.join(ratios)}."


def _parallel_note(evidence: Evidence, data: parallel.ParallelData) -> str:
    kind, by = ("compared", "score of the short training") if evidence.short_training else ("trained", "metric")
    text = f"Each line is a {kind} design, the more orange the better its {by}; the winner is the thick blue one."
    if data.genes_left_out:
        text += f" The genes shown go most with the {by}; {data.genes_left_out} others that vary are not shown."
    return text
