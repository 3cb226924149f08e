"""No image twice, no group torn, every class shared fairly."""

from __future__ import annotations

import json
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compressdefect.data.images import Images
from compressdefect.data.split import Split, folds, make_folds, make_split
from compressdefect.errors import DataError
from tests.data.conftest import blank_images

PARTS = ("train", "val", "test", "left_out")


@st.composite
def labelled_groups(draw: st.DrawFn) -> tuple[list[int], list[int]]:
    """Labels in 2–4 classes and groups of up to 4 images of one class; each class has 5 groups or more."""
    labels, groups, group = [], [], 0
    for label in range(draw(st.integers(2, 4))):
        for size in draw(st.lists(st.integers(1, 4), min_size=5, max_size=40)):
            labels += [label] * size
            groups += [group] * size
            group += 1
    return labels, groups


def _torn(groups: np.ndarray, parts: list[np.ndarray]) -> bool:
    return sum(len(np.unique(groups[part])) for part in parts) != len(np.unique(groups))


@given(labelled_groups(), st.floats(0.2, 0.6), st.integers(0, 10))
def test_split_holds_its_promises(drawn: tuple[list[int], list[int]], share: float, seed: int) -> None:
    images = blank_images(*drawn)
    try:
        split = make_split(images, test_share=share, seed=seed)
    except DataError:  # few groups of four images cannot always be shared out, which the tests below are of
        return
    parts = [getattr(split, part) for part in PARTS]
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(images)))
    assert not _torn(images.groups, parts)
    assert (len(split.val) > 0) == (len(split.train) + len(split.val) >= 300)
    largest = 4
    for label in set(drawn[0]):
        of_class = images.labels == label
        assert abs(of_class[split.test].sum() - share * of_class.sum()) < largest


@given(st.lists(st.integers(5, 60), min_size=2, max_size=5), st.floats(0.2, 0.8), st.integers(0, 5))
def test_single_images_are_shared_to_the_nearest_whole_number(counts: list[int], share: float, seed: int) -> None:
    images = blank_images([label for label, count in enumerate(counts) for _ in range(count)])
    tested = np.bincount(images.labels[make_split(images, test_share=share, seed=seed).test], minlength=len(counts))
    assert (np.abs(tested - share * np.array(counts)) <= 0.5 + 1e-6).all()


@given(labelled_groups(), st.integers(2, 5), st.integers(0, 10))
def test_folds_cover_each_image_once(drawn: tuple[list[int], list[int]], k: int, seed: int) -> None:
    labels, groups = (np.array(values) for values in drawn)
    pairs = folds(labels, groups, k, seed)
    assert len(pairs) == k
    assert sorted(np.concatenate([val for _, val in pairs]).tolist()) == list(range(len(labels)))
    for train, val in pairs:
        assert sorted([*train.tolist(), *val.tolist()]) == list(range(len(labels)))
        assert not set(groups[train].tolist()) & set(groups[val].tolist())


@given(st.lists(st.integers(5, 60), min_size=2, max_size=4), st.integers(2, 5))
def test_folds_of_single_images_are_equal(counts: list[int], k: int) -> None:
    labels = np.repeat(np.arange(len(counts)), counts)
    pairs = folds(labels, np.arange(len(labels)), k)
    per_fold = np.array([np.bincount(labels[val], minlength=len(counts)) for _, val in pairs])
    assert (np.ptp(per_fold, axis=0) <= 1).all()
    assert np.ptp(per_fold.sum(axis=1)) <= 1


def test_seed_decides() -> None:
    images = blank_images([0] * 50 + [1] * 50)
    same = [make_split(images, seed=3).test.tolist() for _ in range(2)]
    assert same[0] == same[1] != make_split(images, seed=4).test.tolist()


def test_validation_part_needs_300_images() -> None:
    small, large = blank_images([0, 1] * 200), blank_images([0, 1] * 215)  # 280 and 301 for training
    assert len(make_split(small).val) == 0
    split = make_split(large)
    assert (len(split.train), len(split.val), len(split.test)) == (241, 60, 129)
    assert len(make_split(large, val_share=0).val) == 0


def test_official_parts_are_kept_and_their_leaks_left_out() -> None:
    splits = ("train",) * 6 + ("val",) * 2 + ("test",) * 2
    images = blank_images([0, 1] * 5, groups=[0, 1, 2, 3, 8, 6, 6, 7, 8, 9], splits=splits)
    split = make_split(images)
    assert split.test.tolist() == [8, 9]
    assert split.left_out.tolist() == [4]  # a copy of test image 8
    assert split.val.tolist() == [5, 6, 7]  # 5 is a copy of validation image 6
    assert split.train.tolist() == [0, 1, 2, 3]


def test_official_val_tests_where_there_is_no_test() -> None:
    images = blank_images([0, 1] * 4, splits=("train",) * 4 + ("val",) * 4)
    split = make_split(images)
    assert (split.train.tolist(), split.val.tolist(), split.test.tolist()) == ([0, 1, 2, 3], [], [4, 5, 6, 7])
    assert len(make_split(images, test_share=0.25).test) == 2  # an explicit share makes a new split


def test_json_round_trip_on_reordered_images() -> None:
    images = blank_images([0, 1] * 20, groups=[*range(38), 37, 37])
    split = make_split(images, seed=5)
    order = np.random.default_rng(0).permutation(len(images))
    shuffled = images.subset(order)
    again = Split.from_json(json.loads(json.dumps(split.to_json(images))), shuffled)
    for part in PARTS:
        assert sorted(order[getattr(again, part)].tolist()) == getattr(split, part).tolist()
    assert (again.seed, again.group) == (5, "auto")


