"""The ladder: what every design had in its short training, by its work, and which were trained to the end."""

from __future__ import annotations

import math
from typing import NamedTuple

import plotly.graph_objects as go

from compressdefect import units
from compressdefect.report.evidence import Agreement, Evidence
from compressdefect.report.figures import theme
from compressdefect.report.table import Column, Row, Table
from compressdefect.search.trials import Tally, TrialRecord

MARKS = {
    "compared": {"symbol": "circle", "color": theme.TRIAL, "size": 7, "opacity": 0.8},
    "climbed": {"symbol": "triangle-up", "color": theme.GOOD, "size": 10},
    "finished": {"symbol": "circle", "color": theme.WINNER, "size": 10},
}
"""How far designs climbed, the nearest first, and what they look like."""


class Point(NamedTuple):
    """One design that was compared; the score is in [0, 1], ``reached`` a key of ``MARKS``."""

    number: int
    macs: int
    score: float
    reached: str


class LadderData(NamedTuple):
    """``short_training`` and ``score_title`` say what all were compared by, in words.

    ``winner`` and ``trial_zero`` are numbers among the points.
    """

    points: list[Point]
    short_training: str
    axis_title: str
    score_title: str
    metric_title: str
    winner: int | None
    winner_title: str
    trial_zero: int | None
    tally: Tally
    agreement: Agreement

    def are(self, reached: str) -> list[Point]:
        """The designs that climbed so far and no further."""
        return [point for point in self.points if point.reached == reached]


def compute(evidence: Evidence) -> LadderData | None:
    """The designs that were compared by short trainings, or None where there were none."""
    if evidence.short_training is None or not evidence.rated:
        return None
    winner, zero = evidence.winner, evidence.rated_zero
    return LadderData(
        points=[Point(r.number, r.trial.macs, r.value, reached(r.trial)) for r in evidence.rated],
        short_training=evidence.short_training,
        axis_title=evidence.rated_title,
        score_title=evidence.score_title,
        metric_title=evidence.metric_title,
        winner=winner.number if winner else None,
        winner_title=evidence.winner_title,
        trial_zero=zero.number if zero else None,
        tally=evidence.tally,
        agreement=evidence.agreement,
    )


def reached(trial: TrialRecord) -> str:
    """How far a design climbed that was compared: it may have failed where it climbed to."""
    return "finished" if trial.state == "complete" else "climbed" if trial.rung else "compared"


def draw(data: LadderData) -> go.Figure:
    """Score over multiply-accumulates; what climbed stands out, trial 0 and the winner are marked as everywhere."""
    traces = [_dots(points, f"{name} ({len(points)})", **MARKS[name]) for name in MARKS if (points := data.are(name))]
    zero = [point for point in data.points if point.number == data.trial_zero]
    won = [point for point in data.points if point.number == data.winner]
    if won:
        traces.append(_dots(won, data.winner_title, color=theme.WINNER, size=19, symbol="star"))
    if zero:
        traces.append(_dots(zero, "trial 0", color=theme.TRIAL_ZERO, size=12, symbol="diamond"))
    figure = theme.figure(traces, height=430)
    ticks = ticks_of(min(p.macs for p in data.points), max(p.macs for p in data.points))
    figure.update_xaxes(
        title_text="MACs (millions, logarithmic)",
        type="log",
        tickvals=ticks,
        ticktext=[f"{tick / 1e6:g}" for tick in ticks],
    )
    figure.update_yaxes(title_text=f"{data.axis_title} (%)")
    return figure


def ticks_of(low: float, high: float) -> list[float]:
    """Round numbers for a logarithmic axis, from one below its lowest value to one above its highest.

    >>> ticks_of(7e6, 49e6)
    [5000000.0, 10000000.0, 20000000.0, 30000000.0, 50000000.0]
    """
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    steps = [float(step * 10**power) for power in powers for step in (1, 2, 3, 5)]
    first = max(step for step in steps if step <= low)
    last = min(step for step in steps if step >= high)
    return [step for step in steps if first <= step <= last]


def table(data: LadderData) -> Table:
    """Every design that was compared, those first that came furthest, of these the best score."""
    order = list(MARKS)
    rows = [
        Row((str(p.number), p.reached, units.percent(p.score), units.count(p.macs)))
        for p in sorted(data.points, key=lambda p: (-order.index(p.reached), -p.score, p.number))
    ]
    columns = (Column("trial", numeric=True), Column("reached"), Column(data.axis_title, numeric=True))
    return Table((*columns, Column("MACs", numeric=True)), rows)


def _dots(points: list[Point], name: str, **marker: object) -> go.Scatter:
    return go.Scatter(
        x=[p.macs for p in points],
        y=[100 * p.score for p in points],
        mode="markers",
        cliponaxis=False,
        marker=marker,
        name=name,
        text=[
            f"trial {p.number}, {p.reached}<br>{units.percent(p.score)} at {units.count(p.macs)} MACs" for p in points
        ],
        hovertemplate="%{text}<extra></extra>",
    )
