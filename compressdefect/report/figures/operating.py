"""The operating point: what a threshold costs in escapes and in overkill, and how well the scores come apart."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from compressdefect import units
from compressdefect.data.verdict import defect_scores, rejected
from compressdefect.report.evidence import Evidence
from compressdefect.report.figures import theme
from compressdefect.report.table import Row, Table, named

BINS = 40


class OperatingData(NamedTuple):
    """Rates on the test images by falling threshold; ``aim`` is the overkill that ``threshold`` was chosen for."""

    thresholds: NDArray[np.float64]
    overkill: NDArray[np.float64]
    escape: NDArray[np.float64]
    threshold: float
    aim: float
    chosen: tuple[float, float]
    overkill_interval: tuple[float, float] | None
    escape_interval: tuple[float, float] | None
    good_scores: NDArray[np.float64]
    defect_scores: NDArray[np.float64]


def compute(evidence: Evidence) -> OperatingData | None:
    """The trade-off of the delivered model, or None without a good class, a threshold or test answers."""
    good, best = evidence.good, evidence.best
    if good is None or best is None or best.predictions is None or best.predictions.threshold is None:
        return None
    scores, is_good = defect_scores(best.predictions.probabilities, good), best.predictions.labels == good
    if is_good.all() or not is_good.any():
        return None
    thresholds = np.unique([*scores, -np.inf])[::-1]
    threshold = best.predictions.threshold
    reject = rejected(scores, threshold)
    return OperatingData(
        thresholds=thresholds,
        overkill=_share_above(scores[is_good], thresholds),
        escape=1.0 - _share_above(scores[~is_good], thresholds),
        threshold=threshold,
        aim=evidence.overkill_aim,
        chosen=(float(reject[is_good].mean()), float((~reject[~is_good]).mean())),
        overkill_interval=_pair(best.test.get("overkill_interval")),
        escape_interval=_pair(best.test.get("escape_interval")),
        good_scores=scores[is_good],
        defect_scores=scores[~is_good],
    )


def draw(data: OperatingData) -> go.Figure:
    """The escape rate over the overkill rate, in steps, with the chosen threshold and its intervals."""
    overkill, escape = data.chosen
    right = min(max(0.05, 1.4 * max(data.overkill_interval or (overkill,))), 1.0)
    top = min(max(0.02, 1.4 * max(data.escape_interval or (escape,))), 1.0)
    traces = [
        go.Scatter(
            x=100 * data.overkill,
            y=100 * data.escape,
            mode="lines",
            line={"shape": "vh", "color": theme.TRIAL, "width": 2},
            text=[_said(*point) for point in zip(data.thresholds, data.overkill, data.escape, strict=True)],
            hovertemplate="%{text}<extra></extra>",
            name="any threshold",
        ),
        go.Scatter(
            x=[100 * overkill],
            y=[100 * escape],
            mode="markers",
            marker={"size": 13, "color": theme.WINNER},
            error_x=_error(overkill, data.overkill_interval),
            error_y=_error(escape, data.escape_interval),
            name=f"chosen threshold {units.probability(data.threshold)}, with 95 % intervals",
            text=[_said(data.threshold, overkill, escape)],
            hovertemplate="chosen: %{text}<extra></extra>",
        ),
    ]
    figure = theme.figure(traces, height=380)
    figure.add_vline(x=100 * data.aim, line={"color": theme.BUDGET, "width": 1.5, "dash": "dot"})
    figure.add_annotation(
        x=100 * data.aim,
        y=1,
        yref="paper",
        text=f"aim: {100 * data.aim:g} % overkill",
        showarrow=False,
        xanchor="left",
        yanchor="top",
        xshift=5,
    )
    figure.update_xaxes(title_text="overkill: good parts rejected (%)", range=[-2 * right, 102 * right])
    figure.update_yaxes(title_text="escape: defective parts passed (%)", range=[-3 * top, 104 * top])
    return figure


def draw_scores(data: OperatingData) -> go.Figure:
    """How many good and defective images got each score, on a logarithmic scale, with the threshold."""
    edges = np.linspace(0.0, 1.0, BINS + 1)
    traces, most = [], 1
    kinds = (("good", data.good_scores, theme.GOOD, ""), ("defective", data.defect_scores, theme.DEFECT, "/"))
    for name, scores, color, pattern in kinds:
        counts, _ = np.histogram(scores, edges)
        most = max(most, int(counts.max()))
        traces.append(
            go.Bar(
                x=(edges[:-1] + edges[1:]) / 2,
                y=counts,
                width=1 / BINS,
                marker={"color": color, "opacity": 0.7, "pattern": {"shape": pattern, "size": 5}},
                name=f"{name} ({len(scores)})",
                hovertemplate=f"{name}: %{{y}} images at %{{x:.2f}}<extra></extra>",
            )
        )
    figure = theme.figure(traces, height=380, barmode="overlay")
    figure.update_xaxes(title_text="score: probability that the part is defective", range=[-0.02, 1.02])
    figure.update_yaxes(title_text="test images", type="log", range=[-0.25, np.log10(most) + 0.15], dtick=1)
    figure.add_vline(x=data.threshold, line={"color": theme.WINNER, "width": 2, "dash": "dash"})
    left = data.threshold > 0.5
    figure.add_annotation(
        x=data.threshold,
        y=0.98,
        yref="paper",
        text=f"threshold {units.probability(data.threshold)}",
        showarrow=False,
        xanchor="right" if left else "left",
        xshift=-6 if left else 6,
    )
    return figure


def scores_table(data: OperatingData, *, ranges: int = 10) -> Table:
    """How many good and defective images have a score in each tenth of [0, 1]."""
    edges = np.linspace(0.0, 1.0, ranges + 1)
    good, bad = (np.histogram(scores, edges)[0] for scores in (data.good_scores, data.defect_scores))
    rows = [Row((f"{edges[i]:.1f} to {edges[i + 1]:.1f}", str(good[i]), str(bad[i]))) for i in range(ranges)]
    return Table(named("score", "good images", "defective images"), rows)


def _said(threshold: float, overkill: float, escape: float) -> str:
    above = f"threshold {units.probability(threshold)}" if threshold >= 0 else "no threshold: all rejected"
    return f"{above}<br>overkill {units.percent(overkill)}<br>escape {units.percent(escape)}"


def _share_above(scores: NDArray[np.float64], thresholds: NDArray[np.float64]) -> NDArray[np.float64]:
    return 1.0 - np.searchsorted(np.sort(scores), thresholds, side="right") / len(scores)


def _pair(bounds: list[float] | None) -> tuple[float, float] | None:
    return (bounds[0], bounds[1]) if bounds else None


def _error(value: float, bounds: tuple[float, float] | None) -> dict[str, object] | None:
    if bounds is None:
        return None
    return {
        "type": "data",
        "symmetric": False,
        "array": [100 * (bounds[1] - value)],
        "arrayminus": [100 * (value - bounds[0])],
        "color": theme.WINNER,
        "thickness": 1.5,
        "width": 5,
    }
