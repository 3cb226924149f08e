from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch

from compressdefect.data.images import Images
from compressdefect.data.split import Split
from compressdefect.errors import DataError
from compressdefect.train.classify import Classify
from compressdefect.train.config import FitConfig
from compressdefect.train.fit import EpochReport
from compressdefect.train.schedule import Deadline
from compressdefect.train.segment import Segment
from compressdefect.train.validate import seeded, validate

SHORT = FitConfig(epochs=2, batch_size=12, score_every=1, threads=1)
NONE = np.array([], dtype=np.int64)
HOLD_OUT = Split(train=np.arange(0, 24), val=np.arange(24, 36), test=np.arange(36, 48))
FEW = Split(train=np.arange(0, 36), val=NONE, test=np.arange(36, 48))


def test_a_validation_part_is_scored_once(images: Images, tiny_network: Any) -> None:
    result = validate(tiny_network, images, HOLD_OUT, Classify(images.classes, images.good), SHORT)
    assert result.indices.tolist() == HOLD_OUT.val.tolist()
    assert [(report.fold, report.epoch) for report in result.history] == [(0, 1), (0, 2)]
    assert result.score == result.history[-1].metric == result.metrics["accuracy"]
    assert result.metrics["n"] == 12
    assert result.metrics["threshold"] is not None


def test_folds_cover_every_training_image_once(images: Images, tiny_network: Any) -> None:
    reports: list[EpochReport] = []
    result = validate(tiny_network, images, FEW, Classify(images.classes, images.good), SHORT, on_epoch=reports.append)
    assert result.indices.tolist() == FEW.train.tolist()
    assert result.records.shape == (36, 3)
    assert [(report.fold, report.epoch) for report in reports] == [(f, e) for f in range(3) for e in (1, 2)]
    assert result.history == reports
    assert result.stopped is None


def test_folds_can_be_trained_one_after_another(images: Images, tiny_network: Any) -> None:
    task = Classify(images.classes, images.good)
    whole = validate(tiny_network, images, FEW, task, SHORT)
    parts = [validate(tiny_network, images, FEW, task, SHORT, only=only) for only in ((0,), (1, 2))]
    assert [(report.fold, report.epoch) for report in parts[1].history] == [(f, e) for f in (1, 2) for e in (1, 2)]
    indices = np.concatenate([part.indices for part in parts])
    assert sorted(indices) == whole.indices.tolist()
    np.testing.assert_array_equal(np.concatenate([p.records for p in parts])[np.argsort(indices)], whole.records)


def test_duplicates_are_never_scored_by_a_network_that_saw_them(images: Images, tiny_network: Any) -> None:
    """Pairs of identical images with random labels: learnt by heart they would be predicted far above chance."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 255, (18, 1, 16, 16), dtype=np.uint8).repeat(2, axis=0)
    paired = dataclasses.replace(
        images.subset(np.arange(36)), pixels=pixels, labels=rng.integers(0, 3, 18).repeat(2), groups=np.arange(36) // 2
    )
    split = Split(train=np.arange(36), val=NONE, test=NONE)
    result = validate(tiny_network, paired, split, Classify(images.classes), SHORT, folds=4)
    np.testing.assert_allclose(result.records[::2], result.records[1::2], atol=1e-5)


def test_a_fold_without_a_defect_is_scored_with_the_others(images: Images, tiny_network: Any) -> None:
    labels = np.zeros(48, dtype=np.int64)
    labels[[3, 20]] = 1
    rare, task = dataclasses.replace(images, labels=labels), Classify(images.classes, 0, "escape@overkill")
    result = validate(tiny_network, rare, FEW, task, SHORT)
    assert sorted(report.metric is None for report in result.history) == [False] * 4 + [True] * 2
    assert result.score == 1 - result.metrics["escape"]
    without = dataclasses.replace(HOLD_OUT, val=NONE, train=np.delete(np.arange(36), [3, 20]))
    with pytest.raises(DataError, match="no defective image"):
        validate(tiny_network, rare, without, task, SHORT)


def test_a_stop_ends_all_folds(images: Images, tiny_network: Any) -> None:
    result = validate(
        tiny_network, images, FEW, Classify(images.classes), SHORT, on_epoch=lambda report: report.fold < 1
    )
    assert result.stopped == "on_epoch"
    assert [(report.fold, report.epoch) for report in result.history] == [(0, 1), (0, 2), (1, 1)]
    assert len(result.indices) == len(result.records) == 24


def test_folds_share_the_time_left(images: Images, tiny_network: Any, ticks: Any) -> None:
    """The clock moves when it is read, so time is counted in steps: equal shares are equal numbers of epochs."""
    config = FitConfig(epochs=100_000, batch_size=12, threads=1)
    result = validate(tiny_network, images, FEW, Classify(images.classes), config, deadline=Deadline(120.0, ticks))
    assert result.stopped == "deadline"
    assert len(result.indices) == 36
    epochs = np.bincount([report.fold for report in result.history])
    assert len(epochs) == 3
    assert epochs.max() - epochs.min() <= 2 < epochs.min()


def test_the_same_seed_gives_the_same_scores(images: Images, tiny_network: Any) -> None:
    first, again = (
        validate(tiny_network, images, FEW, Classify(images.classes), SHORT, folds=2).records for _ in range(2)
    )
    assert np.array_equal(first, again)


def test_the_test_part_is_never_read(images: Images, tiny_network: Any) -> None:
    spoilt = dataclasses.replace(images, labels=np.where(np.arange(48) < 36, images.labels, -1))
    for split in (HOLD_OUT, FEW):
        assert validate(tiny_network, spoilt, split, Classify(images.classes), SHORT).score >= 0


def test_building_leaves_the_random_state_alone(tiny_network: Any) -> None:
    state = torch.get_rng_state()
    first, again, other = (seeded(tiny_network, seed) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(first.head.weight, again.head.weight)
    assert not torch.equal(first.head.weight, other.head.weight)
    with pytest.raises(ZeroDivisionError):
        seeded(lambda: 1 / 0, 0)
    assert torch.equal(torch.get_rng_state(), state)


def test_folds_are_of_images_where_tiles_are_trained_on(webs: tuple[Images, Images], tiny_decoder: Any) -> None:
    split = Split(train=np.arange(9), val=NONE, test=np.arange(9, 12))
    result = validate(tiny_decoder, webs[0], split, Segment(("background", *webs[0].regions)), SHORT)
    assert result.indices.tolist() == split.train.tolist()
    assert result.metrics["n"] == len(result.records) == 9
    assert result.records["labelled"].sum(axis=1).tolist() == [24 * 40] * 9
