"""Copies and near copies are found, and chained as long as that leaves something to split."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from compressdefect.data import duplicates
from compressdefect.data.duplicates import (
    Look,
    _merge,
    _merge_by_majority,
    find_twins,
    look_of,
)
from compressdefect.data.groups import groups_by_look


def _pictures(count: int, seed: int = 0, size: int = 64) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 256, (count, 8, 8), dtype=np.uint8)
    return np.stack([np.asarray(Image.fromarray(c).resize((size, size), Image.Resampling.BICUBIC)) for c in coarse])[
        :, None
    ]


def _looks(pixels: np.ndarray) -> list[Look]:
    return [look_of(Image.fromarray(image[0] if len(image) == 1 else image.transpose(1, 2, 0))) for image in pixels]


def _described(looks: list[Look]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([look.hash for look in looks], dtype=np.uint64), np.stack([look.thumbnail for look in looks])


def test_a_lighter_noisier_copy_is_a_near_duplicate() -> None:
    pixels = _pictures(20)
    noise = np.random.default_rng(1).normal(0, 4, pixels[3].shape)
    twin = np.clip(pixels[3] * 0.8 + 30 + noise, 0, 255).astype(np.uint8)
    twins = find_twins(*_described(_looks(np.concatenate([pixels, twin[None]]))))
    assert twins.group[3] == twins.group[20]
    assert len(set(twins.group.tolist())) == 20
    assert np.flatnonzero(twins.partners).tolist() == [3, 20]


def test_colour_images_are_compared_by_their_grey() -> None:
    rgb = np.repeat(_pictures(5), 3, axis=1)
    groups = groups_by_look(_looks(np.concatenate([rgb, rgb[:1]])), list("abcdef")).numbers
    assert groups[0] == groups[5]
    assert len(set(groups.tolist())) == 5


def test_equal_hashes_share_a_group_even_without_structure() -> None:
    blank = np.zeros((3, 1, 16, 16), dtype=np.uint8)
    assert groups_by_look(_looks(blank), ["a", "b", "a"]).numbers.tolist() == [0, 1, 0]


def test_flat_images_with_close_hashes_are_not_confirmed() -> None:
    noise = np.random.default_rng(0).integers(120, 136, (30, 1, 64, 64), dtype=np.uint8)
    assert len(set(groups_by_look(_looks(noise), [str(i) for i in range(30)]).numbers.tolist())) == 30


TWO_CLIQUES = [(i, j, 0.99) for start in (0, 4) for i in range(start, start + 4) for j in range(i + 1, start + 4)]


def test_all_that_pairs_connect_is_one_group() -> None:
    merged = _merge(40, [*TWO_CLIQUES, (3, 4, 0.9), (20, 21, 0.9)])
    assert merged[:8].tolist() == [0] * 8
    assert merged[8:].tolist() == [*range(8, 21), 20, *range(22, 40)]


def test_one_link_does_not_chain_two_groups_to_a_large_part_of_the_data() -> None:
    merged = _merge(30, [*TWO_CLIQUES, (3, 4, 0.9), (20, 21, 0.9), (21, 22, 0.9)])  # 8 of 30 hang together, and 3
    assert len(set(merged[:4].tolist())) == len(set(merged[4:8].tolist())) == 1
    assert merged[0] != merged[4]
    assert len(set(merged[20:23].tolist())) == 1


def test_without_pairs_every_image_is_its_own_group() -> None:
    assert _merge(3, []).tolist() == [0, 1, 2]


def _merge_by_counting(count: int, pairs: list[tuple[int, int, float]]) -> list[int]:
    group, linked = list(range(count)), {(i, j) for i, j, _ in pairs}
    for i, j, _ in sorted(pairs, key=lambda pair: (-pair[2], pair[0], pair[1])):
        first = [k for k in range(count) if group[k] == group[i]]
        second = [k for k in range(count) if group[k] == group[j]]
        agreeing = sum((min(a, b), max(a, b)) in linked for a in first for b in second)
        if group[i] != group[j] and 2 * agreeing >= len(first) * len(second):
            group = [group[i] if k in second else group[k] for k in range(count)]
    return group


def _numbered(groups: Sequence[int] | np.ndarray) -> list[int]:
    """The groups numbered by their first member, whoever represents them."""
    first: dict[int, int] = {}
    return [first.setdefault(group, len(first)) for group in np.asarray(groups).tolist()]


@given(st.dictionaries(st.tuples(st.integers(0, 8), st.integers(0, 8)), st.sampled_from([0.85, 0.9, 0.95, 1.0])))
def test_groups_merge_only_if_most_of_their_pairs_agree(links: dict[tuple[int, int], float]) -> None:
    pairs = [(i, j, correlation) for (i, j), correlation in links.items() if i < j]
    assert _numbered(_merge_by_majority(9, pairs)) == _numbered(_merge_by_counting(9, pairs))


def test_too_many_pairs_are_grouped_by_the_first_that_looks_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = _pictures(6)
    looks = [
        look_of(Image.fromarray(np.clip(image[0] * gain, 0, 255).astype(np.uint8)))
        for gain in (1.0, 0.9, 0.8, 0.7)
        for image in pixels
    ]
    described = _described(looks)
    copies = np.array([3] * 6 + [1] * 18)
    exact, counted = find_twins(*described), find_twins(*described, copies)
    monkeypatch.setattr(duplicates, "MAX_PAIRS", 5)
    capped = find_twins(*described)
    assert find_twins(*described, copies).partners.tolist() == counted.partners.tolist() == [5] * 24
    assert capped.group.tolist() == list(range(6)) * 4
    assert exact.group.tolist() == list(range(6)) * 4
    assert exact.partners.tolist() == capped.partners.tolist() == [3] * 24
