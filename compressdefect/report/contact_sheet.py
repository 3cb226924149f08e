"""Many small pictures on one sheet, in titled rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from PIL import Image, ImageDraw, ImageFont

TILE = 168
_GAP, _MARGIN, _SIDE, _LINE = 10, 28, 190, 18
_PAPER, _INK, _MUTED, _RULE = (250, 250, 248), (29, 35, 43), (102, 112, 124), (227, 229, 232)


class Picture(NamedTuple):
    """A picture with the line under it."""

    image: Image.Image
    caption: str = ""


class Row(NamedTuple):
    """Pictures beside a title and a few words about them."""

    title: str
    note: str
    pictures: Sequence[Picture]


class Block(NamedTuple):
    """Rows under a heading."""

    heading: str
    rows: Sequence[Row]


def draw_sheet(title: str, blocks: Sequence[Block], tile: int = TILE) -> Image.Image:
    """Lay out the blocks on one RGB sheet; pictures larger than ``tile`` are shrunk to it."""
    columns = max((len(row.pictures) for block in blocks for row in block.rows), default=1)
    width = 2 * _MARGIN + _SIDE + columns * (tile + _GAP)
    heights = [_heading_height() + sum(_row_height(row, tile) for row in block.rows) for block in blocks]
    sheet = Image.new("RGB", (width, 2 * _MARGIN + 40 + sum(heights)), _PAPER)
    pen = ImageDraw.Draw(sheet)
    pen.text((_MARGIN, _MARGIN), title, _INK, _font(26))
    top = _MARGIN + 40
    for block in blocks:
        pen.line((_MARGIN, top + 8, width - _MARGIN, top + 8), _RULE)
        pen.text((_MARGIN, top + 20), block.heading, _INK, _font(18))
        top += _heading_height()
        for row in block.rows:
            _draw_row(sheet, row, top, tile)
            top += _row_height(row, tile)
    return sheet


def _draw_row(sheet: Image.Image, row: Row, top: int, tile: int) -> None:
    pen = ImageDraw.Draw(sheet)
    pen.text((_MARGIN, top), _cut(pen, row.title, _SIDE - _GAP, 14), _INK, _font(14))
    pen.text((_MARGIN, top + _LINE + 2), _cut(pen, row.note, _SIDE - _GAP, 12), _MUTED, _font(12))
    for column, picture in enumerate(row.pictures):
        left = _MARGIN + _SIDE + column * (tile + _GAP)
        image = picture.image.convert("RGB")
        image.thumbnail((tile, tile), Image.Resampling.LANCZOS)
        sheet.paste(image, (left, top))
        if picture.caption:
            caption = _cut(pen, picture.caption, tile, 11)
            pen.text((left, top + image.height + 3), caption, _MUTED, _font(11))


def _row_height(row: Row, tile: int) -> int:
    tallest = max((_fitted_height(picture.image, tile) for picture in row.pictures), default=0)
    captions = _LINE if any(picture.caption for picture in row.pictures) else 0
    return max(tallest + captions, 2 * _LINE + 4) + _GAP


def _fitted_height(image: Image.Image, tile: int) -> int:
    return min(image.height, max(1, round(image.height * min(1.0, tile / max(image.size))) + 1))


def _heading_height() -> int:
    return 56


def _cut(pen: ImageDraw.ImageDraw, text: str, width: int, size: int) -> str:
    """The text, shortened in its middle until it fits; what cannot be printed in one line is replaced."""
    text = "".join(char if char.isprintable() else "�" for char in text)
    shown, keep = text, len(text)
    while pen.textlength(shown, _font(size)) > width and keep > 2:
        keep -= 1
        shown = f"{text[: keep // 2]}…{text[len(text) - (keep - keep // 2) :]}"
    return shown


def _font(size: int) -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    return ImageFont.load_default(size)
