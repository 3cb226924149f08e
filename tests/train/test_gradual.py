"""Defects come first and large, whatever the task."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from compressdefect.data.augment.warp import sample_masks
from compressdefect.data.truth import Truth
from compressdefect.errors import CompressDefectError, DataError
from compressdefect.train.gradual import DefectsFirst, Gradual, zoom_points

EVEN = np.arange(20) % 2 == 0  # of 20 images, every other is defective


def _generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _masks() -> np.ndarray:
    masks = np.zeros((20, 40, 60), dtype=np.uint8)
    masks[::2, 30:33, 50:54] = 1
    return masks


def test_the_papers_numbers_are_its_shares() -> None:
    paper = Gradual.parse("20k, 80K", total=90_000)
    assert paper == Gradual()
    assert paper == Gradual.parse("on", total=700)
    assert paper.zoom(0) == pytest.approx(3.6)
    assert paper.zoom(10_000 / 90_000) == pytest.approx(2.3)  # halfway down to 1
    assert paper.zoom(20_000 / 90_000) == paper.zoom(1) == 1
    assert not paper.lets_normal_in(79_999 / 90_000)
    assert paper.lets_normal_in(80_000 / 90_000)


@given(st.floats(1, 8), st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
def test_the_zoom_falls_and_ends_at_one(ratio: float, until: float, earlier: float, later: float) -> None:
    gradual = Gradual(ratio, until, 0.5)
    earlier, later = sorted((earlier, later))
    assert ratio >= gradual.zoom(earlier) >= gradual.zoom(later) >= gradual.zoom(1) == 1


def test_moments_are_steps_or_shares() -> None:
    assert Gradual.parse("25%,300", total=1000) == Gradual(zoom_until=0.25, normal_from=0.3)
    assert Gradual.parse("0%,0%", total=10).lets_normal_in(0)


@pytest.mark.parametrize("text", ["", "20k", "20k,80k,90k", "a,b", "-1,2", "20k,80g"])
def test_other_words_are_refused(text: str) -> None:
    with pytest.raises(CompressDefectError, match=r"gradual training cannot be read: .*20k,80k or 22%,89%"):
        Gradual.parse(text, total=100_000)


def test_a_training_too_short_for_the_steps_is_refused() -> None:
    with pytest.raises(CompressDefectError, match=r"over within the training: .* from 133% of the steps; .*shares"):
        Gradual.parse("20k,80k", total=60_000)
    with pytest.raises(CompressDefectError, match="magnifies by 1 or more: got 0"):
        Gradual(ratio=0.5)


def test_normal_images_give_way_until_they_are_let_in() -> None:
    first = DefectsFirst(Gradual(normal_from=0.5), np.arange(4, 20), EVEN, _masks())
    chosen = np.array([4, 5, 7, 8, 11])
    before = first.choose(chosen, 0.49, np.random.default_rng(0))
    assert before[[0, 3]].tolist() == [4, 8]
    assert EVEN[before].all()
    assert before.min() >= 4  # only training images
    assert chosen.tolist() == [4, 5, 7, 8, 11]
    assert first.choose(chosen, 0.5, np.random.default_rng(0)).tolist() == chosen.tolist()


def test_few_defective_images_are_shown_more_often() -> None:
    first = DefectsFirst(Gradual(), np.array([0, 1, 3, 5]), EVEN, _masks())
    assert first.choose(np.array([1, 3, 5]), 0, np.random.default_rng(0)).tolist() == [0, 0, 0]


def test_without_defects_or_masks_it_is_refused() -> None:
    with pytest.raises(DataError, match="needs images with a defect"):
        DefectsFirst(Gradual(), np.array([1, 3]), EVEN, _masks())
    with pytest.raises(DataError, match=r"without masks or boxes.*or train without it"):
        DefectsFirst(Gradual(), np.arange(20), EVEN, None)
    pixels, truth = torch.zeros(1, 1, 4, 4, dtype=torch.uint8), Truth(torch.zeros(1))
    unzoomed = DefectsFirst(Gradual(ratio=1), np.arange(20), EVEN, None)
    assert unzoomed.zoom(np.array([0]), pixels, truth, 0, _generator())[0] is pixels


def test_the_zoom_enlarges_pixels_and_mask_alike() -> None:
    masks = _masks()
    pixels = torch.from_numpy(np.where(masks[:, None] > 0, 200, 50).astype(np.uint8))
    first = DefectsFirst(Gradual(ratio=3), np.arange(20), EVEN, masks)
    chosen = np.arange(0, 20, 2)
    truth = Truth(torch.arange(10), torch.from_numpy(masks[chosen]))
    near, moved = first.zoom(chosen, pixels[chosen], truth, 0, _generator())
    mask = moved.masks
    assert mask is not None
    assert near.shape == (10, 1, 40, 60)
    assert (near.dtype, mask.dtype) == (torch.uint8, torch.uint8)
    areas = mask.sum(dim=(1, 2)).double()
    assert areas.mean() == pytest.approx(9 * 12, rel=0.1)
    assert (near[:, 0][mask == 1] > 80).all()
    assert len({int(index) for index in mask.flatten(1).int().argmax(dim=1)}) > 5  # not always in the same place
    again = first.zoom(chosen, pixels[chosen], truth, 0, _generator())
    assert torch.equal(near, again[0])
    unmasked = Truth(truth.labels)
    assert first.zoom(chosen, pixels[chosen], unmasked, 0, _generator())[1] == unmasked
    seen = pixels[chosen]
    assert first.zoom(chosen, seen, unmasked, 0.5, _generator())[0] is seen


@given(
    x=st.integers(0, 29),
    y=st.integers(0, 19),
    width=st.integers(1, 30),
    height=st.integers(1, 20),
    ratio=st.floats(1, 6),
    seed=st.integers(0, 99),
)
def test_the_window_stays_inside_and_shows_the_defect(
    x: int, y: int, width: int, height: int, ratio: float, seed: int
) -> None:
    mask = np.zeros((1, 20, 30), dtype=np.uint8)
    mask[0, y : y + height, x : x + width] = 1
    points = zoom_points(mask, ratio, _generator(seed))[0]
    edges = np.array([1 - 1 / 30 / ratio, 1 - 1 / 20 / ratio])[:, None] + 1e-5
    assert (points.abs().flatten(1).numpy() <= edges).all()
    columns, rows = mask[0].any(axis=0), mask[0].any(axis=1)
    for defect, line in ((columns, points[0, 0]), (rows, points[1, :, 0])):
        places = np.flatnonzero(defect)
        start, end = (line[[0, -1]].double().numpy() + 1) / 2 * len(defect) + np.array([-0.5, 0.5]) / ratio
        if len(places) <= len(defect) / ratio:
            assert start - 1e-4 <= places[0]
            assert end + 1e-4 >= places[-1] + 1
        else:
            assert defect[round(start) : round(end)].any()


def test_a_scratch_larger_than_the_window_is_seen_in_part() -> None:
    mask = np.eye(64, dtype=np.uint8)[None].repeat(50, axis=0)
    near = sample_masks(torch.from_numpy(mask), zoom_points(mask, 3.6, _generator()))
    assert near.flatten(1).any(dim=1).all()


def test_an_image_without_a_known_place_is_shown_whole() -> None:
    masks = np.zeros((2, 8, 8), dtype=np.uint8)
    masks[1, 2, 2] = 1
    points = zoom_points(masks, 2, _generator())
    assert points[0].max() > 0.8
    assert torch.allclose(points[0], -points[0].flip(-1, -2))
    assert points[1].max() - points[1].min() < 1.9
