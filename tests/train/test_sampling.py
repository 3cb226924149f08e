"""An epoch is as long as the images are many, and shows classes as evenly as it is told."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compressdefect.train.sampling import Sampling

SIZES = st.lists(st.integers(1, 40), min_size=1, max_size=5)


def _epoch(sizes: list[int], balance: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """The images of one epoch, which are numbered from 100, and their classes."""
    classes = np.repeat(np.arange(len(sizes)), sizes)
    drawn = Sampling(np.arange(100, 100 + len(classes)), classes, balance).epoch(np.random.default_rng(seed))
    return drawn, classes[drawn - 100]


@given(SIZES, st.floats(0, 1))
def test_an_epoch_is_as_long_as_the_images_are_many(sizes: list[int], balance: float) -> None:
    drawn, _ = _epoch(sizes, balance)
    assert len(drawn) == sum(sizes)


@given(SIZES, st.floats(0, 1))
def test_no_image_is_shown_twice_more_than_another_of_its_class(sizes: list[int], balance: float) -> None:
    drawn, classes = _epoch(sizes, balance)
    for number, size in enumerate(sizes):
        times = np.bincount(drawn[classes == number] - 100 - sum(sizes[:number]), minlength=size)
        assert times.max() - times.min() <= 1


@given(SIZES)
def test_unbalanced_shows_each_image_once(sizes: list[int]) -> None:
    drawn, _ = _epoch(sizes, 0.0)
    assert sorted(drawn) == list(range(100, 100 + sum(sizes)))


@pytest.mark.parametrize(
    ("balance", "expected"),
    [(0.0, [81, 9]), (0.5, [68, 22]), (1.0, [45, 45])],  # 90 draws as 81 : 9, as 9 : 3 and as 1 : 1
)
def test_a_rare_class_is_shown_more_often(balance: float, expected: list[int]) -> None:
    _, classes = _epoch([81, 9], balance)
    assert np.bincount(classes).tolist() == expected


def test_even_classes_are_left_as_they_are() -> None:
    drawn, _ = _epoch([30, 30, 30], 1.0)
    assert drawn.tolist() == np.random.default_rng(0).permutation(np.arange(100, 190)).tolist()


def test_epochs_differ_and_a_seed_repeats_them() -> None:
    sampling = Sampling(np.arange(20), np.arange(20) % 7 == 0, 0.5)
    order = np.random.default_rng(3)
    first, second = sampling.epoch(order), sampling.epoch(order)
    assert not np.array_equal(first, second)
    assert np.array_equal(first, sampling.epoch(np.random.default_rng(3)))


def test_without_classes_each_image_is_shown_once() -> None:
    drawn = Sampling(np.arange(5), None, 1.0).epoch(np.random.default_rng(0))
    assert sorted(drawn) == [0, 1, 2, 3, 4]
