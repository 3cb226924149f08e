"""One look for all figures, and a plotly template for light and for dark paper.

Lines and marks have a contrast of at least 3 on both, text of at least 4.5, and no two of them differ by red and green
alone. What a colour says, a shape, a dash or a word says too.
"""

from __future__ import annotations

from html import escape
from typing import Any

import plotly.graph_objects as go

WINNER = "#2f7de1"
TRIAL_ZERO = "#9a6fd8"
TRIAL = "#7a8797"
BUDGET = "#c8641b"
DEFECT = "#d55e00"
GOOD = "#2b88b8"
SCALE = ((0.0, TRIAL), (0.5, GOOD), (1.0, DEFECT))
"""Low to high, for lines that are coloured by a value."""

FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif'


def _template(*, ink: str, muted: str, grid: str, paper: str, veil: str) -> go.layout.Template:
    axis = {
        "gridcolor": grid,
        "linecolor": muted,
        "zeroline": False,
        "ticks": "outside",
        "ticklen": 4,
        "tickcolor": muted,
        "tickfont": {"color": muted, "size": 12},
        "title": {"font": {"color": ink, "size": 13}, "standoff": 10},
        "automargin": True,
    }
    layout = {
        "font": {"family": FONT, "size": 13, "color": ink},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "xaxis": {**axis, "showgrid": False},
        "yaxis": axis,
        "hoverlabel": {"bgcolor": paper, "bordercolor": muted, "font": {"color": ink, "size": 12}, "align": "left"},
        "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "font": {"color": ink, "size": 12}},
        "annotationdefaults": {"font": {"color": ink, "size": 12}, "bgcolor": veil, "borderpad": 1},
        "modebar": {"bgcolor": "rgba(0,0,0,0)", "color": muted, "activecolor": ink},
        "margin": {"l": 56, "r": 16, "t": 40, "b": 44},
        "hovermode": "closest",
    }
    return go.layout.Template(layout=layout)


LIGHT = _template(ink="#1d232b", muted="#5c6570", grid="#e6e8eb", paper="#ffffff", veil="rgba(255,255,255,0.75)")
DARK = _template(ink="#e8eaed", muted="#98a2ae", grid="#2e353e", paper="#1c2127", veil="rgba(28,33,39,0.75)")


def figure(traces: list[Any], *, height: int, **layout: Any) -> go.Figure:
    """A figure in the light template; the report's page changes to the dark one by itself."""
    return go.Figure(data=traces, layout={"template": LIGHT, "height": height, **layout})


def safe(name: object) -> str:
    """A name as plotly should show it: its text is a small HTML, so a name must not be one."""
    return escape(str(name))
