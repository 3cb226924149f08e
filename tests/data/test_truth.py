"""What is true of images: only what is needed, of whole images, and the same on another device or after a save."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from compressdefect.data.images import Images
from compressdefect.data.truth import Truth
from compressdefect.errors import DataError


@pytest.fixture
def images() -> Images:
    masks = np.zeros((3, 4, 4), dtype=np.uint8)
    masks[1, 1:3, 0:2] = 1
    boxes = tuple(np.zeros((0, 5), np.float32) if i != 1 else np.array([[0, 1, 2, 3, 0]], np.float32) for i in range(3))
    names = ("a", "b", "c")
    return Images(
        np.zeros((3, 1, 4, 4), dtype=np.uint8),
        np.array([0, 1, 0]),
        names,
        names,
        ("good", "dent"),
        np.arange(3),
        masks=masks,
        boxes=boxes,
        regions=("dent",),
    )


def test_only_what_is_needed_is_gathered(images: Images) -> None:
    plain = Truth.of(images, np.array([1, 0]))
    assert (plain.labels.tolist(), plain.masks, plain.boxes) == ([1, 0], None, None)
    whole = Truth.of(images, np.array([1, 0]), frozenset({"masks", "boxes"}))
    assert whole.masks is not None
    assert whole.boxes is not None
    assert whole.masks.sum(dim=(1, 2)).tolist() == [4, 0]
    assert [len(boxes) for boxes in whole.boxes] == [1, 0]
    assert len(whole) == 2


def test_it_is_the_same_on_another_device(images: Images) -> None:
    here = Truth.of(images, np.array([1, 2]), frozenset({"masks", "boxes"}))
    there = here.to("cpu", dtype=torch.float64)
    assert there.labels.tolist() == here.labels.tolist()
    assert there.masks is not None
    assert here.masks is not None
    assert there.masks.tolist() == here.masks.tolist()
    assert [box.tolist() for box in there.boxes or ()] == [box.tolist() for box in here.boxes or ()] != []
    assert {tensor.dtype for tensor in (there.labels, there.masks, *(there.boxes or ()))} == {torch.float64}


def test_what_is_lacking_is_named(images: Images) -> None:
    bare = dataclasses.replace(images, masks=None, boxes=None)
    for needs in ("masks", "boxes"):
        with pytest.raises(DataError, match=f"no {needs}"):
            Truth.of(bare, np.arange(2), frozenset({needs}))  # type: ignore[arg-type]


def test_boxes_go_with_their_images(images: Images, tmp_path: Path) -> None:
    images.save(tmp_path)
    again = Images.load(tmp_path)
    assert [boxes.tolist() for boxes in again.boxes or ()] == [[], [[0, 1, 2, 3, 0]], []]
    chosen = images.subset(np.array([2, 1]))
    assert [len(boxes) for boxes in chosen.boxes or ()] == [0, 1]
