"""The gain over trial 0: which trials took the lead, and how far their NetScore is from the named design's."""

from __future__ import annotations

from typing import NamedTuple

import plotly.graph_objects as go

from compressdefect import units
from compressdefect.report.evidence import Evidence, Score, leaders
from compressdefect.report.figures import theme
from compressdefect.report.table import Row, Table, named


class Step(NamedTuple):
    """A trial that took the lead; the metric's gain is in points of a rate, the costs are times trial 0's."""

    number: int
    netscore_gain: float
    metric_gain: float
    flops_ratio: float | None
    latency_ratio: float | None


class GainData(NamedTuple):
    """``steps`` starts at trial ``zero`` itself; ``last`` is the number of the last trial asked.

    It is None on a ladder, where designs are finished in another order than they were asked in.
    """

    steps: list[Step]
    zero: int
    last: int | None


def compute(evidence: Evidence) -> GainData | None:
    """The changes of the lead, or None where trial 0 did not end or scored 0, so that any gain would be infinite."""
    zero = evidence.trial_zero
    if zero is None or not zero.metric:
        return None
    steps = [
        Step(
            number=score.number,
            netscore_gain=score.netscore - zero.netscore,
            metric_gain=score.metric - zero.metric,
            flops_ratio=_ratio(score.trial.flops, zero.trial.flops),
            latency_ratio=_ratio(score.trial.latency_ms, zero.trial.latency_ms),
        )
        for score in [zero, *_after(zero, evidence)]
    ]
    last = max(t.number for t in evidence.trials if t.number is not None)
    return GainData(steps, zero.number, None if evidence.short_training else last)


def _after(zero: Score, evidence: Evidence) -> list[Score]:
    """Those that took the lead after trial 0; on a ladder, where it may never have led, all of them then."""
    leads = leaders(evidence)
    if not evidence.short_training:
        return [score for score in leads if score.number > zero.number]
    return leads[leads.index(zero) + 1 :] if zero in leads else leads


def draw(data: GainData) -> go.Figure:
    """Steps of NetScore over trial number, from trial 0's own level; on a ladder one step for each change."""
    last = data.steps[-1]
    x, y = [s.number for s in data.steps], [s.netscore_gain for s in data.steps]
    end = data.last
    if end is None:
        x, end = list(range(len(data.steps))), len(data.steps)
    traces = [
        go.Scatter(
            x=[*x, end],
            y=[*y, y[-1]],
            mode="lines",
            line={"shape": "hv", "color": theme.WINNER, "width": 2},
            fill="tozeroy",
            fillcolor="rgba(47,125,225,0.12)",
            hoverinfo="skip",
            showlegend=False,
        ),
        go.Scatter(
            x=x,
            y=y,
            mode="markers",
            cliponaxis=False,
            marker={
                "size": [14 if s.number == data.zero else 18 if s is last else 9 for s in data.steps],
                "symbol": [
                    "diamond" if s.number == data.zero else "star" if s is last else "circle" for s in data.steps
                ],
                "opacity": 1.0,
                "color": [theme.TRIAL_ZERO if s.number == data.zero else theme.WINNER for s in data.steps],
            },
            text=[_said(step) for step in data.steps],
            hovertemplate="%{text}<extra></extra>",
            showlegend=False,
        ),
    ]
    figure = theme.figure(traces, height=380)
    figure.update_xaxes(title_text="trial", rangemode="tozero", dtick=1 if end < 10 else None)
    if data.last is None:
        named = [f"{s.number}" for s in data.steps]
        figure.update_xaxes(title_text="trial, as they took the lead", tickvals=x, ticktext=named)
    figure.update_yaxes(title_text="NetScore over trial 0", rangemode="tozero")
    return figure


def table(data: GainData) -> Table:
    """The trials that took the lead, in their order."""
    rows = [
        Row(
            (
                f"trial {s.number}",
                f"{s.netscore_gain:+.1f}",
                units.points(s.metric_gain),
                units.ratio(s.flops_ratio, 1.0),
                units.ratio(s.latency_ratio, 1.0),
            )
        )
        for s in data.steps
    ]
    return Table(named("took the lead", "NetScore", "metric", "FLOPs", "latency"), rows)


def _said(step: Step) -> str:
    costs = [("FLOPs", step.flops_ratio), ("latency", step.latency_ratio)]
    parts = [f"{name} {units.ratio(ratio, 1.0)}" for name, ratio in costs if ratio is not None]
    gain = f"NetScore {step.netscore_gain:+.1f}, metric {units.points(step.metric_gain)}"
    return "<br>".join([f"trial {step.number}", gain, ", ".join(parts)])


def _ratio(value: float | None, reference: float | None) -> float | None:
    return value / reference if value is not None and reference else None
