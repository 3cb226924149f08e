"""Augmentation is seeded, keeps its bounds, and costs little."""

from __future__ import annotations

import time

import pytest
import torch

from compressdefect.data.augment import Augmentation

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
    batch = _batch(32, 1, 224, 224)
    generator = _generator()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        best = float("inf")
        for _ in range(5):
            started = time.process_time()
            Augmentation()(batch, generator)
            best = min(best, (time.process_time() - started) / len(batch))
    finally:
        torch.set_num_threads(threads)
    assert best < 0.4e-3
