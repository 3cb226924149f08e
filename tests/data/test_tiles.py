"""Tiles cover every pixel, and joined they are the picture again."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compressdefect.data.pixels import resize
from compressdefect.data.tiles import Tiling
from compressdefect.errors import DataError


@st.composite
def tilings(draw: st.DrawFn) -> Tiling:
    tile = draw(st.integers(1, 12)), draw(st.integers(1, 12))
    overlap = draw(st.integers(0, min(tile) - 1))
    return Tiling(draw(st.integers(1, 50)), draw(st.integers(1, 50)), tile, overlap)


def _picture(tiling: Tiling, dtype: type = np.float32, channels: int = 2) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (channels, tiling.height, tiling.width)).astype(dtype)


@given(tilings())
def test_every_pixel_is_covered_and_neighbours_overlap(tiling: Tiling) -> None:
    (height, width), overlap = tiling.tile, tiling.overlap
    rows, columns = ({corner[axis] for corner in tiling.corners} for axis in (0, 1))
    assert len(tiling) == len(rows) * len(columns) == len(tiling.corners)
    for starts, tile, length in ((sorted(rows), height, tiling.height), (sorted(columns), width, tiling.width)):
        assert starts[0] == 0
        assert starts[-1] + tile == max(length, tile)
        assert all(tile - (after - before) >= overlap for before, after in pairwise(starts))
        assert len(starts) == 1 or (len(starts) - 2) * (tile - overlap) + tile < length  # as few as are enough


@given(tilings(), st.sampled_from([np.uint8, np.int64, np.float32, np.float64]))
def test_what_is_cut_is_joined_again(tiling: Tiling, dtype: type) -> None:
    picture = _picture(tiling, dtype)
    tiles = tiling.cut(picture)
    assert tiles.shape == (len(tiling), 2, *tiling.tile)
    largest, blended = tiling.join(tiles, "max"), tiling.join(tiles)
    assert largest.dtype == blended.dtype == dtype
    np.testing.assert_array_equal(largest, picture)
    np.testing.assert_allclose(blended, picture, rtol=1e-5, atol=1e-4)
    if np.issubdtype(dtype, np.integer):
        np.testing.assert_array_equal(blended, picture)
    np.testing.assert_array_equal(tiling.join(tiling.cut(picture[0]), "max"), picture[0])


@given(tilings())
def test_a_blend_stays_between_what_the_tiles_say(tiling: Tiling) -> None:
    tiles = np.random.default_rng(1).random((len(tiling), *tiling.tile), dtype=np.float32)
    joined, largest = tiling.join(tiles), tiling.join(tiles, "max")
    smallest = -tiling.join(-tiles, "max")
    assert joined.shape == (tiling.height, tiling.width)
    assert (joined <= largest + 1e-5).all()
    assert (joined >= smallest - 1e-5).all()


def test_tiles_that_disagree_leave_no_seam() -> None:
    tiling = Tiling(200, 500, (128, 128), overlap=32)
    tiles = np.empty((len(tiling), 128, 128), dtype=np.float32)
    for i, (row, column) in enumerate(tiling.corners):
        tiles[i] = (row > 0) ^ (column // 93 % 2)  # like a chessboard
    joined = tiling.join(tiles)
    assert joined.min() < 0.05
    assert joined.max() > 0.95
    assert max(np.abs(np.diff(joined, axis=axis)).max() for axis in (0, 1)) < 2 / 32


def test_a_tile_is_a_view_of_a_large_picture() -> None:
    tiling = Tiling(100, 100, (64, 64), overlap=8)
    picture = _picture(tiling)
    assert all(np.shares_memory(tile, picture) for tile in tiling.tiles(picture))


def test_a_small_picture_is_filled_with_its_mirror_image() -> None:
    tiling = Tiling(2, 3, (4, 4), overlap=1)
    (tile,) = tiling.cut(np.array([[1, 2, 3], [4, 5, 6]]))
    assert tile.tolist() == [[1, 2, 3, 3], [4, 5, 6, 6], [4, 5, 6, 6], [1, 2, 3, 3]]


@pytest.mark.parametrize("how", ["blend", "max"])
def test_a_scratch_of_three_pixels_survives_on_a_web_of_4096(how: str) -> None:
    web = np.full((1, 1024, 4096), 100, dtype=np.uint8)
    web[0, 300:700, 2040:2043] = 160  # across the seams of the tiles
    assert resize(web[0, ..., None], 224, 224).max() < 112  # nearly gone
    tiling = Tiling(1024, 4096, (256, 256), overlap=64)
    seen = np.stack([(tile[0] > 140).astype(np.float32) for tile in tiling.tiles(web)])  # a detector per tile
    np.testing.assert_allclose(tiling.join(seen, how), web[0] == 160, atol=1e-6)


@pytest.mark.parametrize("overlap", [-1, 32, 50])
def test_an_impossible_overlap_is_refused(overlap: int) -> None:
    with pytest.raises(DataError, match=f"less than their shorter side: got {overlap} for tiles of 64 × 32"):
        Tiling(100, 100, (64, 32), overlap)
