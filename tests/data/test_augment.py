"""Augmentation is seeded, keeps its bounds, and costs little."""

from __future__ import annotations

import time

import pytest
import torch

from compressdefect.data.augment.moves import Flip
from compressdefect.data.augment.recipes import RECIPES, SINGLE_CHANGES, Augmentation, Combination, Recipe
from compressdefect.data.marks.convert import boxes_of

STILL = Augmentation(flip=False, turn=False, shift=0, zoom=0, brightness=0, contrast=0)


def _generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _batch(count: int = 6, channels: int = 1, height: int = 32, width: int = 32) -> torch.Tensor:
    return torch.randint(0, 256, (count, channels, height, width), dtype=torch.uint8, generator=_generator(9))


@pytest.mark.parametrize("shape", [(1, 1, 32, 32), (5, 3, 32, 32), (6, 1, 33, 47), (4, 3, 47, 33)])
def test_shape_and_seed(shape: tuple[int, int, int, int]) -> None:
    batch = _batch(*shape)
    before = batch.clone()
    first, second = Augmentation()(batch, _generator()), Augmentation()(batch, _generator())
    assert first.shape == shape
    assert first.dtype == torch.uint8
    assert torch.equal(first, second)
    assert torch.equal(batch, before)
    assert not torch.equal(first, Augmentation()(batch, _generator(1)))


def test_nothing_asked_nothing_changed() -> None:
    batch = _batch()
    assert torch.equal(STILL(batch, _generator()), batch)


def test_flips_and_turns_reach_all_eight_symmetries() -> None:
    image = torch.arange(16, dtype=torch.uint8).view(1, 1, 4, 4)
    turned = Augmentation(shift=0, zoom=0, brightness=0, contrast=0)
    generator = _generator()
    seen = {tuple(turned(image, generator).flatten().tolist()) for _ in range(200)}
    expected = {
        tuple(torch.rot90(base, k, (-2, -1)).flatten().tolist()) for base in (image, image.flip(-1)) for k in range(4)
    }
    assert seen == expected


def test_shift_moves_by_at_most_its_share() -> None:
    image = torch.zeros(1, 1, 100, 100, dtype=torch.uint8)
    image[..., 50, 50] = 255
    moving = Augmentation(flip=False, turn=False, shift=0.1, zoom=0, brightness=0, contrast=0)
    generator = _generator()
    places = torch.stack([moving(image, generator)[0, 0].nonzero()[0] for _ in range(100)])
    assert (places - 50).abs().max() <= 11
    assert len(places.unique(dim=0)) > 50


def test_light_changes_the_mean_within_bounds() -> None:
    image = torch.full((64, 1, 8, 8), 128, dtype=torch.uint8)
    lit = Augmentation(flip=False, turn=False, shift=0, zoom=0, brightness=0.1, contrast=0.5)(image, _generator())
    levels = lit[:, 0, 0, 0].float()
    assert (levels - 128).abs().max() <= 26
    assert levels.std() > 5
    assert lit.flatten(1).float().std(dim=1).max() == 0


@pytest.mark.long
def test_costs_less_than_half_a_millisecond_per_grey_image() -> None:
    assert _cost(Augmentation()) < 0.4e-3


def _cost(recipe: Recipe) -> float:
    """Seconds per grey image of 224 × 224 on one core, the best of five batches of 32."""
    batch, generator = _batch(32, 1, 224, 224), _generator()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        best = float("inf")
        for _ in range(5):
            started = time.process_time()
            recipe(batch, generator)
            best = min(best, (time.process_time() - started) / len(batch))
    finally:
        torch.set_num_threads(threads)
    return best


def _blobs(count: int = 9, height: int = 48, width: int = 64) -> tuple[torch.Tensor, torch.Tensor, list[torch.Tensor]]:
    """Dark pictures, each with a bright rectangle, its mask (class 2) and its box (with a label, 7)."""
    pixels = torch.full((count, 1, height, width), 40, dtype=torch.uint8)
    masks = torch.zeros(count, height, width, dtype=torch.uint8)
    boxes = []
    for i in range(count):
        x, y, long, thin = 12 + 3 * i, 8 + 2 * i, 20 if i % 2 else 6, 6 if i % 2 else 20
        pixels[i, 0, y : y + thin, x : x + long] = 220
        masks[i, y : y + thin, x : x + long] = 2
        boxes.append(torch.tensor([[x, y, min(x + long, width), min(y + thin, height), 7]]))
    return pixels, masks, boxes


ALL = {**RECIPES, **SINGLE_CHANGES}


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize(("channels", "height", "width"), [(1, 32, 32), (3, 33, 47)])
def test_every_recipe_is_seeded_and_leaves_its_input_alone(name: str, channels: int, height: int, width: int) -> None:
    batch, recipe = _batch(5, channels, height, width), ALL[name]
    masks = batch[:, 0] // 100
    before = batch.clone(), masks.clone()
    changed, moved = recipe(batch, _generator(), masks=masks)
    assert changed.shape == batch.shape
    assert moved.shape == masks.shape
    assert (changed.dtype, moved.dtype) == (torch.uint8, torch.uint8)
    assert set(moved.unique().tolist()) <= {0, 1, 2}
    assert torch.equal(recipe(batch, _generator()), changed)  # with or without masks
    assert not torch.equal(changed, batch)
    assert not torch.equal(changed, recipe(batch, _generator(1)))
    assert torch.equal(batch, before[0])
    assert torch.equal(masks, before[1])


@pytest.mark.parametrize("name", ALL)
def test_mask_and_boxes_stay_on_the_defect(name: str) -> None:
    pixels, masks, boxes = _blobs()
    if name in ("illumination", "noise"):
        pixels = pixels.clamp(60, 190)
    for seed in range(4):
        changed = ALL[name].apply(pixels, _generator(seed), masks, boxes)
        assert changed.masks is not None
        assert changed.boxes is not None
        bright = changed.pixels[:, 0] > 125
        assert (bright == (changed.masks == 2)).float().mean() > 0.97
        for mask, moved in zip(changed.masks, changed.boxes, strict=True):
            drawn = [[box.x0, box.y0, box.x1, box.y1] for box in boxes_of(mask.numpy() > 0)]
            assert torch.tensor(drawn).sub(moved[:, :4]).abs().max() <= 1  # ties at a pixel's edge
            assert (moved[:, 4] == 7).all()


def test_a_batch_of_wide_masks_keeps_their_type() -> None:
    batch = _batch(5)
    for recipe in RECIPES.values():
        assert recipe(batch, _generator(), masks=batch[:, 0].long())[1].dtype == torch.int64


def test_the_paper_combines_its_nine_changes() -> None:
    assert len(SINGLE_CHANGES) == 9
    paper = RECIPES["paper"]
    assert isinstance(paper, Combination)
    assert len(paper.moves) + len(paper.effects) == 9
    batch = _batch(400, 1, 8, 8)
    still = Combination(paper.moves, paper.effects, probability=0)
    assert torch.equal(still(batch, _generator()), batch)
    flips = Combination(moves=(Flip(),))(batch, _generator())
    assert 160 < (flips == batch).flatten(1).all(dim=1).sum() < 240  # each change comes to half of the images


@pytest.mark.long
def test_the_papers_recipe_costs_at_most_thirty_times_the_standard_one() -> None:
    """Some fifteen times, or 1.5 ms for a grey image."""
    pairs = [(_cost(RECIPES["paper"]), _cost(RECIPES["standard"])) for _ in range(3)]
    assert min(paper for paper, _ in pairs) < 30 * min(standard for _, standard in pairs)
