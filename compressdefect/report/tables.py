"""The tables of a report: what stands in them is decided here."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from compressdefect import units
from compressdefect.models.graph import Layer
from compressdefect.report.evidence import Evidence, Latency
from compressdefect.report.figures import pareto
from compressdefect.report.table import Bar, Column, Row, Table
from compressdefect.report.verdicts import answers, confusion_counts, mistakes
from compressdefect.search.trials import TrialRecord
from compressdefect.train.metrics import rate

TRIALS_SHOWN = 500
MISTAKES_SHOWN = 500


def trials(evidence: Evidence) -> Table:
    """Every design asked for, trained ones by number, then those that the gate turned away; at most 500 rows."""
    on_front = _front_numbers(evidence)
    rows = sorted(evidence.trials, key=lambda t: (t.number is None, t.number or 0))[:TRIALS_SHOWN]
    winner = evidence.winner.trial if evidence.winner else None
    short = (Column("score", numeric=True),) if evidence.short_training else ()
    columns = (
        Column("trial", numeric=True),
        Column("state"),
        *short,
        Column(f"{evidence.metric_title}, val", numeric=True),
        Column("NetScore", numeric=True),
        Column("FLOPs", numeric=True),
        Column("MACs", numeric=True),
        Column("params", numeric=True),
        Column("peak memory", numeric=True),
        Column("latency", numeric=True),
        Column("epochs", numeric=True),
        Column("time", numeric=True),
        Column("note"),
    )
    zero = evidence.trial_zero.number if evidence.trial_zero else 0
    shown = []
    for trial in rows:
        won = evidence.winner_title if trial is winner else ""
        shown.append(_trial_row(trial, _score(evidence, trial), on_front, won, trial.number == zero))
    return Table(columns, shown)


def _score(evidence: Evidence, trial: TrialRecord) -> tuple[str, ...]:
    """The score of its short training."""
    return (units.percent(trial.score),) if evidence.short_training else ()


def _trial_row(trial: TrialRecord, on_ladder: tuple[str, ...], on_front: set[int], won: str, is_zero: bool) -> Row:
    notes = [won, "trial 0: the space's named design" if is_zero else ""]
    notes += ["on the front" if trial.number in on_front else "", "repaired" if trial.repaired else "", trial.reason]
    mark = "winner" if won else "zero" if is_zero else "" if trial.state in ("complete", "compared") else "muted"
    cells = (
        units.NONE if trial.number is None else str(trial.number),
        trial.state,
        *on_ladder,
        units.percent(trial.metric),
        units.plain(trial.netscore),
        units.count(trial.flops),
        units.count(trial.macs),
        units.count(trial.params),
        units.size(trial.peak_bytes),
        units.milliseconds(trial.latency_ms),
        units.plain(trial.epochs, 0),
        units.duration(trial.seconds),
        "; ".join(note for note in notes if note),
    )
    return Row(cells, mark)


def _front_numbers(evidence: Evidence) -> set[int]:
    data = pareto.compute(evidence)
    return {point.number for point in data.front} if data else set()


def comparison(evidence: Evidence) -> Table | None:
    """The winner beside trial 0, on validation; None where there is no other winner than trial 0."""
    zero, winner = evidence.trial_zero, evidence.winner
    if zero is None or winner is None or winner is zero:
        return None
    rows = [
        Row((f"{evidence.metric_title} on validation", units.percent(zero.metric), units.percent(winner.metric), "")),
        Row(("NetScore", units.plain(zero.netscore), units.plain(winner.netscore), "")),
    ]
    for title, column, text in (
        ("FLOPs", "flops", units.count),
        ("MACs", "macs", units.count),
        ("parameters", "params", units.count),
        ("peak memory", "peak_bytes", units.size),
        (f"latency per {evidence.shown}", "latency_ms", units.milliseconds),
    ):
        before, after = getattr(zero.trial, column), getattr(winner.trial, column)
        if before is not None and after is not None:
            rows.append(Row((title, text(before), text(after), units.ratio(after, before))))
    titles = ("", "trial 0", "winner", "ratio")
    return Table(tuple(Column(title, numeric=i > 0) for i, title in enumerate(titles)), rows)


def steps(evidence: Evidence) -> Table | None:
    """Each step of a compression, on validation images; None where there was none."""
    return _steps(evidence, evidence.best.manifest.steps if evidence.best else ())


def steps_of_zero(evidence: Evidence) -> Table | None:
    """The same of trial 0, where a search treated it as its winner."""
    return _steps(evidence, ((evidence.manifest.get("compression") or {}).get("zero") or {}).get("steps", ()))


def _steps(evidence: Evidence, found: Sequence[Mapping[str, Any]]) -> Table | None:
    if not found:
        return None
    rows = [Row(units.step(step), mark="winner" if step["ships"] else "") for step in found]
    titles = [name.replace("metric", evidence.metric_title) for name in units.STEP]
    return Table(tuple(Column(title, numeric=0 < i < len(titles) - 1) for i, title in enumerate(titles)), rows)


def layers(parts: Sequence[Layer]) -> Table:
    """A network layer by layer: where its parameters and its work are."""
    most = max((layer.macs for layer in parts), default=0) or 1
    rows = [
        Row(
            (
                layer.name,
                layer.operator,
                " × ".join(map(str, layer.out_shape)),
                units.count(layer.params),
                Bar(units.count(layer.macs), layer.macs / most),
            )
        )
        for layer in parts
    ]
    params, macs = sum(layer.params for layer in parts), sum(layer.macs for layer in parts)
    rows.append(Row(("total", "", "", units.count(params), units.count(macs)), "total"))
    columns = (Column("layer"), Column("operator"), Column("output"))
    return Table((*columns, Column("params", numeric=True), Column("MACs", numeric=True)), rows)


def latency(rows: Sequence[Latency], delivered: str, shown: str = "image") -> Table:
    """Latency of the delivered model and its peers, by batch and threads; ratios are to the delivered one."""
    groups: dict[tuple[int, int], list[Latency]] = {}
    for row in rows:
        groups.setdefault((row.threads, row.batch), []).append(row)
    timed = []
    for (threads, batch), members in sorted(groups.items()):
        own = next((r.median_ms for r in members if r.model == delivered), None)
        slowest = max(r.median_ms for r in members)
        for row in sorted(members, key=lambda r: r.median_ms):
            median = Bar(units.milliseconds(row.median_ms), row.median_ms / slowest)
            cells = (row.model, row.precision, str(batch), str(threads), median, units.milliseconds(row.p95_ms))
            ratio = units.ratio(row.median_ms, own)
            timed.append(Row((*cells, ratio), "winner" if row.model == delivered else ""))
    titles = ("model", "precision", "batch", "threads", f"median per {shown}", "p95", "ratio")
    return Table(tuple(Column(title, numeric=i > 1) for i, title in enumerate(titles)), timed)


def per_class(evidence: Evidence) -> Table | None:
    """Recall and precision of every class on the test images, as decided at the threshold.

    The interval of the recall is over groups where images come in groups, as every other figure's.
    """
    if evidence.best is None or evidence.best.predictions is None:
        return None
    predictions = evidence.best.predictions
    counts = confusion_counts(predictions, evidence.good)
    correct = answers(predictions, evidence.good) == predictions.labels
    right, asked, given = np.diag(counts), counts.sum(axis=1), counts.sum(axis=0)
    rows = []
    for i, name in enumerate(evidence.classes):
        n, hits = int(asked[i]), int(right[i])
        recall = Bar(units.percent(hits / n), hits / n) if n else units.NONE
        bounds = rate(correct, predictions.labels == i, predictions.groups)[1]
        precision = units.percent(hits / int(given[i])) if given[i] else units.NONE
        title = f"{name} (good)" if i == evidence.good and "good" not in name.lower() else name
        rows.append(Row((title, str(n), str(hits), recall, units.interval(bounds), precision)))
    titles = ("class", "images", "right", "recall", "95 % interval", "precision")
    return Table(tuple(Column(title, numeric=i > 0) for i, title in enumerate(titles)), rows)


def overlap(evidence: Evidence) -> Table | None:
    """Dice and IoU of every class of pixels on the test images; None where the model has no such classes."""
    by_class = evidence.best.test.get("classes") if evidence.best else None
    if not by_class:
        return None
    rows = []
    for name, values in by_class.items():
        dice = units.NONE if values["dice"] is None else Bar(units.percent(values["dice"]), values["dice"])
        rows.append(Row((name, dice, units.percent(values["iou"]))))
    return Table((Column("pixels"), Column("Dice", numeric=True), Column("IoU", numeric=True)), rows)


def wrong_answers(evidence: Evidence, *, limit: int = MISTAKES_SHOWN) -> Table | None:
    """The delivered model's mistakes on the test images by name, escapes first."""
    if evidence.best is None or evidence.best.predictions is None:
        return None
    wrong = mistakes(evidence.best.predictions, evidence.good)
    names = evidence.classes
    rows = [Row((m.name, m.kind, names[m.label], names[m.answer], units.probability(m.score))) for m in wrong[:limit]]
    columns = (Column("image"), Column("mistake"), Column("true class"), Column("answered"))
    return Table((*columns, Column("score", numeric=True)), rows)


def csv_of_mistakes(evidence: Evidence) -> str:
    """Every mistake on the test images, with the score that decided and the threshold, as CSV."""
    assert evidence.best is not None
    assert evidence.best.predictions is not None
    names, threshold = evidence.classes, evidence.best.predictions.threshold
    rows = [
        (m.name, m.kind, names[m.label], names[m.answer], m.score, "" if threshold is None else threshold)
        for m in mistakes(evidence.best.predictions, evidence.good)
    ]
    text = io.StringIO()
    csv.writer(text).writerows([("image", "mistake", "true class", "answered", "score", "threshold"), *rows])
    return text.getvalue()


def facts(pairs: Sequence[tuple[str, object]]) -> Table:
    """Names and values, without those that are not known."""
    rows = [Row((name, str(value))) for name, value in pairs if value not in (None, "", {}, [])]
    return Table((Column(""), Column("")), rows)
