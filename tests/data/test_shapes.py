"""Every shape becomes the pixels that it means, and says so when it cannot."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pycocotools import mask as coco

from compressdefect.data.marks.convert import boxes_of, mask_of, region_boxes
from compressdefect.data.marks.shapes import (
    Box,
    CocoRle,
    Ellipse,
    MaskFile,
    MatMask,
    Polygon,
    Rle,
    Shape,
    SizeMismatchError,
    unpack_coco,
)
from compressdefect.data.sample import Region
from compressdefect.errors import DataError

masks = st.tuples(st.integers(1, 12), st.integers(1, 12), st.integers(0, 2**32 - 1), st.floats(0, 1)).map(
    lambda drawn: np.random.default_rng(drawn[2]).random(drawn[:2]) < drawn[3]
)


def _runs(flat: np.ndarray) -> list[int]:
    edges = np.flatnonzero(np.diff(flat)) + 1
    lengths = np.diff([0, *edges, len(flat)]).tolist()
    return [0, *lengths] if flat[0] else lengths


@given(masks)
def test_run_lengths_come_back(mask: np.ndarray) -> None:
    np.testing.assert_array_equal(Rle.of(_runs(mask.T.ravel())).rasterize(*mask.shape), mask)


@given(masks)
def test_coco_text_is_what_pycocotools_writes(mask: np.ndarray) -> None:
    packed = coco.encode(np.asfortranarray(mask))["counts"]
    assert unpack_coco(packed) == _runs(mask.T.ravel())
    np.testing.assert_array_equal(CocoRle(packed, *mask.shape).rasterize(*mask.shape), mask)


@given(st.binary(max_size=30))
def test_any_text_is_read_or_refused(text: bytes) -> None:
    try:
        mask = CocoRle(text, 5, 7).rasterize(5, 7)
    except DataError:
        return
    assert mask.shape == (5, 7)


@given(masks)
def test_severstal_pairs_come_back(mask: np.ndarray) -> None:
    flat = np.concatenate([[False], mask.T.ravel(), [False]]).astype(np.int8)
    starts, stops = np.flatnonzero(np.diff(flat) == 1), np.flatnonzero(np.diff(flat) == -1)
    pairs = np.stack([starts + 1, stops - starts], axis=1).ravel().tolist()
    np.testing.assert_array_equal(Rle.of_pairs(pairs).rasterize(*mask.shape), mask)


def test_runs_longer_than_the_image_are_refused() -> None:
    with pytest.raises(DataError, match="larger than its image: got 13 pixels for 3 × 4"):
        Rle.of([1, 12]).rasterize(3, 4)
    assert Rle.of([]).rasterize(2, 2).sum() == 0
    with pytest.raises(SizeMismatchError, match="7 × 5 for an image of 5 × 7, perhaps drawn before"):
        CocoRle(b"", 5, 7).rasterize(7, 5)


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        (Box(1, 2, 4, 3), (1, 2, 4, 3)),
        (Box(0.1, 0.2, 0.4, 0.3, relative=True), (1, 2, 4, 3)),
        (Box(2.4, 2.4, 2.45, 2.45), (2, 2, 3, 3)),  # never nothing
        (Box(-5, -5, 100, 100), (0, 0, 10, 10)),
        (Box(9.99, 9.99, 10, 10), (9, 9, 10, 10)),
    ],
)
def test_boxes(box: Box, expected: tuple[int, int, int, int]) -> None:
    mask = box.rasterize(10, 10)
    assert boxes_of(mask) == [Box(*expected)]
    assert mask.sum() == (expected[2] - expected[0]) * (expected[3] - expected[1])


def test_boxes_outside_cover_nothing() -> None:
    assert not Box(20, 20, 30, 30).rasterize(10, 10).any()
    assert not Box(-9, 0, -4, 5).rasterize(10, 10).any()


@given(st.lists(st.tuples(st.floats(0, 20), st.floats(0, 15)), min_size=3, max_size=8))
def test_outlines_are_drawn_as_pycocotools_draws_them(points: list[tuple[float, float]]) -> None:
    mask = Polygon(tuple(points)).rasterize(15, 20)
    flat = [value for point in points for value in point]
    area = int(coco.area(coco.frPyObjects([flat], 15, 20))[0])
    assert mask.sum() == area or (area == 0 and mask.sum() == 1)


def test_outline_of_several_parts_and_thin_ones() -> None:
    square = ((1.0, 1.0), (4.0, 1.0), (4.0, 4.0), (1.0, 4.0))
    far = tuple((x + 10, y + 5) for x, y in square)
    mask = Polygon(square, (far,)).rasterize(12, 20)
    assert boxes_of(mask) == [Box(1, 1, 4, 4), Box(11, 6, 14, 9)]
    assert region_boxes(Region("a", Polygon(square, (far,))), 12, 20) == [Box(1, 1, 14, 9)]
    assert Polygon(((3, 3), (3, 3), (3, 3))).rasterize(12, 20).sum() == 1
    assert not Polygon(((30, 30), (31, 30), (31, 31))).rasterize(12, 20).any()
    assert Polygon(((-1e12, 2), (1e12, 2), (1e12, 5))).rasterize(12, 20).any()  # bounded work


def test_ellipse_area_and_turn() -> None:
    for angle in (0.0, 0.4, 2.0):
        assert Ellipse(50, 40, 30, 12, angle).rasterize(80, 100).sum() == pytest.approx(math.pi * 30 * 12, rel=0.01)
    turned = Ellipse(50, 50, 30, 5, math.pi / 4).rasterize(100, 100)
    assert turned[68, 68]  # from x towards y
    assert not turned[31, 68]


def _save(path: Path, levels: np.ndarray) -> MaskFile:
    Image.fromarray(levels.astype(np.uint8)).save(path)
    return MaskFile(path)


def test_mask_files_by_their_levels(tmp_path: Path) -> None:
    antialiased = _save(tmp_path / "a.png", np.array([[0, 100, 128], [200, 255, 3]]))
    assert antialiased.rasterize(2, 3).tolist() == [[False, False, True], [True, True, False]]
    faint = _save(tmp_path / "b.png", np.array([[0, 1, 2]]))
    assert faint.rasterize(1, 3).tolist() == [[False, True, True]]


def test_bad_mask_files(tmp_path: Path) -> None:
    mask = _save(tmp_path / "a.png", np.zeros((4, 6)))
    with pytest.raises(SizeMismatchError, match=r"mask a\.png has another size than its image: got 6 × 4 for"):
        mask.rasterize(5, 5)
    with pytest.raises(DataError, match="cannot be read"):
        MaskFile(tmp_path / "gone.png").rasterize(4, 6)
    (tmp_path / "empty.png").write_bytes(b"")
    with pytest.raises(DataError, match="cannot be read"):
        MaskFile(tmp_path / "empty.png").rasterize(4, 6)


def test_small_regions_stay_visible_in_a_mask() -> None:
    regions = [Region("spot", Box(3, 3, 4, 4)), Region("field", Box(0, 0, 8, 8)), Region("other", Box(0, 0, 9, 9))]
    mask = mask_of(regions, 10, 10, ("field", "spot"))
    assert np.bincount(mask.ravel()).tolist() == [36, 63, 1]
    assert not mask_of([], 3, 3, ()).any()
    with pytest.raises(DataError, match="at most 255 classes"):
        mask_of([], 3, 3, [str(i) for i in range(256)])


@given(masks)
def test_boxes_hold_the_whole_mask(mask: np.ndarray) -> None:
    drawn = mask_of([Region("a", box) for box in boxes_of(mask)], *mask.shape, ["a"])
    assert (drawn.astype(bool) >= mask).all()


@pytest.mark.parametrize(
    "shape", [Box(1, 2, 3, 4), Polygon(((1, 1), (3, 1), (3, 3))), Ellipse(5, 5, 2, 1), Rle.of([3, 4])]
)
def test_shapes_can_be_told_apart_and_kept(shape: Shape) -> None:
    assert len({shape, shape, MatMask(Path("a.mat"))}) == 2
