"""The Pareto front: every trained design by cost and metric, with the budget, the winner and trial 0."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import plotly.graph_objects as go

from compressdefect import units
from compressdefect.report.evidence import Evidence, Score
from compressdefect.report.figures import theme
from compressdefect.report.table import Row, Table, named


class CostAxis(NamedTuple):
    """A cost to draw against: a column of ``trials.csv``, its name, and the unit that values are divided by."""

    column: str
    title: str
    unit: float
    text: Callable[[float | None], str]

    @property
    def name(self) -> str:
        """The title without its unit."""
        return self.title.partition(" (")[0]


AXES = {
    "latency_ms": CostAxis("latency_ms", "latency per image (ms)", 1.0, units.milliseconds),
    "flops": CostAxis("flops", "FLOPs (millions)", 1e6, units.count),
    "macs": CostAxis("macs", "multiply-accumulates (millions)", 1e6, units.count),
    "params": CostAxis("params", "parameters (thousands)", 1e3, units.count),
    "peak_bytes": CostAxis("peak_bytes", "peak activation memory (MiB)", 2.0**20, units.size),
}
"""In the order in which a budget on them chooses the axis."""


class Point(NamedTuple):
    """One trained design; the metric is in [0, 1]."""

    number: int
    cost: float
    metric: float


class ParetoData(NamedTuple):
    """``front`` is by rising cost; ``turned_away`` holds the costs of designs that the gate rejected untrained."""

    axis: CostAxis
    metric_title: str
    points: list[Point]
    front: list[Point]
    winner: Point | None
    winner_title: str
    trial_zero: Point | None
    budget: float | None
    turned_away: list[float]

    @property
    def floor(self) -> float:
        """Where the metric's axis starts: low outliers would squeeze the front, which is what matters."""
        values = np.array([p.metric for p in self.points])
        low, middle, high = float(values.min()), float(np.quantile(values, 0.25)), float(values.max())
        bottom = min(max(low, middle - 1.5 * (high - middle)), high - 0.01)
        return bottom - 0.06 * (high - bottom)

    @property
    def below(self) -> int:
        """How many trials lie under the axis."""
        return sum(p.metric < self.floor for p in self.points)


def compute(evidence: Evidence) -> ParetoData | None:
    """The points and their front, or None where no trial ended."""
    axis = cost_axis(evidence)
    points = [point for score in evidence.finished if (point := _point(score, axis))]
    if not points:
        return None
    costs = [getattr(trial, axis.column) for trial in evidence.trials if trial.state == "infeasible"]
    return ParetoData(
        axis=axis,
        metric_title=evidence.metric_title,
        points=points,
        front=front(points),
        winner=_point(evidence.winner, axis),
        winner_title=evidence.winner_title,
        trial_zero=_point(evidence.trial_zero, axis),
        budget=evidence.budgets.get(axis.column),
        turned_away=[float(cost) for cost in costs if cost is not None],
    )


def cost_axis(evidence: Evidence) -> CostAxis:
    """The cost that the search had to watch: the budgeted one, else MACs."""
    return next((axis for name, axis in AXES.items() if name in evidence.budgets), AXES["macs"])


def front(points: list[Point]) -> list[Point]:
    """The points that no other beats in both: cheaper at an equal metric, or better at an equal cost.

    >>> [p.number for p in front([Point(0, 5, 0.9), Point(1, 3, 0.8), Point(2, 4, 0.7), Point(3, 6, 0.9)])]
    [1, 0]
    """
    best: list[Point] = []
    for point in sorted(points, key=lambda p: (p.cost, -p.metric, p.number)):
        if not best or point.metric > best[-1].metric:
            best.append(point)
    return best


def draw(data: ParetoData) -> go.Figure:
    """Metric over cost: trials as dots, the front as steps, the budget as the edge of a shaded region."""
    others = [p for p in data.points if p not in data.front]
    right = max([p.cost for p in data.points] + ([data.budget] if data.budget else [])) / data.axis.unit
    steps = [*data.front, data.front[-1]._replace(cost=right * data.axis.unit)]
    left = min(p.cost for p in data.points) / data.axis.unit
    left, right = left - 0.04 * (right - left), right + 0.12 * (right - left)
    traces = [
        _dots(data, others, "trials", color=theme.TRIAL, size=8, opacity=0.65),
        go.Scatter(
            x=[p.cost / data.axis.unit for p in steps],
            y=[100 * p.metric for p in steps],
            mode="lines",
            line={"color": theme.WINNER, "width": 2, "shape": "hv"},
            name="Pareto front",
            hoverinfo="skip",
        ),
        _dots(data, data.front, "on the front", color=theme.WINNER, size=9),
    ]
    if data.turned_away:
        traces.append(_rug(data, right))
    if data.winner:
        traces.append(_dots(data, [data.winner], data.winner_title, color=theme.WINNER, size=19, symbol="star"))
    if data.trial_zero:
        traces.append(_dots(data, [data.trial_zero], "trial 0", color=theme.TRIAL_ZERO, size=12, symbol="diamond"))
    best = max(p.metric for p in data.points)
    span = best - data.floor
    figure = theme.figure(traces, height=460)
    figure.update_xaxes(title_text=data.axis.title, range=[left, right])
    figure.update_yaxes(
        title_text=f"{data.metric_title} on validation (%)", range=[100 * data.floor, 100 * (best + 0.12 * span)]
    )
    if data.budget:
        _draw_budget(figure, data.budget / data.axis.unit, f"budget {data.axis.text(data.budget)}")
    return figure


def table(data: ParetoData) -> Table:
    """The front, the cheapest first."""
    rows = [Row((f"trial {p.number}", data.axis.text(p.cost), units.percent(p.metric))) for p in data.front]
    return Table(named("on the front", data.axis.name, data.metric_title), rows)


def _point(score: Score | None, axis: CostAxis) -> Point | None:
    cost = getattr(score.trial, axis.column) if score else None
    return None if score is None or cost is None else Point(score.number, float(cost), score.metric)


def _dots(data: ParetoData, points: list[Point], name: str, **marker: object) -> go.Scatter:
    return go.Scatter(
        x=[p.cost / data.axis.unit for p in points],
        y=[100 * p.metric for p in points],
        mode="markers",
        marker=marker,
        name=name,
        text=[f"trial {p.number}<br>{units.percent(p.metric)} at {data.axis.text(p.cost)}" for p in points],
        hovertemplate="%{text}<extra></extra>",
    )


def _rug(data: ParetoData, right: float) -> go.Scatter:
    inside = [cost / data.axis.unit for cost in data.turned_away if cost / data.axis.unit <= right]
    return go.Scatter(
        x=inside,
        y=[100 * data.floor] * len(inside),
        cliponaxis=False,
        mode="markers",
        marker={"symbol": "line-ns-open", "size": 9, "color": theme.BUDGET},
        name="turned away untrained",
        hovertemplate=f"%{{x:.1f}} {data.axis.title}<extra></extra>",
    )


def _draw_budget(figure: go.Figure, limit: float, text: str) -> None:
    figure.add_vrect(x0=limit, x1=limit * 10, fillcolor=theme.BUDGET, opacity=0.08, line_width=0, layer="below")
    figure.add_vline(x=limit, line={"color": theme.BUDGET, "width": 2, "dash": "dash"})
    figure.add_annotation(
        x=limit,
        y=0.02,
        yref="paper",
        text=text,
        showarrow=False,
        xanchor="right",
        yanchor="bottom",
        xshift=-6,
    )
