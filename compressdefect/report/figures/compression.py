"""A compression step by step: the metric on validation images over latency and over the bytes of the file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import plotly.graph_objects as go

from compressdefect import units
from compressdefect.report.evidence import Evidence
from compressdefect.report.figures import theme


class Step(NamedTuple):
    """A model on its way; the metric is in [0, 1], and ``holds`` says whether it costs no more than is allowed."""

    title: str
    metric: float
    latency_ms: float
    bytes: int
    holds: bool
    ships: bool


class CompressionData(NamedTuple):
    """``steps`` begins with the model as it was; ``floor`` is what the metric may fall to, where that is known."""

    metric_title: str
    steps: list[Step]
    floor: float | None


class Panel(NamedTuple):
    """A cost to draw against: the name of its axis, its value in the axis's unit, and how it is written."""

    title: str
    value: Callable[[Step], float]
    text: Callable[[Step], str]


PANELS = (
    Panel("latency per image (ms)", lambda step: step.latency_ms, lambda step: units.milliseconds(step.latency_ms)),
    Panel("file (MiB)", lambda step: step.bytes / 2**20, lambda step: units.size(step.bytes)),
)
_GAP = 0.06  # of the width, between two panels
_BESIDE = 17  # pixels from a point to its name


def compute(evidence: Evidence) -> CompressionData | None:
    """The steps, or None where nothing was compressed."""
    found = evidence.best.manifest.steps if evidence.best else ()
    if not found:
        return None
    steps = [_step(figures) for figures in found]
    return CompressionData(evidence.metric_title, steps, _floor(evidence, steps[0]))


def _floor(evidence: Evidence, first: Step) -> float | None:
    """So many points less, as the run was allowed, or one image, if that is more."""
    allowed = (evidence.manifest.get("options") or {}).get("max_drop")
    images = evidence.best.manifest.metrics.get("val", {}).get("n") if evidence.best else None
    return None if allowed is None or not images else first.metric - max(float(allowed) / 100, 1 / images)


def _step(figures: Mapping[str, Any]) -> Step:
    return Step(
        figures["title"],
        figures["metric"],
        figures["latency_ms"],
        figures["bytes"],
        not figures["reasons"],
        figures["ships"],
    )


def draw(data: CompressionData) -> go.Figure:
    """A panel for each cost, with the way from the model as it was to what ships."""
    traces = [trace for number, panel in enumerate(PANELS, 1) for trace in _traces(data, panel, number)]
    figure = theme.figure(traces, height=400)
    values = [100 * step.metric for step in data.steps] + ([] if data.floor is None else [100 * data.floor])
    room = 0.25 * max(max(values) - min(values), 1.0)
    width = (1 - _GAP * (len(PANELS) - 1)) / len(PANELS)
    for number, panel in enumerate(PANELS, 1):
        left = (number - 1) * (width + _GAP)
        figure.layout[_axis("xaxis", number)] = {
            "title": {"text": panel.title},
            "range": _span(data, panel),
            "domain": [left, left + width],
            "anchor": _axis("y", number),
        }
        figure.layout[_axis("yaxis", number)] = {
            "range": [min(values) - room, max(values) + room],
            "anchor": _axis("x", number),
            "showticklabels": number == 1,
        }
        _name(figure, data, panel, number)
    figure.update_layout(yaxis_title_text=f"{data.metric_title} on validation (%)")
    return figure


def _axis(name: str, number: int) -> str:
    """Plotly's name of the first, second … axis."""
    return name if number == 1 else f"{name}{number}"


def _traces(data: CompressionData, panel: Panel, number: int) -> list[go.Scatter]:
    place = {"xaxis": _axis("x", number), "yaxis": _axis("y", number)}
    first = data.steps[0]
    groups: Sequence[tuple[str, Callable[[Step], bool], dict[str, Any]]] = (
        ("as it was", lambda step: step is first, {"color": theme.TRIAL_ZERO, "size": 12, "symbol": "diamond"}),
        ("holds", lambda step: step.holds and not step.ships and step is not first, _mark("circle", 10)),
        ("does not hold", lambda step: not step.holds, {"color": theme.DEFECT, "size": 11, "symbol": "x"}),
        ("ships", lambda step: step.ships, _mark("star", 19)),
    )
    way = go.Scatter(
        x=[panel.value(step) for step in data.steps],
        y=[100 * step.metric for step in data.steps],
        mode="lines",
        line={"color": theme.TRIAL, "width": 1.5, "dash": "dot"},
        hoverinfo="skip",
        showlegend=False,
        cliponaxis=False,
        **place,
    )
    floor = go.Scatter(
        x=_span(data, panel),
        y=[None if data.floor is None else 100 * data.floor] * 2,
        mode="lines",
        line={"color": theme.BUDGET, "width": 2, "dash": "dash"},
        name="as much may be lost",
        hoverinfo="skip",
        showlegend=number == 1 and data.floor is not None,
        **place,
    )
    return [floor, way, *(_dots(data, panel, *group, shown=number == 1, place=place) for group in groups)]


def _span(data: CompressionData, panel: Panel) -> list[float]:
    """Of a cost's axis: from below nothing to above the most, so that names have room."""
    most = max(panel.value(step) for step in data.steps)
    return [-0.12 * most, 1.25 * most]


def _mark(symbol: str, size: int) -> dict[str, Any]:
    return {"color": theme.WINNER, "size": size, "symbol": symbol}


def _dots(
    data: CompressionData,
    panel: Panel,
    name: str,
    belongs: Callable[[Step], bool],
    marker: dict[str, Any],
    *,
    shown: bool,
    place: Mapping[str, Any],
) -> go.Scatter:
    steps = [step for step in data.steps if belongs(step)]
    return go.Scatter(
        x=[panel.value(step) for step in steps],
        y=[100 * step.metric for step in steps],
        mode="markers",
        marker=marker,
        name=name,
        text=[f"{step.title}<br>{units.percent(step.metric)} at {panel.text(step)}" for step in steps],
        hovertemplate="%{text}<extra></extra>",
        showlegend=shown and bool(steps),
        cliponaxis=False,
        **place,
    )


def _name(figure: go.Figure, data: CompressionData, panel: Panel, number: int) -> None:
    """Every other point has its name above it, so that neighbours keep apart."""
    for place, step in enumerate(data.steps):
        figure.add_annotation(
            x=panel.value(step),
            y=100 * step.metric,
            text=step.title.partition(",")[0],
            showarrow=False,
            yshift=_BESIDE if place % 2 else -_BESIDE,
            xref=_axis("x", number),
            yref=_axis("y", number),
        )
