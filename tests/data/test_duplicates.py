"""Copies and near copies are found; lookalikes do not chain strangers."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from compressdefect.data.duplicates import _merge, duplicate_groups, groups_by_name, near_duplicates
from compressdefect.errors import DataError


def _pictures(count: int, seed: int = 0, size: int = 64) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 256, (count, 8, 8), dtype=np.uint8)
    return np.stack([np.asarray(Image.fromarray(c).resize((size, size), Image.Resampling.BICUBIC)) for c in coarse])[
        :, None
    ]


def test_a_lighter_noisier_copy_is_a_near_duplicate() -> None:
    pixels = _pictures(20)
    noise = np.random.default_rng(1).normal(0, 4, pixels[3].shape)
    twin = np.clip(pixels[3] * 0.8 + 30 + noise, 0, 255).astype(np.uint8)
    found = near_duplicates(np.concatenate([pixels, twin[None]]))
    assert [(i, j) for i, j, _ in found] == [(3, 20)]
    assert found[0][2] > 0.95


def test_colour_images_are_compared_by_their_grey() -> None:
    rgb = np.repeat(_pictures(5), 3, axis=1)
    groups = duplicate_groups(np.concatenate([rgb, rgb[:1]]), list("abcdef"))
    assert groups[0] == groups[5]
    assert len(set(groups.tolist())) == 5


def test_equal_hashes_share_a_group_even_without_structure() -> None:
    blank = np.zeros((3, 1, 16, 16), dtype=np.uint8)
    assert duplicate_groups(blank, ["a", "b", "a"]).tolist() == [0, 1, 0]


def test_flat_images_with_close_hashes_are_not_confirmed() -> None:
    noise = np.random.default_rng(0).integers(120, 136, (30, 1, 64, 64), dtype=np.uint8)
    assert len(set(duplicate_groups(noise, [str(i) for i in range(30)]).tolist())) == 30


def test_one_link_does_not_chain_two_groups() -> None:
    cliques = [(i, j, 0.99) for start in (0, 4) for i in range(start, start + 4) for j in range(i + 1, start + 4)]
    merged = _merge(8, [*cliques, (3, 4, 0.9)])
    assert len(set(merged[:4].tolist())) == len(set(merged[4:].tolist())) == 1
    assert merged[0] != merged[4]


def test_groups_by_name() -> None:
    names = ["a/tile7_exp1.png", "b/tile7_exp2.png", "a/tile8_exp1.png", "a/other.png"]
    assert groups_by_name(r"tile(\d+)", names, list("wxyz")).tolist() == [0, 0, 1, 2]
    assert (
        len(set(groups_by_name(r"tile(\d+)", names, ["w", "x", "y", "w"]).tolist())) == 2
    )  # a copy joins its original
    with pytest.raises(DataError, match="not a regular expression"):
        groups_by_name("(", names, list("wxyz"))
    with pytest.raises(DataError, match="matches no file name"):
        groups_by_name("plate", names, list("wxyz"))
