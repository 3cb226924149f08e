from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from compressdefect.data.augment import Augmentation
from compressdefect.data.images import Images
from compressdefect.train.batches import Batches, gather


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
    first, second = (torch.cat([targets for _, targets in batches]).tolist() for _ in range(2))
    assert sorted(first) == sorted(second) == list(range(8, 48))
    assert first != second
    again = Batches(images, numbered[8:], 7, seed=3)
    assert torch.cat([targets for _, targets in again]).tolist() == first


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
    pixels, labels = gather(Images.load(tmp_path), np.array([3, 1]))
    assert torch.equal(pixels, torch.from_numpy(images.pixels[[3, 1]]))
    assert labels.tolist() == images.labels[[3, 1]].tolist()
    pixels.zero_()  # the map is read-only, the copy is not
