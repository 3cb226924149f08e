"""The confusion matrix of the delivered model on the test images, at its threshold."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from compressdefect.report.evidence import Evidence
from compressdefect.report.figures import theme
from compressdefect.report.verdicts import confusion_counts

SHADES = [
    (0.0, "rgba(217,72,75,0.95)"),
    (0.499, "rgba(217,72,75,0.06)"),
    (0.5, "rgba(140,150,160,0.07)"),
    (0.501, "rgba(47,125,225,0.05)"),
    (1.0, "rgba(47,125,225,0.85)"),
]
"""Red where wrong, grey where nothing is, blue where right."""


class ConfusionData(NamedTuple):
    """``counts`` is (classes, classes): true classes in rows, answers in columns."""

    classes: tuple[str, ...]
    counts: NDArray[np.int64]


def compute(evidence: Evidence) -> ConfusionData | None:
    """The counts, or None where the run has no test answers."""
    if evidence.best is None or evidence.best.predictions is None:
        return None
    return ConfusionData(evidence.classes, confusion_counts(evidence.best.predictions, evidence.good))


def draw(data: ConfusionData) -> go.Figure:
    """A grid with the count in each cell, shaded by its share of the row: blue where right, red where wrong."""
    total = np.maximum(data.counts.sum(axis=1, keepdims=True), 1)
    share = data.counts / total
    right = np.eye(len(data.classes), dtype=bool)
    # Mistakes are rare and must still be seen: a single one has a shade, which rises with the root of its share.
    shade = np.where(right, share, np.where(share > 0, -0.15 - 0.85 * np.sqrt(share), 0.0))
    names = [theme.safe(name) for name in data.classes]
    heat = go.Heatmap(
        z=shade,
        x=names,
        y=names,
        zmin=-1,
        zmax=1,
        colorscale=SHADES,
        showscale=False,
        xgap=3,
        ygap=3,
        text=data.counts,
        customdata=100 * share,
        hovertemplate="true %{y}<br>answered %{x}<br>%{text} images, %{customdata:.1f} % of the row<extra></extra>",
    )
    figure = theme.figure([heat], height=max(300, 120 + 46 * len(names)), margin={"t": 12})
    angle = 0 if len(names) <= 3 else -35
    figure.update_xaxes(title_text="answered", ticks="", type="category", tickangle=angle)
    figure.update_yaxes(title_text="true class", autorange="reversed", ticks="", showgrid=False, type="category")
    for row, column in np.ndindex(data.counts.shape):
        font = {"size": 15 if len(names) <= 6 else 11} | ({"color": "white"} if shade[row, column] > 0.5 else {})
        text, clear = str(data.counts[row, column]), "rgba(0,0,0,0)"
        figure.add_annotation(x=column, y=row, text=text, showarrow=False, font=font, bgcolor=clear)
    return figure
