"""The top of a report: what a plant manager needs to know, in a sentence and a few large figures."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from compressdefect import units
from compressdefect.report.evidence import Best, Evidence
from compressdefect.report.markup import Markup, element, join
from compressdefect.report.verdicts import ESCAPE, OVERKILL, answers, mistakes


class Tile(NamedTuple):
    """One large figure with what it means; ``kind`` sets its look, ``meter`` is the share of a budget that it uses."""

    title: str
    value: str
    lines: tuple[str, ...]
    kind: str = ""
    meter: float | None = None


def markup(evidence: Evidence) -> Markup:
    """The sentence, the figures of quality, and those of cost."""
    rows = [element("div", map(_tile, row), class_="tiles") for row in (quality(evidence), costs(evidence)) if row]
    return join(element("p", sentence(evidence), class_="lead"), rows)


def sentence(evidence: Evidence) -> str:
    """The result in words."""
    if evidence.best is None:
        best = evidence.winner
        if best is None:
            compared = evidence.tally.compared
            if compared:
                return f"No design was trained to its end yet; {compared} were compared by short trainings."
            return "No trial has ended yet, so there is nothing to compare."
        reached = f"{units.percent(best.metric)} {evidence.metric_title} on validation"
        return f"No model was delivered yet. So far trial {best.number} leads with {reached}."
    test = evidence.best.test
    if not test:
        return "The delivered model has not been tested."
    if test.get("escape") is not None and test.get("overkill") is not None:
        done = f"passes {units.percent(test['escape'])} of the defective parts"
        done += f" and rejects {units.percent(test['overkill'])} of the good ones"
    else:
        reading = evidence.best.manifest.reading
        done = reading.claim.format(units.percent(test.get(reading.figures[0][0])))
    text = f"The delivered model {done}, on {test.get('n')} test images that no decision had seen"
    own, cpu = evidence.own_latency, evidence.best.manifest.machine.get("cpu") or "the machine that measured it"
    return f"{text}; one {evidence.shown} takes {units.milliseconds(own.median_ms)} on {cpu}." if own else f"{text}."


def quality(evidence: Evidence) -> list[Tile]:
    """How good it is: escape and overkill first where parts can be good, else accuracy."""
    if evidence.best is None:
        return _quality_so_far(evidence)
    test = evidence.best.test
    if not test:
        return []
    of_task = _of_task(evidence, test)
    if test.get("escape") is None or test.get("overkill") is None:
        return of_task
    return [
        _rate(evidence.best, ESCAPE, "Escape rate", "defective parts passed"),
        _rate(evidence.best, OVERKILL, "Overkill", "good parts rejected"),
        of_task[0],
    ]


def costs(evidence: Evidence) -> list[Tile]:
    """What it costs to run, beside the budget."""
    cost = evidence.best.manifest.cost if evidence.best else evidence.winner.trial if evidence.winner else None
    if cost is None:
        return []
    tiles = [_work(evidence.budgets, cost.macs)]
    own, limit = evidence.own_latency, evidence.budgets.get("latency_ms")
    if own:
        budget = [f"budget {units.milliseconds(limit)}"] if limit else []
        used = f"batch {own.batch}, {own.threads} thread{'s' if own.threads > 1 else ''}"
        turns = evidence.latency_in_turns
        beside = [f"{units.milliseconds(turns.median_ms)} in turns with its peers, below"] if turns else []
        lines = (*budget, f"alone, {used}, p95 {units.milliseconds(own.p95_ms)}", *beside)
        meter = own.median_ms / limit if limit else None
        tiles.append(Tile(f"Latency per {evidence.shown}", units.milliseconds(own.median_ms), lines, meter=meter))
    memory = f"{units.size(cost.peak_bytes)} peak activation memory"
    return [*tiles, Tile("Parameters", units.count(cost.params), (memory,))]


def _of_task(evidence: Evidence, test: dict[str, Any]) -> list[Tile]:
    """The task's own figures: the first with its interval, what is counted and the others; the second beside it."""
    assert evidence.best is not None, "a test is that of a model"
    reading = evidence.best.manifest.reading
    rates = [(key, title) for key, title in reading.figures if not key.endswith("interval")]
    (key, title), *others = rates
    lines = [f"95 % interval {units.interval(test.get('interval'))}"]
    lines += [f"{name} {units.percent(test.get(other))}" for other, name in others[1:]]
    lines.append(reading.basis)
    if (at_threshold := _accuracy_at_threshold(evidence)) is not None and key == "accuracy":
        lines.append(f"{units.percent(at_threshold)} at the threshold, which the tables below go by")
    tiles = [Tile(_capital(title), units.percent(test.get(key)), tuple(lines), "lead")]
    tiles += [Tile(_capital(name), units.percent(test.get(other)), (), "lead") for other, name in others[:1]]
    return tiles


def _capital(title: str) -> str:
    """A title at the beginning of a tile; one with a capital of its own, such as mAcc, stays as it is."""
    return title[0].upper() + title[1:] if title.islower() else title


def _accuracy_at_threshold(evidence: Evidence) -> float | None:
    """The share of images named rightly where the threshold decides what is good; None without one."""
    answered = evidence.best.predictions if evidence.best else None
    if answered is None or answered.threshold is None or evidence.good is None or not len(answered.labels):
        return None
    return float((answers(answered, evidence.good) == answered.labels).mean())


def _quality_so_far(evidence: Evidence) -> list[Tile]:
    tally, title = evidence.tally, "Trials finished"
    lines = [f"{tally.asked} designs asked, {tally.infeasible} turned away untrained"]
    if evidence.short_training:
        title = "Designs trained to the end"
        lines.append(f"{tally.compared} compared by short trainings, of which {tally.climbed} climbed")
    tiles = [Tile(title, str(tally.finished), tuple(lines), kind="lead")]
    best = evidence.winner
    if best is not None:
        title = f"Best {evidence.metric_title} so far"
        tiles.append(Tile(title, units.percent(best.metric), ("on validation, not on test",), kind="lead"))
    return tiles


def _rate(best: Best, kind: str, title: str, what: str) -> Tile:
    lines = [f"95 % interval {units.interval(best.test.get(f'{kind}_interval'))}"]
    good, answers = best.manifest.good, best.predictions
    if answers is not None and good is not None:
        n_good = int(np.count_nonzero(answers.labels == good))
        n = n_good if kind == OVERKILL else len(answers.labels) - n_good
        lines.insert(0, f"{sum(m.kind == kind for m in mistakes(answers, good))} of {n} {what}")
    return Tile(title, units.percent(best.test[kind]), tuple(lines), kind=f"lead {kind}")


def _work(budgets: dict[str, float], macs: int) -> Tile:
    lines, limit = (f"{units.count(macs)} multiply-accumulates",), budgets.get("flops") or 2 * budgets.get("macs", 0)
    if not limit:
        return Tile("FLOPs", units.count(2 * macs), lines)
    return Tile("FLOPs", units.count(2 * macs), (f"budget {units.count(limit)}", *lines), meter=2 * macs / limit)


def _tile(tile: Tile) -> Markup:
    meter = []
    if tile.meter is not None:
        fill = element("i", style=f"width:{100 * min(tile.meter, 1.0):.1f}%")
        meter.append(element("div", fill, class_="meter over" if tile.meter > 1 else "meter"))
    head, lines = [element("h3", tile.title), element("strong", tile.value)], [element("span", t) for t in tile.lines]
    return element("div", head, meter, lines, class_=f"tile {tile.kind}")
