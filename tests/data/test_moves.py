"""Each move does what its name says, within its bounds."""

from __future__ import annotations

import math

import pytest
import torch

from compressdefect.data.augment.moves import Affine, Crop, Elastic, Flip, Move, Perspective, PiecewiseAffine
from compressdefect.data.augment.warp import still_points

MOVES: list[Move] = [Flip(), Affine(), Crop(), Perspective(), Elastic(), PiecewiseAffine()]


def _moved(move: Move, count: int = 50, height: int = 40, width: int = 60, seed: int = 0) -> torch.Tensor:
    return move(still_points(count, height, width), torch.Generator().manual_seed(seed))


def _pixels(points: torch.Tensor) -> torch.Tensor:
    """Points in pixels of the picture."""
    return (points + 1) / 2 * torch.tensor([points.shape[3], points.shape[2]]).view(2, 1, 1)


@pytest.mark.parametrize("move", MOVES, ids=lambda move: type(move).__name__)
def test_each_picture_has_a_draw_of_its_own(move: Move) -> None:
    points = _moved(move)
    assert points.shape == (50, 2, 40, 60)
    assert points.dtype == torch.float32
    assert torch.equal(points, _moved(move))
    assert not torch.equal(points, _moved(move, seed=1))
    assert len(points.flatten(1).unique(dim=0)) == (3 if isinstance(move, Flip) else 50)
    assert not (points == still_points(1, 40, 60)).flatten(1).all(dim=1).any()


def test_flips_are_the_three_mirror_images() -> None:
    still = still_points(1, 40, 60)[0]
    images = {tuple(signs): still * torch.tensor(signs).view(2, 1, 1) for signs in ([-1, 1], [1, -1], [-1, -1])}
    for points in _moved(Flip()):
        assert sum(torch.equal(points, image) for image in images.values()) == 1


def test_turning_keeps_distances_in_a_picture_that_is_not_square() -> None:
    points = _pixels(_moved(Affine(turn=30, shear=0, zoom=0, shift=0)))
    side = points[:, :, 0, 50] - points[:, :, 0, 0]
    down = points[:, :, 35, 0] - points[:, :, 0, 0]
    assert torch.allclose(side.norm(dim=1), torch.tensor(50.0), atol=1e-3)
    assert torch.allclose(down.norm(dim=1), torch.tensor(35.0), atol=1e-3)
    assert (side * down).sum(dim=1).abs().max() < 0.05  # still at right angles
    angles = torch.rad2deg(torch.atan2(side[:, 1], side[:, 0]))
    assert 20 < angles.abs().max() <= 30
    assert angles.min() < 0 < angles.max()


def test_shear_zoom_and_shift_stay_within_their_bounds() -> None:
    sheared = _pixels(_moved(Affine(turn=0, shear=20, zoom=0, shift=0)))
    lean = (sheared[:, 0, 30, 0] - sheared[:, 0, 0, 0]) / 30
    assert 0.2 < lean.abs().max() <= math.tan(math.radians(20)) + 1e-5
    zoomed = _pixels(_moved(Affine(turn=0, shear=0, zoom=0.25, shift=0)))
    widths = (zoomed[:, 0, 0, 50] - zoomed[:, 0, 0, 0]) / 50
    assert 1 / 1.25 <= widths.min() < 0.85
    assert 1.2 < widths.max() <= 1 / 0.75
    shifted = _pixels(_moved(Affine(turn=0, shear=0, zoom=0, shift=0.1))) - _pixels(still_points(1, 40, 60))
    assert 3.5 < shifted.abs().max() <= 4 + 1e-4  # of the shorter side, 40


def test_a_crop_shows_most_of_the_picture_and_nothing_else() -> None:
    points = _pixels(_moved(Crop(0.4)))
    widths = points[:, 0, 0, -1] - points[:, 0, 0, 0]
    assert 0.6 * 59 <= widths.min() < 0.65 * 59
    assert points[:, 0].min() >= 0
    assert points[:, 0].max() <= 60
    assert points[:, 1].max() <= 40
    assert points[:, 0, 0, 0].std() > 1


def test_a_perspective_keeps_lines_straight_and_within_the_picture() -> None:
    points = _moved(Perspective(0.2))
    assert points.abs().max() <= 1
    corner, *others = (points[:, :, 13 * step, 19 * step] for step in range(4))
    lines = [(other - corner).flatten(1) for other in others]
    for line in lines[:2]:
        assert (line[:, 0] * lines[2][:, 1] - line[:, 1] * lines[2][:, 0]).abs().max() < 1e-5
    left, right = (points[:, 1, -1, column] - points[:, 1, 0, column] for column in (0, -1))
    assert 1.25 < (left / right).max() <= 1.2 / 0.8


@pytest.mark.parametrize("move", [Elastic(), PiecewiseAffine()], ids=["elastic", "piecewise-affine"])
def test_a_pull_is_small_and_never_folds_the_picture(move: Elastic | PiecewiseAffine) -> None:
    points = _pixels(_moved(move, 200, 80, 120))
    pull = points - _pixels(still_points(1, 80, 120))
    assert 0.3 * 2 * move.strength * 80 < pull.abs().max() <= 2 * move.strength * 80 + 1e-3
    assert points[:, 0].diff(dim=2).min() > 0
    assert points[:, 1].diff(dim=1).min() > 0


def test_elastic_is_smooth_and_piecewise_affine_is_straight_between_its_crossings() -> None:
    elastic = _pixels(_moved(Elastic(cells=4), 20, 80, 80))
    bends = elastic.diff(n=2, dim=3).abs().amax(dim=(0, 1, 2))
    assert bends.max() < 0.05
    piecewise = _pixels(_moved(PiecewiseAffine(cells=4), 20, 80, 80))
    bends = piecewise.diff(n=2, dim=3).abs().amax(dim=(0, 1, 2))
    bent = {int(i) + 1 for i in (bends > 0.01).nonzero()}  # pixels left and right of the crossings at 20, 40, 60
    assert bent == {19, 20, 39, 40, 59, 60}
