from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from compressdefect.data.augment.recipes import Augmentation
from compressdefect.data.images import Images
from compressdefect.data.truth import Truth
from compressdefect.train.batches import Batches, affordable, gather
from compressdefect.train.segment import Segment


@pytest.mark.parametrize(
    ("n", "size", "expected"),
    [(33, 32, [33]), (48, 32, [24, 24]), (47, 32, [47]), (10, 4, [5, 5]), (9, 2, [3, 2, 2, 2]), (2, 32, [2])],
)
def test_batches_differ_by_one_image_at_most(images: Images, n: int, size: int, expected: list[int]) -> None:
    batches = Batches(images, np.arange(n), size, seed=0)
    assert [len(targets) for _, targets in batches] == expected
    assert len(batches) == len(expected)


def test_an_epoch_visits_every_image_once_in_an_order_of_its_own(images: Images) -> None:
    numbered = np.arange(48, dtype=np.int64)
    images = Images(
        images.pixels, numbered, images.names, images.hashes, tuple(map(str, numbered)), images.groups
    )  # the label of each image is its number
    batches = Batches(images, numbered[8:], 7, seed=3)
    first, second = (torch.cat([truth.labels for _, truth in batches]).tolist() for _ in range(2))
    assert sorted(first) == sorted(second) == list(range(8, 48))
    assert first != second
    again = Batches(images, numbered[8:], 7, seed=3)
    assert torch.cat([truth.labels for _, truth in again]).tolist() == first


def test_augmentation_changes_pixels_and_is_seeded(images: Images) -> None:
    def epoch(augmentation: Augmentation | None) -> torch.Tensor:
        batches = Batches(images, np.arange(8), 8, seed=0, augmentation=augmentation)
        return next(iter(batches))[0]

    plain, changed = epoch(None), epoch(Augmentation())
    assert changed.dtype == torch.uint8
    assert changed.shape == plain.shape
    assert not torch.equal(plain, changed)
    assert torch.equal(changed, epoch(Augmentation()))


def test_a_memory_map_is_copied(images: Images, tmp_path: Path) -> None:
    images.save(tmp_path)
    mapped = Images.load(tmp_path)
    pixels = gather(mapped, np.array([3, 1]))
    assert torch.equal(pixels, torch.from_numpy(images.pixels[[3, 1]]))
    assert Truth.of(mapped, np.array([3, 1])).labels.tolist() == images.labels[[3, 1]].tolist()
    pixels.zero_()  # the map is read-only, the copy is not


def test_masks_move_with_the_pixels(images: Images) -> None:
    """The mask of an image is its own first channel: after any move the two still agree where nothing was mixed."""
    rng = np.random.default_rng(0)
    blocks = np.kron(rng.integers(0, 2, (48, 4, 4), dtype=np.uint8), np.ones((4, 4), dtype=np.uint8))
    marked = dataclasses.replace(images, pixels=blocks[:, None] * np.uint8(255), masks=blocks, regions=("defect",))
    still = Augmentation(shift=0.0, zoom=0.0, brightness=0.0, contrast=0.0)
    batches = Batches(marked, np.arange(16), 16, seed=0, augmentation=still, needs=Segment.needs)
    pixels, truth = next(iter(batches))
    masks = truth.masks
    assert masks is not None
    assert torch.equal(pixels[:, 0] // 255, masks)
    assert sorted(masks.sum(dim=(1, 2)).tolist()) == sorted(blocks[:16].sum(axis=(1, 2)).tolist())


def test_large_images_are_predicted_fewer_at_a_time(images: Images) -> None:
    assert affordable(images) == 64
    large = dataclasses.replace(images, pixels=np.broadcast_to(np.uint8(0), (48, 1, 512, 512)))
    assert affordable(large) == 12
    huge = dataclasses.replace(images, pixels=np.broadcast_to(np.uint8(0), (48, 1, 4096, 4096)))
    assert affordable(huge) == 1
