"""The sections of a report, each a heading, a sentence that says how to read it, and its figures or tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import plotly.graph_objects as go

from compressdefect import units
from compressdefect.models.template import Layer
from compressdefect.report import gallery, tables
from compressdefect.report.evidence import Evidence, PassedOver
from compressdefect.report.figures import confusion, gain, history, operating, parallel, pareto
from compressdefect.report.markup import Content, Markup, element, join

CONFIG = {"responsive": True, "displaylogo": False, "modeBarButtons": [["toImage", "zoom2d", "pan2d", "resetScale2d"]]}


class Section(NamedTuple):
    """A part of the page that the navigation points to."""

    anchor: str
    title: str
    content: Markup

    def markup(self) -> Markup:
        """The section with its heading."""
        return element("section", element("h2", self.title), self.content, id=self.anchor)


def section(anchor: str, title: str, *content: Content) -> Section:
    """A section from its parts."""
    return Section(anchor, title, join(*content))


def plot(name: str, figure: go.Figure, title: str, note: str) -> Markup:
    """A figure with its title and a note under it."""
    drawn = figure.to_html(full_html=False, include_plotlyjs=False, div_id=f"figure-{name}", config=CONFIG)
    return element("figure", element("h3", title), Markup(drawn), element("figcaption", note))


def empty(text: str) -> Markup:
    """What stands where there is nothing to show, and why."""
    return element("p", text, class_="empty")


def scroll(table: tables.Table, *, tall: bool = False) -> Markup:
    """A table that scrolls by itself where it is too wide, or, when ``tall``, too long."""
    return element("div", table.markup(), class_="scroll tall" if tall else "scroll")


def search(evidence: Evidence) -> list[Section]:
    """How the search went: front, history, gain, parallel coordinates."""
    front = pareto.compute(evidence)
    if front is None:
        return [section("search", "The search", empty("No trial has been trained to its end yet."))]
    content = [plot("pareto", pareto.draw(front), "Pareto front", _front_note(front))]
    if evidence.passed_over:
        content.append(element("p", _passed_over_note(evidence, evidence.passed_over), class_="note"))
    content.append(element("div", _history(evidence), _gain(evidence), class_="halves"))
    lines = parallel.compute(evidence)
    if lines:
        content.append(plot("parallel", parallel.draw(lines), "What the designs are made of", _parallel_note(lines)))
    return [section("search", "The search", *content)]


def quality(evidence: Evidence) -> Section:
    """What the delivered model does on the test images."""
    if evidence.best is None or evidence.best.predictions is None:
        text = f"The test images were not touched: no model was delivered. {evidence.way_on}"
        return section("test", "On the test images", empty(text))
    point = operating.compute(evidence)
    matrix = confusion.compute(evidence)
    assert matrix is not None
    by_threshold = evidence.good is not None and evidence.best.predictions.threshold is not None
    decided = "Decided at the chosen threshold" if by_threshold else "Decided by the most probable class"
    grid = plot("confusion", confusion.draw(matrix), "Confusion matrix", f"{decided}. Counts of images.")
    recall, pixels = tables.per_class(evidence), tables.overlap(evidence)
    title = element("h3", "By class")
    if pixels:
        note = "Pixels are pooled over the images. Below, images by the class of which they have most."
        title = join(title, scroll(pixels), element("figcaption", note))
    classes = element("figure", title, [scroll(recall)] if recall else [])
    if point is None:
        why = "No class counts as good here, so there is no escape or overkill; --good NAME names one."
        if evidence.good is not None:
            why = "The test images are all good or all defective, or no threshold was chosen: no operating point."
        return section(
            "test",
            "On the test images",
            element("div", grid, classes, class_="halves"),
            element("p", why, class_="note"),
        )
    curve = plot("operating", operating.draw(point), "Operating point", _point_note(point))
    scores = plot("scores", operating.draw_scores(point), "Scores", "Every image right of the line is rejected.")
    return section(
        "test",
        "On the test images",
        element("div", curve, scores, class_="halves"),
        element("div", grid, classes, class_="halves"),
    )


def wrong(evidence: Evidence, groups: Sequence[gallery.Group]) -> list[Section]:
    """The mistakes as pictures, escapes first."""
    if evidence.best is None or evidence.best.predictions is None:
        return []
    n = len(evidence.best.predictions.labels)
    none = empty(f"None: all {n} test images were decided rightly.")
    return [section("mistakes", "Its mistakes", gallery.draw(evidence, groups) if groups else none)]


def model(evidence: Evidence, layers: Sequence[Layer] | None) -> list[Section]:
    """What was delivered: beside trial 0, beside its peers on the clock, and layer by layer."""
    content: list[Markup] = []
    compared = tables.comparison(evidence)
    if compared:
        content.append(element("figure", element("h3", "Winner and trial 0"), scroll(compared)))
    rows = evidence.latency
    if rows and evidence.best:
        clock = tables.latency(rows, evidence.best.manifest.name, evidence.shown)
        title, how = ("Latency beside peers", "Timed in turns, so that a slow minute hits all alike. ")
        if len(rows) == 1:
            title, how = "Latency", ""
        note = element("figcaption", how + _machine_note(evidence))
        content.append(element("figure", element("h3", title), scroll(clock), note))
    found = [element("div", content, class_="halves uneven")] if content else []
    if layers:
        title = element("h3", "Layer by layer")
        found.append(element("figure", title, scroll(tables.layers(layers), tall=True)))
    return [section("model", "The model", *found)] if found else []


def trials(evidence: Evidence) -> list[Section]:
    """Every design that was asked for."""
    if not evidence.trials:
        return []
    left_out = len(evidence.trials) - tables.TRIALS_SHOWN
    text = f"A click on a heading sorts. NetScore is 20·log10 of the {evidence.metric_title} (%) squared"
    text += " over the root of params (M) times MACs (G)."
    text += f" {left_out} more rows are in trials.csv." if left_out > 0 else ""
    note = element("p", text, class_="note")
    return [section("trials", "All trials", note, scroll(tables.trials(evidence), tall=True))]


def provenance(evidence: Evidence) -> Section:
    """Where it all comes from, so that it can be repeated."""
    manifest, data = evidence.manifest, evidence.data
    budgets = [
        f"{column.replace('_ms', '').replace('peak_bytes', 'memory')} ≤ {pareto.AXES[column].text(limit)}"
        for column, limit in evidence.budgets.items()
        if column in pareto.AXES
    ]
    pairs: list[tuple[str, Any]] = [
        ("run", evidence.path.name),
        ("command", _command(manifest.get("command"))),
        ("status", manifest.get("status")),
        ("started", manifest.get("started")),
        ("finished", manifest.get("finished")),
        ("data", data.get("name")),
        ("images", data.get("n")),
        ("tiles", f"{data['tiles']}, of {data['tile']} pixels" if data.get("tile") else None),
        ("data fingerprint", data.get("fingerprint")),
        ("classes", ", ".join(evidence.classes)),
        ("space", manifest.get("space")),
        ("objective", manifest.get("objective")),
        ("budgets", ", ".join(budgets)),
        ("seed", manifest.get("seed")),
        *(manifest.get("versions") or {}).items(),
    ]
    return section("provenance", "Provenance", scroll(tables.facts(pairs)))


def _history(evidence: Evidence) -> Markup:
    data = history.compute(evidence)
    assert data is not None, "a front has trials"
    spent = units.duration(sum(trial.seconds or 0.0 for trial in evidence.trials))
    note = f"{spent} of training in all; trials without a score stand on the bottom edge."
    return plot("history", history.draw(data), "All trials, in order", note)


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
    note = f"{', '.join([text, *parts])}. {rule}"
    return plot("gain", gain.draw(data), title, note)


def _front_note(data: pareto.ParetoData) -> str:
    text = f"Trained designs: {len(data.points)}; on the front, where none is cheaper and better: {len(data.front)}."
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


def _parallel_note(data: parallel.ParallelData) -> str:
    text = "Each line is a trained design, brighter the better its metric; the winner is the thick blue one."
    if data.genes_left_out:
        text += f" The genes shown go most with the metric; {data.genes_left_out} others that vary are not shown."
    return text


def _point_note(data: operating.OperatingData) -> str:
    return (
        f"The threshold was chosen on validation for {100 * data.aim:g} % overkill. On test it gives "
        f"{units.percent(data.chosen[0])} overkill ({units.interval(data.overkill_interval)}) and "
        f"{units.percent(data.chosen[1])} escapes ({units.interval(data.escape_interval)})."
    )


def _machine_note(evidence: Evidence) -> str:
    machine = evidence.best.manifest.machine if evidence.best else {}
    return ", ".join(f"{name} {value}" for name, value in machine.items() if value not in (None, ""))


def _command(command: Any) -> str:
    return " ".join(map(str, command)) if isinstance(command, list | tuple) else str(command or "")
