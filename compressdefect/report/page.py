"""The frame of every page: one file that opens in any browser, without a network."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources

from compressdefect.report.markup import Content, Markup, element, join


def page(
    title: str, *body: Content, policy: str, styles: Sequence[str] = ("page.css",), scripts: Sequence[str] = ()
) -> Markup:
    """A whole document.

    Args:
        title: of the window.
        body: what is shown.
        policy: what the browser may load; it refuses everything else.
        styles: names of style sheets of this package.
        scripts: source code that is there before the body.
    """
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=policy),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", title),
        element("style", [Markup(asset(name)) for name in styles]),
        [element("script", Markup(source)) for source in scripts],
    )
    return join(Markup("<!doctype html>\n"), element("html", head, element("body", *body), lang="en"))


def asset(name: str) -> str:
    """A text file of this package."""
    return resources.files("compressdefect.report").joinpath(name).read_text(encoding="utf-8")
