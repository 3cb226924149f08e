"""Pixels, masks and boxes move together."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from compressdefect.data.augment.warp import move_boxes, sample_masks, sample_pixels, still_points, to_uint8
from compressdefect.data.marks.convert import boxes_of


def _shifted(x: float, y: float, height: int = 20, width: int = 30) -> torch.Tensor:
    """Points that show what lies so many pixels further right and down."""
    return still_points(1, height, width) + torch.tensor([2 * x / width, 2 * y / height]).view(2, 1, 1)


def test_still_points_change_nothing() -> None:
    pixels = torch.randint(0, 256, (2, 3, 20, 30), dtype=torch.uint8)
    points = still_points(2, 20, 30)
    assert torch.equal(to_uint8(sample_pixels(pixels, points)), pixels)
    assert torch.equal(sample_masks(pixels[:, 0], points), pixels[:, 0])
    boxes = [torch.tensor([[2, 3, 7, 9, 5], [0, 0, 30, 20, 6], [4, 4, 5, 5, 7]]), torch.empty(0, 5)]
    assert [moved.tolist() for moved in move_boxes(boxes, points)] == [box.tolist() for box in boxes]


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64])
def test_a_shift_moves_all_three(dtype: torch.dtype) -> None:
    mask = torch.zeros(1, 20, 30, dtype=dtype)
    mask[0, 8:12, 10:16] = 3
    points = _shifted(4, 2)
    moved = sample_masks(mask, points)
    assert moved.dtype == dtype
    assert torch.equal(moved[0, 6:10, 6:12], torch.full((4, 6), 3, dtype=dtype))
    assert moved.count_nonzero() == 24
    assert torch.equal(sample_pixels(mask[:, None].to(torch.uint8), points)[:, 0].round().to(dtype), moved)
    assert move_boxes([torch.tensor([[10.0, 8, 16, 12, 3]])], points)[0].tolist() == [[6, 6, 12, 10, 3]]


def test_pixels_are_interpolated_and_classes_are_not() -> None:
    values = torch.tensor([[[[0, 100]]]], dtype=torch.uint8)
    between = _shifted(0.25, 0, 1, 2)
    assert sample_pixels(values, between)[0, 0, 0, 0] == pytest.approx(25)
    assert sample_masks(values[:, 0], between).tolist() == [[[0, 100]]]


def test_a_box_out_of_sight_is_gone_and_a_cut_one_is_cut() -> None:
    points = still_points(1, 20, 30) / 2  # the middle, enlarged
    boxes = torch.tensor([[0.0, 0, 5, 5], [5, 3, 10, 7], [12, 8, 14, 9]])
    assert move_boxes([boxes], points)[0].tolist() == [[0, 0, 5, 4], [9, 6, 13, 8]]
    assert move_boxes([boxes[:1]], points)[0].shape == (0, 4)


def test_a_mirrored_defect_has_a_box_of_its_own() -> None:
    mask = torch.zeros(1, 20, 30, dtype=torch.uint8)
    mask[0, 8:12, 3:6] = 1
    points = _shifted(-8, 0)
    moved = sample_masks(mask, points)[0].numpy() > 0
    boxes = move_boxes([torch.tensor([[3.0, 8, 6, 12]])], points)[0]
    assert boxes.tolist() == [[2, 8, 5, 12], [11, 8, 14, 12]]
    assert boxes.tolist() == [[box.x0, box.y0, box.x1, box.y1] for box in boxes_of(moved)]


def test_a_tiny_box_is_not_lost_between_pixels() -> None:
    points = still_points(1, 20, 30) * 1.4  # seen from further away: pixels are 1.4 apart
    for x in np.linspace(7, 22, 40):  # outside, the mirror shows it twice
        assert len(move_boxes([torch.tensor([[x, 9.3, x + 0.5, 9.8]])], points)[0]) == 1
