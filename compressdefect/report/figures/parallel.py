"""Parallel coordinates: the genes that go most with the metric, the costs, and the metric itself.

Drawn as plain SVG lines: plotly's own parallel coordinates need WebGL, which remote desktops and plant PCs often lack.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray
from plotly.colors import sample_colorscale

from compressdefect import units
from compressdefect.report.evidence import Evidence, Rated
from compressdefect.report.figures import theme
from compressdefect.report.figures.pareto import cost_axis
from compressdefect.report.table import Row, Table, named
from compressdefect.search.trials import TrialRecord

GENES = 8
COSTS: Mapping[str, tuple[str, Callable[[float | None], str]]] = {
    "params": ("params", units.count),
    "flops": ("FLOPs", units.count),
    "peak_bytes": ("peak memory", units.size),
    "latency_ms": ("latency", units.milliseconds),
}
SHADES = 12


class Axis(NamedTuple):
    """One upright axis: each trial's height in [0, 1] (NaN where it has no value) and the labelled heights."""

    title: str
    heights: NDArray[np.float64]
    values: list[str]
    ticks: list[tuple[float, str]]


class ParallelData(NamedTuple):
    """One entry per finished trial in every field; ``winner`` is a position among them.

    On a ladder they are all trials that were compared, and the score of their short training stands for the metric.
    """

    numbers: list[int]
    metric: NDArray[np.float64]
    axes: list[Axis]
    winner: int | None
    genes_left_out: int


def compute(evidence: Evidence) -> ParallelData | None:
    """The axes of a search with at least three such trials, else None."""
    scores = evidence.rated
    if len(scores) < 3:
        return None
    metric = np.array([score.value for score in scores], dtype=np.float64)
    table = [genes_of(score.trial) for score in scores]
    varied = [g for g in dict.fromkeys(name for genes in table for name in genes) if _varies(table, g)]
    ranked = sorted(varied, key=lambda gene: -association([genes.get(gene) for genes in table], metric))[:GENES]
    axes = [_gene_axis(gene, [genes.get(gene) for genes in table]) for gene in sorted(ranked, key=varied.index)]
    axes += _cost_axes(evidence, scores)
    axes.append(_number_axis("score" if evidence.short_training else evidence.metric_title, metric, units.percent))
    winner = evidence.winner
    places = {score.number: place for place, score in enumerate(scores)}
    return ParallelData(
        numbers=[score.number for score in scores],
        metric=metric,
        axes=axes,
        winner=places.get(winner.number) if winner else None,
        genes_left_out=len(varied) - len(ranked),
    )


def genes_of(trial: TrialRecord) -> dict[str, Any]:
    """A trial's active genes under their flat names, such as ``stage2.column1.vac_r``."""
    genotype = json.loads(trial.genotype)
    flat = dict(genotype["net"])
    for s, stage in enumerate(genotype["stages"], start=1):
        flat |= {f"stage{s}.{name}": value for name, value in stage["genes"].items()}
        for c, column in enumerate(stage["columns"], start=1):
            flat |= {f"stage{s}.column{c}.{name}": value for name, value in column.items()}
    return flat


def association(values: Sequence[Any], metric: NDArray[np.float64]) -> float:
    """How much of the metric's rank variance lies between the values of a gene (correlation ratio), less chance.

    An inactive gene counts as a value of its own; the correction is that of the adjusted R².

    >>> association([3, 3, 5, 5], np.array([0.1, 0.1, 0.9, 0.9]))
    1.0
    """
    ranks = np.argsort(np.argsort(metric)).astype(np.float64)
    ranks = np.array([ranks[metric == m].mean() for m in metric])
    groups: dict[str, list[int]] = {}
    for i, value in enumerate(values):
        groups.setdefault(repr(value), []).append(i)
    total, n, k = float(((ranks - ranks.mean()) ** 2).sum()), len(ranks), len(groups)
    if total == 0 or n <= k:
        return 0.0
    within = sum(float(((ranks[index] - ranks[index].mean()) ** 2).sum()) for index in groups.values())
    return 1.0 - (within / (n - k)) / (total / (n - 1))