@pytest.mark.parametrize(("empty", "full"), [("test", "train"), ("train", "test")])
def test_json_without_a_needed_part_is_refused(empty: str, full: str) -> None:
    images = blank_images([0, 1] * 20)
    stored = make_split(images).to_json(images)
    stored[full] += stored[empty]
    stored[empty] = []
    with pytest.raises(DataError, match=f"images to train on and to test on: got no {empty}"):
        Split.from_json(stored, images)


def test_json_for_other_images_is_refused() -> None:
    images = blank_images([0, 1] * 20)
    stored = make_split(images).to_json(images)
    with pytest.raises(DataError, match="0 of its images are not in the data, 2 of the data are not in it"):
        Split.from_json(stored, blank_images([0, 1] * 21))
    damaged = (
        [],
        {**stored, "train": [["x"]]},
        {**stored, "test": "x"},
        {**stored, "seed": "x"},
        {**stored, "group": 3},
    )
    for obj in damaged:
        with pytest.raises(DataError, match=r"not a split: .*give a split\.json"):
            Split.from_json(obj, images)


def test_impossible_splits() -> None:
    images = blank_images([0, 1] * 10)
    for share in (0.0, 1.0, -1.0):
        with pytest.raises(DataError, match="test share"):
            make_split(images, test_share=share)
    with pytest.raises(DataError, match="no image is left for the test part"):
        make_split(blank_images([0, 1, 0, 1], groups=[0, 1, 0, 1]))
    with pytest.raises(DataError, match="lacks a class"):
        make_split(blank_images([0, 0, 1], splits=("train", "train", "test")))
    with pytest.raises(DataError, match="folds need"):
        folds(np.array([0, 1]), np.array([0, 0]), 2)


@pytest.mark.parametrize("seed", range(3))
def test_one_large_group_is_refused(seed: int) -> None:
    """36 of 40 images look alike: whichever part they go to, the other is far too small."""
    images = blank_images([0, 1] * 20, groups=[0] * 36 + [1, 2, 3, 4])
    with pytest.raises(
        DataError, match=r"test part .* far from its share: got 4 of 40 images, not about 12; .*--group"
    ):
        make_split(images, test_share=0.3, seed=seed)
    with pytest.raises(DataError, match=r"no image is left for the test part: .* the largest group has 40 .*--group"):
        make_split(blank_images([0, 1] * 20, groups=[0] * 40), seed=seed)


def test_a_validation_part_far_from_its_share_is_refused() -> None:
    images = blank_images([0, 1] * 250, groups=[0] * 160 + [1] * 160 + [2] * 160 + [*range(3, 23)])
    with pytest.raises(DataError, match=r"validation part .* got \d+ of 340 images, not about 68; .*--group"):
        make_split(images, test_share=0.3)
    assert len(make_split(images, test_share=0.3, val_share=0).test) == 160


def test_a_fold_far_from_its_share_is_refused() -> None:
    images = blank_images([0, 1] * 20, groups=[0] * 20 + [*range(1, 21)])
    with pytest.raises(DataError, match=r"test part of fold \d .* got 20 of 40 images, not about 8; .*--group"):
        make_folds(images, 5)


def test_a_share_is_kept_as_well_as_whole_images_allow() -> None:
    images = blank_images([*range(6), *range(6)])  # of two images of each class, one is tested: not 0.6
    assert len(make_split(images, test_share=0.3).test) == 6


def test_groups_of_mixed_classes_are_shared_out_whole() -> None:
    """Photographs of both sides of 20 parts, a good one and a scratched one each."""
    images = blank_images([0, 1] * 20, groups=np.repeat(range(20), 2).tolist())
    split = make_split(images, test_share=0.3)
    assert np.bincount(images.labels[split.test]).tolist() == [6, 6]
    assert not _torn(images.groups, [split.train, split.test])


def test_a_class_of_three_groups_is_in_every_part() -> None:
    for groups, seed in product(([500, 501, 502], [500] * 8 + [501, 502], [500] * 9 + [501] * 9 + [502]), range(5)):
        images = blank_images([0] * 500 + [1] * len(groups), groups=[*range(500), *groups])
        split = make_split(images, test_share=0.1, seed=seed)
        assert all(1 in images.labels[part] for part in (split.train, split.val, split.test))


def test_a_class_that_a_part_cannot_show_is_refused() -> None:
    """Seven groups with a third of seven classes each, as the lines of a Fano plane: two parts cannot both show all."""
    lines = [(i, (i + 1) % 7, (i + 3) % 7) for i in range(7)]
    labels, groups = zip(*((label, group) for label, line in enumerate(lines) for group in line), strict=True)
    images = blank_images(list(labels), groups=list(groups))
    with pytest.raises(DataError, match=r"the (test|training) part lacks a class: got class\d.*; .*--group"):
        make_split(images, test_share=0.5)


def test_neu_splits_exactly_in_half(neu: Images) -> None:
    split = make_split(neu)
    assert np.bincount(neu.labels[split.test]).tolist() == [150] * 6
    assert np.bincount(neu.labels[split.val]).tolist() == [30] * 6
    assert not set(neu.groups[split.test].tolist()) & set(neu.groups[np.r_[split.train, split.val]].tolist())
