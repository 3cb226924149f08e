"""All trials as they came: what each scored, how it ended or how far it climbed, and the best so far."""

from __future__ import annotations

from itertools import accumulate
from typing import NamedTuple

import plotly.graph_objects as go

from compressdefect import units
from compressdefect.report.evidence import Evidence
from compressdefect.report.figures import ladder, theme
from compressdefect.search.trials import TrialRecord

STATES = {
    **{name: (mark["symbol"], mark["color"]) for name, mark in ladder.MARKS.items()},
    "complete": ("circle", theme.TRIAL),
    "pruned": ("x-thin-open", theme.TRIAL),
    "failed": ("triangle-down", theme.DEFECT),
    "interrupted": ("square-open", theme.BUDGET),
    "running": ("circle-open", theme.BUDGET),
}
TITLES = {
    "complete": "trained",
    "pruned": "stopped early",
    "failed": "failed",
    "interrupted": "interrupted",
    "running": "running",
}


class HistoryData(NamedTuple):
    """(number, value or None) by state; ``best`` is the running maximum of values that count, to the ``last``.

    A value is the metric, which counts of complete trials. On a ladder it is the score of the short training, and
    trials that have one are told apart by how far they climbed.
    """

    title: str
    by_state: dict[str, list[tuple[int, float | None]]]
    best: list[tuple[int, float]]
    last: int
    trial_zero: float | None
    winner: int | None
    winner_title: str


def compute(evidence: Evidence) -> HistoryData | None:
    """The trials by state in the order asked, or None where none was trained."""
    asked = sorted((t for t in evidence.trials if t.number is not None), key=lambda t: t.number or 0)
    if not asked:
        return None
    last, on_ladder = asked[-1].number or 0, evidence.short_training is not None
    rows = [(_state(t, on_ladder), (t.number or 0, t.score if on_ladder else t.metric)) for t in asked]
    by_state = {state: found for state in STATES if (found := [row for own, row in rows if own == state])}
    scored = evidence.rated
    best = list(zip([r.number for r in scored], accumulate((r.value for r in scored), max), strict=True))
    if best:
        best.append((last, best[-1][1]))
    zero, winner = evidence.rated_zero, evidence.winner
    return HistoryData(
        title=evidence.rated_title,
        by_state=by_state,
        best=best,
        last=last,
        trial_zero=zero.value if zero else None,
        winner=winner.number if winner else None,
        winner_title=evidence.winner_title,
    )


def draw(data: HistoryData) -> go.Figure:
    """Value over trial number; trials without one sit on the bottom edge."""
    traces = [_dots(data, state) for state in data.by_state]
    if data.best:
        traces.append(
            go.Scatter(
                x=[n for n, _ in data.best],
                y=[100 * m for _, m in data.best],
                mode="lines",
                line={"shape": "hv", "color": theme.WINNER, "width": 2},
                name="best so far",
                hoverinfo="skip",
            )
        )
    chosen = [(n, m) for rows in data.by_state.values() for n, m in rows if n == data.winner and m is not None]
    if chosen:
        traces.append(
            go.Scatter(
                x=[chosen[0][0]],
                y=[100 * chosen[0][1]],
                mode="markers",
                cliponaxis=False,
                marker={"symbol": "star", "size": 16, "color": theme.WINNER},
                showlegend=False,
                name=data.winner_title,
                hovertemplate=f"trial {chosen[0][0]}: {units.percent(chosen[0][1])}<extra></extra>",
            )
        )
    figure = theme.figure(traces, height=380)
    figure.update_xaxes(title_text="trial", rangemode="tozero", dtick=1 if data.last < 10 else None)
    figure.update_yaxes(title_text=f"{data.title} (%)")
    if data.trial_zero is not None:
        figure.add_hline(y=100 * data.trial_zero, line={"color": theme.TRIAL_ZERO, "width": 1.5, "dash": "dot"})
        figure.update_layout(margin_r=64)
        figure.add_annotation(
            x=1,
            xref="paper",
            xshift=4,
            y=100 * data.trial_zero,
            text="trial 0",
            showarrow=False,
            xanchor="left",
        )
    return figure


def _state(trial: TrialRecord, on_ladder: bool) -> str:
    came_through = on_ladder and trial.state in ("compared", "complete")
    return ladder.reached(trial) if came_through else trial.state


def _dots(data: HistoryData, state: str) -> go.Scatter:
    rows = data.by_state[state]
    scores = [m for group in data.by_state.values() for _, m in group if m is not None]
    bottom = min(scores, default=0.0)
    symbol, color = STATES[state]
    said = [f"trial {n}: {TITLES.get(state, state)}{'' if m is None else ', ' + units.percent(m)}" for n, m in rows]
    return go.Scatter(
        x=[n for n, _ in rows],
        y=[100 * (bottom if m is None else m) for _, m in rows],
        mode="markers",
        cliponaxis=False,
        marker={"symbol": symbol, "size": 8, "color": color, "opacity": 0.8, "line": {"width": 1.5, "color": color}},
        name=f"{TITLES.get(state, state)} ({len(rows)})",
        text=said,
        hovertemplate="%{text}<extra></extra>",
    )
