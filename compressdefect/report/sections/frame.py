"""What every section is made of."""

from __future__ import annotations

from typing import NamedTuple

import plotly.graph_objects as go

from compressdefect.report.markup import Content, Markup, element, join
from compressdefect.report.table import Table

CONFIG = {"responsive": True, "displaylogo": False, "modeBarButtons": [["toImage", "zoom2d", "pan2d", "resetScale2d"]]}

LONG = 20
"""Rows of a table under a chart from which on it scrolls by itself."""


class Section(NamedTuple):
    """A part of the page that the navigation points to."""

    anchor: str
    title: str
    content: Markup

    def markup(self) -> Markup:
        """The section with its heading."""
        return element("section", element("h2", self.title), self.content, id=self.anchor)


def section(anchor: str, title: str, *content: Content) -> Section:
    """A section from its parts."""
    return Section(anchor, title, join(*content))


def plot(
    name: str, figure: go.Figure, title: str, note: str, data: Table | None = None, *, wide: bool = False
) -> Markup:
    """A chart with its title and a note under it, and its data as a table for those who cannot see it.

    A ``wide`` one scrolls where there is too little room for it.
    """
    drawn = figure.to_html(full_html=False, include_plotlyjs=False, div_id=f"figure-{name}", config=CONFIG)
    said = f"{title}. {note}"
    chart = element("div", Markup(drawn), role="img", aria_label=said, class_="wide" if wide else None)
    if wide:
        chart = element("div", chart, class_="scroll", role="region", aria_label=title, tabindex=0)
    table = []
    if data:
        table = [fold("The same as a table", scroll(data, f"{title}, as a table", tall=len(data.rows) > LONG))]
    return element("figure", element("h3", title), chart, element("figcaption", note), table)


def tabled(title: str, table: Table, note: str = "") -> Markup:
    """A table with its title and a note under it."""
    caption = [element("figcaption", note)] if note else []
    return element("figure", element("h3", title), scroll(table, title), caption)


def empty(text: str) -> Markup:
    """What stands where there is nothing to show, and why."""
    return element("p", text, class_="empty")


def note(text: str) -> Markup:
    """A line on how to read what follows."""
    return element("p", text, class_="note")


def fold(summary: str, *content: Content, on_paper: bool = False) -> Markup:
    """What is there for those who open it, and ``on_paper`` for all."""
    return element("details", element("summary", summary), *content, class_="printed" if on_paper else None)


def scroll(table: Table, label: str, *, tall: bool = False) -> Markup:
    """A table that scrolls by itself where it is too wide or, when ``tall``, too long; a tall one can be sorted."""
    kind = "scroll tall" if tall else "scroll"
    return element("div", table.markup(sortable=tall), class_=kind, role="region", aria_label=label, tabindex=0)
