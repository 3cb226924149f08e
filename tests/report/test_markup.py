from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from compressdefect.report.markup import Markup, element, join


@given(st.text())
def test_text_and_attributes_are_escaped(text: str) -> None:
    inside = str(element("p", text, title=text)).removeprefix("<p").removesuffix("</p>")
    assert inside.count("<") == 0
    assert inside.count('"') == 2
    assert inside.count(">") == 1


def test_markup_is_kept_and_lists_are_joined() -> None:
    assert element("p", [element("b", "a"), "<"], Markup("<br>")) == "<p><b>a</b>&lt;<br></p>"


def test_attributes_may_be_left_out_or_bare() -> None:
    assert element("input", disabled=True, checked=False, id=None, aria_label="x") == '<input disabled aria-label="x">'


def test_join_escapes_what_is_not_markup() -> None:
    assert join("a&b", Markup("&amp;")) == "a&amp;b&amp;"
