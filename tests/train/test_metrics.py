from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from compressdefect import compat

compat.install()

from torchmetrics.functional.classification import multiclass_accuracy, multiclass_confusion_matrix

from compressdefect.train.metrics import accuracy, balanced_accuracy, confusion, interval, wilson_interval


@pytest.mark.parametrize(
    ("hits", "n", "low", "high"),
    [  # Newcombe, "Two-sided confidence intervals for the single proportion" (1998), table I, method 3
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_interval_of_the_literature(hits: int, n: int, low: float, high: float) -> None:
    assert wilson_interval(hits, n) == pytest.approx((low, high), abs=5e-5)


def test_wilson_interval_of_nothing_is_everything() -> None:
    assert wilson_interval(0, 0) == (0.0, 1.0)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=8, max_size=60))
def test_figures_agree_with_torchmetrics(pairs: list[tuple[int, int]]) -> None:
    pairs += [(c, 0) for c in range(4)]  # torchmetrics counts a class that is predicted but absent as a recall of 0
    targets, predicted = np.array(pairs).T
    table = confusion(np.eye(4)[predicted], targets)
    a, b = torch.from_numpy(predicted), torch.from_numpy(targets)
    assert (table == multiclass_confusion_matrix(a, b, num_classes=4).numpy()).all()
    assert accuracy(table) == pytest.approx(multiclass_accuracy(a, b, num_classes=4, average="micro").item(), rel=1e-5)
    assert balanced_accuracy(table) == pytest.approx(multiclass_accuracy(a, b, num_classes=4).item(), rel=1e-5)


def test_balanced_accuracy_leaves_out_absent_classes() -> None:
    table = np.array([[8, 2, 0], [0, 1, 1], [0, 0, 0]])
    assert balanced_accuracy(table) == pytest.approx((0.8 + 0.5) / 2)
    assert math.isnan(accuracy(np.zeros((2, 2), dtype=np.int64)))


def test_images_on_their_own_get_wilsons_interval() -> None:
    hits = np.arange(40) % 5 > 0
    assert interval(hits) == wilson_interval(32, 40)
    assert interval(hits, np.arange(40)) == wilson_interval(32, 40)


def test_groups_widen_the_interval() -> None:
    """Ten parts photographed 20 times, each always right or always wrong: ten facts, not 200."""
    hits = np.repeat(np.arange(10) < 7, 20)
    low, high = interval(hits, np.repeat(np.arange(10), 20))
    # The bootstrap over groups is Binomial(10, 0.7) / 10, whose 2.5 % and 97.5 % quantiles are 0.4 and 1.0.
    assert (low, high) == (0.4, 1.0)


def test_groups_that_all_agree_count_as_one_image_each() -> None:
    groups = np.repeat(np.arange(10), 20)
    assert interval(np.ones(200, dtype=bool), groups) == wilson_interval(10, 10)
    assert interval(np.zeros(200, dtype=bool), groups) == wilson_interval(0, 10)


@given(st.lists(st.booleans(), min_size=1, max_size=40), st.integers(1, 5))
def test_interval_holds_the_share(flags: list[bool], size: int) -> None:
    hits = np.array(flags)
    low, high = interval(hits, np.arange(len(hits)) // size, resamples=100)
    assert 0 <= low <= hits.mean() + 1e-12
    assert hits.mean() - 1e-12 <= high <= 1
