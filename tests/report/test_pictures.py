from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compressdefect.report import pictures
from compressdefect.report.originals import Box


@pytest.mark.parametrize(
    ("shape", "size"), [((1, 700, 500), (229, 320)), ((3, 160, 20), (40, 320)), ((1, 200, 300), (300, 200))]
)
def test_a_picture_fits_and_keeps_its_shape(shape: tuple[int, int, int], size: tuple[int, int]) -> None:
    assert pictures.picture(np.zeros(shape, np.uint8)).size == size


def test_heat_is_clear_where_cold_and_red_where_hot() -> None:
    values = np.zeros((64, 64))
    values[32:, :] = 1.0
    pixels = pictures.heat(values)
    assert pixels[3, 0, 0] == 0
    assert tuple(pixels[:, -1, 0]) == (255, 0, 30, 190)


def test_an_overlay_of_any_size_covers_the_whole_picture() -> None:
    overlay = np.zeros((4, 2, 2), np.uint8)
    overlay[[0, 3], 1, 1] = 255
    shown = np.asarray(pictures.picture(np.full((1, 300, 200), 90, np.uint8), overlay=overlay))
    assert shown.shape == (300, 200, 3)
    assert tuple(shown[0, 0]) == (90, 90, 90)
    assert tuple(shown[-1, -1]) == (255, 0, 0)


def test_a_frame_is_drawn_where_the_crop_is() -> None:
    shown = np.asarray(pictures.picture(np.zeros((1, 640, 640), np.uint8), frame=Box(320, 0, 640, 320)))
    yellow = (shown == pictures.FRAME).all(axis=2)
    rows, columns = np.nonzero(yellow)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (160, 319, 0, 159)


SIDES, SHARES = st.integers(1, 3000), st.floats(0, 1)


@given(SIDES, SIDES, SHARES, SHARES, st.integers(1, 500), st.integers(1, 500))
def test_a_crop_lies_in_the_picture_and_holds_the_defect(
    height: int, width: int, down: float, across: float, tall: int, wide: int
) -> None:
    tall, wide = min(tall, height), min(wide, width)
    top, left = int(down * (height - tall)), int(across * (width - wide))
    box = Box(top, left, top + tall, left + wide)
    crop = pictures.around(box, height, width)
    if crop is not None:
        assert 0 <= crop.top <= box.top < box.bottom <= crop.bottom <= height
        assert 0 <= crop.left <= box.left < box.right <= crop.right <= width
        assert max(crop.bottom - crop.top, crop.right - crop.left) <= pictures.CROPPED * max(height, width)