def draw(data: ParallelData) -> go.Figure:
    """One line per trial, brighter the better; the winner on top."""
    order = np.argsort(data.metric)
    ranks = np.empty(len(order))
    ranks[order] = np.linspace(0.0, 1.0, len(order))
    shade = np.minimum((ranks * SHADES).astype(int), SHADES - 1)
    colors = sample_colorscale([list(stop) for stop in theme.SCALE], [i / (SHADES - 1) for i in range(SHADES)])
    traces = [
        _lines(data, list(np.flatnonzero(shade == i)), color=colors[i], width=1.3, opacity=0.35 + 0.55 * i / SHADES)
        for i in range(SHADES)
        if (shade == i).any()
    ]
    if data.winner is not None:
        traces.append(_lines(data, [data.winner], color=theme.WINNER, width=3.5, opacity=1.0, name="winner"))
    figure = theme.figure(traces, height=430, showlegend=False, margin={"l": 44, "r": 44, "t": 84, "b": 16})
    figure.update_xaxes(visible=False, range=[-0.25, len(data.axes) - 0.55], fixedrange=True)
    figure.update_yaxes(visible=False, range=[-0.04, 1.05], fixedrange=True)
    for position, axis in enumerate(data.axes):
        _draw_axis(figure, position, axis)
    return figure


def table(data: ParallelData) -> Table:
    """Every axis with its lowest and highest label, and where the winner is."""
    rows = []
    for axis in data.axes:
        ticks = [text for _, text in sorted(axis.ticks)]
        won = units.NONE if data.winner is None else axis.values[data.winner]
        rows.append(Row((axis.title, ticks[0], ticks[-1], won)))
    return Table(named("axis", "bottom", "top", "winner"), rows)


def _lines(
    data: ParallelData, members: list[int], *, color: str, width: float, opacity: float, name: str = ""
) -> go.Scatter:
    x: list[float | None] = []
    y: list[float | None] = []
    said: list[str] = []
    for m in members:
        for position, axis in enumerate(data.axes):
            x.append(position)
            y.append(None if np.isnan(axis.heights[m]) else float(axis.heights[m]))
            said.append(f"trial {data.numbers[m]}, {units.percent(data.metric[m])}<br>{axis.title}: {axis.values[m]}")
        x.append(None)
        y.append(None)
        said.append("")
    return go.Scatter(
        x=x,
        y=y,
        mode="lines",
        line={"color": color, "width": width, "shape": "spline", "smoothing": 0.35},
        opacity=opacity,
        text=said,
        hovertemplate="%{text}<extra></extra>",
        name=name,
    )


def _draw_axis(figure: go.Figure, position: int, axis: Axis) -> None:
    figure.add_shape(
        type="line", x0=position, x1=position, y0=0, y1=1, line={"color": theme.TRIAL, "width": 1}, layer="above"
    )
    figure.add_annotation(
        x=position,
        y=1,
        yshift=16,
        text=f"<b>{axis.title.replace('.', '<br>')}</b>",
        showarrow=False,
        yanchor="bottom",
        font={"size": 12},
    )
    for height, text in axis.ticks:
        figure.add_annotation(
            x=position, y=height, text=text, showarrow=False, xanchor="left", xshift=5, font={"size": 11}
        )


def _varies(table: list[dict[str, Any]], gene: str) -> bool:
    return len({repr(genes.get(gene)) for genes in table}) > 1


def _gene_axis(gene: str, values: list[Any]) -> Axis:
    """Numbers keep their distances when they are many; few values, and words, stand at equal distances."""
    known = list(dict.fromkeys(value for value in values if value is not None))
    numbers = all(isinstance(v, int | float) and not isinstance(v, bool) for v in known)
    title = theme.safe(gene)
    if numbers and len(known) > 6:
        heights = np.array([np.nan if v is None else float(v) for v in values])
        return _number_axis(title, heights, lambda v: f"{v:g}", [_said(v) for v in values])
    levels = sorted(known) if numbers else sorted(known, key=str)
    levels = [None, *levels] if None in values else levels
    place = {repr(level): i / max(len(levels) - 1, 1) for i, level in enumerate(levels)}
    heights = np.array([place[repr(value)] for value in values])
    return Axis(title, heights, [_said(v) for v in values], [(place[repr(level)], _said(level)) for level in levels])


def _number_axis(title: str, values: NDArray[np.float64], text: Any, said: list[str] | None = None) -> Axis:
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    span = (high - low) or 1.0
    ticks = [(share, text(low + share * span)) for share in (0.0, 0.25, 0.5, 0.75, 1.0)]
    return Axis(title, (values - low) / span, said or [text(v) for v in values], ticks)


def _cost_axes(evidence: Evidence, scores: Sequence[Rated]) -> list[Axis]:
    budgeted = cost_axis(evidence).column
    axes = []
    for column, (title, text) in COSTS.items():
        values = np.array([np.nan if (v := getattr(s.trial, column)) is None else float(v) for s in scores])
        if column in {"params", "flops", budgeted} and not np.isnan(values).all():
            axes.append(_number_axis(title, values, text))
    return axes


def _said(value: Any) -> str:
    if value is None:
        return "absent"
    return ("yes" if value else "no") if isinstance(value, bool) else theme.safe(value)
