from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from compressdefect.data.images import Images
from compressdefect.data.truth import Truth
from compressdefect.errors import DataError
from compressdefect.train.losses import SEGMENTATION_LOSSES
from compressdefect.train.segment import Segment, parse_criterion
from compressdefect.train.task import Aim, Records

TASK = Segment(("background", "scratch", "spot"))


def certain(masks: torch.Tensor, classes: int = 3) -> torch.Tensor:
    """Probabilities that are sure of these masks."""
    return torch.nn.functional.one_hot(masks.long(), classes).permute(0, 3, 1, 2).float()


def recorded(probabilities: torch.Tensor, masks: torch.Tensor) -> Records:
    """The records of these answers, where these masks are true."""
    labels = torch.zeros(len(masks), dtype=torch.int64)
    return TASK.record({"probabilities": probabilities}, Truth(labels, masks))


def test_labels_are_the_largest_defect(marked: Images) -> None:
    masks = np.zeros((3, 16, 16), dtype=np.uint8)
    masks[1, 0, :3], masks[1, 1, :2] = 1, 2
    masks[2, 0, :3], masks[2, 1, :4] = 1, 2
    labels = TASK.labels(Images(marked.pixels, marked.labels, (), (), (), marked.groups, masks=masks), np.arange(3))
    assert labels.tolist() == [0, 1, 2]


def test_without_masks_there_is_nothing_to_segment(images: Images) -> None:
    with pytest.raises(DataError, match="no masks to segment by"):
        Segment.on_images(images, Aim())


@pytest.mark.parametrize("criterion", ["ce", "dice", "bce", "ce+dice", "bce + dice"])
def test_the_loss_is_the_sum_that_was_asked_for(criterion: str) -> None:
    outputs = torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    masks = torch.randint(0, 3, (2, 4, 5), generator=torch.Generator().manual_seed(1))
    parts = [SEGMENTATION_LOSSES[name.strip()](outputs, masks) for name in criterion.split("+")]
    loss = Segment(TASK.classes, criterion=criterion).loss(outputs, Truth(torch.zeros(2), masks.to(torch.uint8)))
    torch.testing.assert_close(loss, sum(parts))


def test_a_record_counts_pixels_and_keeps_the_most_suspicious() -> None:
    probabilities = torch.tensor([[[0.6, 0.2], [1.0, 0.5]], [[0.4, 0.5], [0.0, 0.2]], [[0.0, 0.3], [0.0, 0.3]]])
    (record,) = recorded(probabilities.unsqueeze(0), torch.tensor([[[1, 1], [0, 2]]], dtype=torch.uint8))
    assert record["predicted"].tolist() == [3, 1, 0]
    assert record["labelled"].tolist() == [1, 2, 1]
    assert record["hit"].tolist() == [1, 1, 0]
    np.testing.assert_allclose(record["scores"], [0.2, 0.5, 0.3])


def test_metrics_of_validation_and_test() -> None:
    """Four 2 × 2 images: a defect found by half, one missed, and two good ones, one of them with a false alarm."""
    truth = torch.tensor([[[1, 1], [0, 0]], [[2, 0], [0, 0]], [[0, 0], [0, 0]], [[0, 0], [0, 0]]])
    found = torch.tensor([[[1, 0], [0, 0]], [[0, 0], [0, 0]], [[0, 0], [0, 0]], [[1, 0], [0, 0]]])
    records, labels = recorded(0.9 * certain(found) + 0.1 / 3, truth), np.array([1, 2, 0, 0])
    val = TASK.metrics(records, labels)
    assert json.loads(json.dumps(val)) == val
    assert val["n"] == 4
    assert val["classes"]["scratch"] == {"dice": pytest.approx(2 * 1 / (2 + 2)), "iou": pytest.approx(1 / 3)}
    assert val["classes"]["spot"] == {"dice": 0, "iou": 0}
    assert (val["dice"], val["iou"]) == (pytest.approx(1 / 4), pytest.approx(1 / 6))
    assert (val["tpr"], val["tnr"], val["macc"], val["accuracy"]) == (0.5, 0.5, 0.5, 0.5)
    assert val["threshold"] == pytest.approx((1 + 29 / 30) / 2)  # neither good image may be rejected
    assert (val["escape"], val["overkill"]) == (1.0, 0.0)
    test = TASK.metrics(records, labels, threshold=0.5, choose=False)
    assert (test["threshold"], test["escape"], test["overkill"]) == (0.5, 0.5, 0.5)
    assert TASK.metrics(records, labels, choose=False)["threshold"] is None


def test_where_nothing_is_wrong_figures_of_defects_are_unknown() -> None:
    empty = torch.zeros(3, 2, 2, dtype=torch.int64)
    found = TASK.metrics(recorded(certain(empty), empty), np.zeros(3, dtype=np.int64))
    assert all(found[key] is None for key in ("dice", "iou", "interval", "macc", "tpr", "escape"))
    assert (found["tnr"], found["accuracy"], found["overkill"]) == (1.0, 1.0, 0.0)


@pytest.mark.parametrize("metric", Segment.metric_names)
def test_every_metric_is_right_about_a_perfect_network_and_one_that_sees_nothing(metric: str) -> None:
    truth, labels = torch.tensor([[[1, 1], [0, 0]], [[0, 0], [0, 0]]]), np.array([1, 0])
    task = Segment(TASK.classes, metric=metric)
    assert task.score(recorded(certain(truth), truth), labels) == 1.0
    blind = recorded(certain(torch.zeros_like(truth)), truth)
    assert task.score(blind, labels) == (0.5 if metric == "macc" else 0.0)


@pytest.mark.parametrize("metric", Segment.metric_names)
def test_images_that_cannot_decide_are_an_error(metric: str) -> None:
    empty = torch.zeros(2, 2, 2, dtype=torch.int64)
    with pytest.raises(DataError, match=f"these images give no {metric}: got 0 of 2 with a defect"):
        Segment(TASK.classes, metric=metric).score(recorded(certain(empty), empty), np.zeros(2, dtype=np.int64))


def test_wrong_metrics_and_losses_are_named() -> None:
    with pytest.raises(DataError, match="unknown metric: got accuracy; known: dice, escape@overkill, iou, macc"):
        Segment(TASK.classes, metric="accuracy")
    with pytest.raises(DataError, match=r"unknown loss: got dise; did you mean dice\?"):
        parse_criterion("ce+dise")
    with pytest.raises(DataError, match="unknown loss: got nothing"):
        parse_criterion("")


def test_short_trainings_are_compared_by_how_images_are_ranked() -> None:
    masks = torch.zeros(3, 2, 2, dtype=torch.uint8)
    masks[1:, 0, 0] = 1
    suspicion = torch.tensor([0.3, 0.4, 0.2])  # in one pixel; none is called a defect
    probabilities = torch.zeros(3, 3, 2, 2)
    probabilities[:, 1, 1, 1], probabilities[:, 0] = suspicion, 1.0
    probabilities[:, 0, 1, 1] = 1 - suspicion
    records, labels = recorded(probabilities, masks), np.array([0, 1, 1])
    assert TASK.fine_score(records, labels) == 0.5
    assert TASK.fine_score(records[1:], labels[1:]) == 0.0
