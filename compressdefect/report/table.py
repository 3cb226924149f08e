"""A table as data: what stands in it is decided where it is made, how it looks in ``page.css``."""

from __future__ import annotations

from typing import NamedTuple

from compressdefect.report.markup import Content, Markup, element


class Bar(NamedTuple):
    """A cell with a bar behind its text, ``share`` of the column's width."""

    text: str
    share: float


class Shade(NamedTuple):
    """A cell with a tint behind its text: ``kind`` is ``right`` or ``wrong``, ``strength`` in [0, 1]."""

    text: str
    strength: float
    kind: str


Cell = str | Bar | Shade


class Column(NamedTuple):
    """A column; the cells of a numeric one are set to the right, and the heading of an ``upright`` one is turned."""

    title: str
    numeric: bool = False
    upright: bool = False


class Row(NamedTuple):
    """The cells of a row, the first of which names it; ``mark`` sets it off (``winner``, ``zero``, ``muted``)."""

    cells: tuple[Cell, ...]
    mark: str = ""


class Table(NamedTuple):
    """A table; notebooks show it as it is."""

    columns: tuple[Column, ...]
    rows: list[Row]

    def markup(self, *, sortable: bool = False) -> Markup:
        """The table in HTML, every name in it escaped; the headings of a sortable one are buttons."""
        head = element("tr", [_heading(column, sortable) for column in self.columns])
        titled = any(column.title for column in self.columns)
        body = [element("tr", self._cells(row), class_=row.mark or None) for row in self.rows]
        parts = [element("thead", head)] if titled else []
        return element("table", parts, element("tbody", body), class_="sortable" if sortable else None)

    def _repr_html_(self) -> str:
        return self.markup()

    def _cells(self, row: Row) -> list[Markup]:
        assert len(row.cells) == len(self.columns), row
        first, *rest = zip(row.cells, self.columns, strict=True)
        name = _cell(*first, tag="th", scope="row")
        return [name, *(_cell(cell, column) for cell, column in rest)]


def named(*titles: str) -> tuple[Column, ...]:
    """Columns of numbers after one of names."""
    return tuple(Column(title, numeric=i > 0) for i, title in enumerate(titles))


def text_of(cell: Cell) -> str:
    """What a cell says."""
    return cell if isinstance(cell, str) else cell.text


def _heading(column: Column, sortable: bool) -> Markup:
    kinds = [kind for kind, on in (("number", column.numeric), ("upright", column.upright)) if on]
    title: Content = element("span", column.title) if column.upright else column.title
    if sortable:
        title = element("button", title, type="button")
    return element("th", title, scope="col", class_=" ".join(kinds) or None)


def _cell(cell: Cell, column: Column, tag: str = "td", scope: str | None = None) -> Markup:
    kind = "number" if column.numeric else None
    if isinstance(cell, str):
        return element(tag, cell, class_=kind, scope=scope)
    if isinstance(cell, Shade):
        return element(tag, cell.text, class_=f"{kind} {cell.kind}", style=f"--tint:{100 * cell.strength:.0f}%")
    fill = element("i", style=f"width:{100 * min(max(cell.share, 0.0), 1.0):.1f}%")
    return element(tag, element("div", fill, element("span", cell.text), class_="bar"), class_=kind, scope=scope)
