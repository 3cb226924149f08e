from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from compressdefect import compat

compat.install()

from torchmetrics.functional.classification import multiclass_f1_score, multiclass_jaccard_index

from compressdefect.train.metrics import wilson_interval
from compressdefect.train.segment_metrics import Counts, detection, detection_accuracy, overlap, overlap_intervals


def counts(*images: tuple[list[int], list[int], list[int]]) -> Counts:
    """(hit, predicted, labelled) of each image → Counts (n, K)."""
    return Counts(*(np.array(rows, dtype=np.int64) for rows in zip(*images, strict=True)))


def test_dice_and_iou_by_hand() -> None:
    # Two 4 × 4 images; the defect: 3 pixels of 4 found and 2 false alarms, then an empty mask with 1 false alarm.
    both = overlap(counts(([10, 3], [11, 5], [12, 4]), ([15, 0], [15, 1], [16, 0])))
    assert both.dice[1] == both.mean_dice == pytest.approx(2 * 3 / (6 + 4))
    assert both.iou[1] == both.mean_iou == pytest.approx(3 / (6 + 4 - 3))
    assert both.dice[0] == pytest.approx(2 * 25 / (26 + 28))


def test_an_image_with_nothing_to_find_and_nothing_found_changes_nothing() -> None:
    found, empty = ([10, 3], [11, 5], [12, 4]), ([16, 0], [16, 0], [16, 0])
    assert overlap(counts(found, empty)).mean_dice == overlap(counts(found)).mean_dice


def test_a_class_that_is_neither_there_nor_found_is_left_out_of_the_mean() -> None:
    both = overlap(counts(([8, 2, 0, 0], [8, 4, 0, 4], [12, 4, 0, 0])))
    assert math.isnan(both.dice[2])
    assert both.dice[3] == 0
    assert both.mean_dice == pytest.approx((0.5 + 0) / 2)
    assert math.isnan(overlap(counts(([16, 0], [16, 0], [16, 0]))).mean_dice)


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=6, max_size=60))
def test_figures_agree_with_torchmetrics(pairs: list[tuple[int, int]]) -> None:
    pairs += [(k, k) for k in range(3)]
    found, there = (torch.tensor(side) for side in zip(*pairs, strict=True))
    one_hot = np.eye(3, dtype=np.int64)
    a, b = one_hot[found.numpy()], one_hot[there.numpy()]
    both = overlap(Counts((a & b).sum(axis=0), a.sum(axis=0), b.sum(axis=0)))
    dice = multiclass_f1_score(found, there, num_classes=3, average=None).numpy()
    iou = multiclass_jaccard_index(found, there, num_classes=3, average=None).numpy()
    np.testing.assert_allclose(both.dice, dice, rtol=1e-5)
    np.testing.assert_allclose(both.iou, iou, rtol=1e-5)


def test_bootstrap_of_equal_images_has_no_width() -> None:
    bounds = overlap_intervals(counts(*[([10, 3], [11, 5], [12, 4])] * 6))
    assert bounds is not None
    assert bounds[0] == pytest.approx((6 / 9, 6 / 9))


def test_bootstrap_over_groups_is_that_of_their_number() -> None:
    """Of two groups one is found and one missed: Dice is 1, 2/3 or 0, with probabilities 1/4, 1/2 and 1/4."""
    images = [([10, 6], [10, 6], [10, 6])] * 20 + [([10, 0], [16, 0], [10, 6])] * 20
    by_group = overlap_intervals(counts(*images), np.repeat([0, 1], 20))
    alone = overlap_intervals(counts(*images))
    assert by_group is not None
    assert alone is not None
    assert by_group[0] == (0.0, 1.0)
    assert 0.4 < alone[0][0] < 2 / 3 < alone[0][1] < 0.9
    assert all(low < high for low, high in alone)


def test_where_no_defect_is_there_is_no_interval() -> None:
    assert overlap_intervals(counts(([16, 0], [16, 0], [16, 0]))) is None


def test_detection_by_hand() -> None:
    """Of 4 defective images 3 are called so, of 6 good ones 5 are called good (equations 8 to 10)."""
    defective = np.arange(10) < 4
    called = np.array([1, 1, 1, 0, 0, 0, 0, 0, 0, 1], dtype=bool)
    found = detection(called, defective)
    assert (found.tpr, found.tnr) == (3 / 4, 5 / 6)
    assert found.macc == pytest.approx((3 / 4 + 5 / 6) / 2)
    assert found.tpr_interval == wilson_interval(3, 4)
    assert found.tnr_interval == wilson_interval(5, 6)
    assert detection_accuracy(called, defective) == pytest.approx(1 - ((4 - 3) + (4 - 3)) / 10)


def test_rates_of_images_that_are_not_there_are_unknown() -> None:
    found = detection(np.array([True, False]), np.array([True, True]))
    assert (found.tpr, found.tnr, found.macc, found.tnr_interval) == (0.5, None, None, None)


def test_groups_widen_the_rates() -> None:
    defective, called = np.ones(200, dtype=bool), np.repeat(np.arange(10) < 7, 20)
    assert detection(called, defective, np.repeat(np.arange(10), 20)).tpr_interval == (0.4, 1.0)
