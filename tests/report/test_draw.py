"""Annotations are drawn where they are, however small, and boxes also outside their image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from compressdefect.data.marks.shapes import Box, MaskFile
from compressdefect.data.sample import Region
from compressdefect.report.contact_sheet import Block, Picture, Row, draw_sheet
from compressdefect.report.draw import COLOURS, annotated, colour_of

GREY = np.full((200, 300, 1), 100, dtype=np.uint8)


def test_without_regions_the_image_is_only_fitted() -> None:
    drawn = annotated(GREY, None, 60)
    assert drawn.size == (60, 40)
    assert np.unique(np.asarray(drawn)).tolist() == [100]


def test_a_mask_of_one_pixel_is_still_seen(tmp_path: Path) -> None:
    mask = np.zeros((200, 300), dtype=np.uint8)
    mask[77, 150] = 255
    Image.fromarray(mask).save(tmp_path / "m.png")
    drawn = np.asarray(annotated(GREY, [Region("dent", MaskFile(tmp_path / "m.png"))], 60))
    assert (drawn == COLOURS[0]).all(axis=2).sum() == 1


def test_a_mask_that_cannot_be_read_is_left_out(tmp_path: Path) -> None:
    drawn = np.asarray(annotated(GREY, [Region("dent", MaskFile(tmp_path / "gone.png"))], 60))
    assert np.unique(drawn).tolist() == [100]


def test_a_box_outside_its_image_gets_room() -> None:
    inside = annotated(GREY, [Region("dent", Box(10, 10, 290, 190))], 150)
    outside = annotated(GREY, [Region("pit", Box(200, 100, 330, 190))], 150, ["dent", "pit"])
    far = annotated(GREY, [Region("pit", Box(200, 100, 9e9, 190))], 150, ["dent", "pit"])
    assert inside.size == (150, 100)
    assert outside.size[0] > 165
    assert far.size[0] <= 150 * 1.25 + 4
    assert (np.asarray(outside)[:, 152:] == colour_of("pit", ["dent", "pit"])).all(axis=2).any()


def test_a_sheet_holds_its_rows_and_shortens_names() -> None:
    tiles = [Picture(Image.new("RGB", (500, 250), (200, 0, 0)), f"{'x' * 300}\n.png") for _ in range(3)]
    sheet = draw_sheet("Plates", [Block("Classes", [Row("good", "3 images", tiles), Row("none", "0 images", [])])])
    red = (np.asarray(sheet) == (200, 0, 0)).all(axis=2)
    assert red.sum() == 3 * 168 * 84
    assert not red[:, -20:].any()
