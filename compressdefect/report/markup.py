"""HTML that cannot forget to escape: text becomes markup only through ``element``, which escapes it."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

_VOID = {"br", "img", "input", "meta"}


class Markup(str):
    """A string that is HTML already."""

    __slots__ = ()


Content = str | Iterable[str]


def element(tag: str, *content: Content, **attributes: str | int | bool | None) -> Markup:
    """One HTML element; plain strings are escaped, ``Markup`` is kept; ``None`` or ``False`` attributes are left out.

    Attribute names lose a trailing underscore and use ``-`` for ``_``.

    >>> element("td", "a < b", class_="number")
    '<td class="number">a &lt; b</td>'
    """
    parts = [f"<{tag}"]
    for name, value in attributes.items():
        if value is not None and value is not False:
            name = name.rstrip("_").replace("_", "-")
            parts.append(f" {name}" if value is True else f' {name}="{escape(str(value))}"')
    body = join(*content)
    return Markup("".join(parts) + (">" if tag in _VOID else f">{body}</{tag}>"))


def join(*content: Content) -> Markup:
    """Content one after the other, escaped where it is not markup yet."""
    pieces: list[str] = []
    for item in content:
        for text in [item] if isinstance(item, str) else item:
            pieces.append(text if isinstance(text, Markup) else escape(text))
    return Markup("".join(pieces))
