from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from compressdefect.data.truth import Truth
from compressdefect.errors import DataError
from compressdefect.train.classify import Classify
from compressdefect.train.losses import paired_discrepancy_loss
from compressdefect.train.task import Task

TWO = ("good", "defective")
KEYS = ["n", "accuracy", "balanced_accuracy", "interval", "threshold"]
KEYS += ["escape", "overkill", "escape_interval", "overkill_interval", "choices"]


def test_it_is_a_task() -> None:
    task: Task = Classify(TWO, good=0)
    assert (task.name, task.classes, task.good, task.metric) == ("classify", TWO, 0, "accuracy")


@pytest.mark.parametrize("shape", [(4, 3), (4, 1, 3)])
def test_one_column_is_plain_cross_entropy(shape: tuple[int, ...]) -> None:
    outputs, targets = torch.randn(shape, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 1, 2, 0])
    task = Classify(("a", "b", "c"), label_smoothing=0.2)
    torch.testing.assert_close(
        task.loss(outputs, Truth(targets)), F.cross_entropy(outputs.reshape(4, 3), targets, label_smoothing=0.2)
    )
    torch.testing.assert_close(task.predict(outputs)["probabilities"], outputs.reshape(4, 3).softmax(dim=-1))


def test_two_columns_take_the_paired_loss_and_the_mean_probability() -> None:
    outputs, targets = torch.randn(4, 2, 3, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 1, 2, 0])
    task = Classify(("a", "b", "c"), discrepancy=0.05, label_smoothing=0.0)
    torch.testing.assert_close(
        task.loss(outputs, Truth(targets)), paired_discrepancy_loss(outputs, targets, discrepancy=0.05)
    )
    torch.testing.assert_close(
        task.predict(outputs)["probabilities"], (outputs[:, 0].softmax(dim=-1) + outputs[:, 1].softmax(dim=-1)) / 2
    )


def test_half_precision_outputs_give_a_float32_loss_and_probabilities() -> None:
    outputs = torch.zeros(2, 2, 2, dtype=torch.bfloat16)
    task = Classify(TWO)
    assert task.loss(outputs, Truth(torch.tensor([0, 1]))).dtype == torch.float32
    assert task.predict(outputs)["probabilities"].dtype == torch.float32


def test_metrics_of_validation_and_test() -> None:
    task = Classify(TWO, good=0)
    good, bad = np.array([0.9, 0.8, 0.7]), np.array([0.75, 0.4, 0.1, 0.2])
    p_good, targets = np.concatenate([good, bad]), np.array([0, 0, 0, 1, 1, 1, 1])
    val = task.metrics(np.stack([p_good, 1 - p_good], axis=1), targets)
    assert list(val) == KEYS
    assert json.loads(json.dumps(val)) == val
    assert val["n"] == 7
    assert val["accuracy"] == pytest.approx(6 / 7)
    assert val["balanced_accuracy"] == pytest.approx((1 + 3 / 4) / 2)
    assert val["threshold"] == pytest.approx((0.3 + 0.6) / 2)  # 0.3: the worst good part; 0.6: the next part above
    assert (val["escape"], val["overkill"]) == (0.25, 0.0)

    test = task.metrics(np.array([[0.5, 0.5], [0.6, 0.4]]), np.array([0, 1]), threshold=val["threshold"])
    assert (test["escape"], test["overkill"], test["threshold"]) == (1.0, 1.0, val["threshold"])


def test_without_a_good_class_there_is_no_operating_point() -> None:
    found = Classify(("a", "b")).metrics(np.eye(2), np.array([0, 1]))
    assert found["accuracy"] == 1.0
    assert all(found[key] is None for key in KEYS[4:-1])
    assert found["choices"] == []


def test_without_a_good_image_there_is_no_threshold() -> None:
    assert Classify(TWO, good=0).metrics(np.eye(2), np.array([1, 1]))["threshold"] is None


@pytest.mark.parametrize(
    ("metric", "expected"), [("accuracy", 4 / 6), ("balanced_accuracy", 3 / 4), ("escape@overkill", 0.5)]
)
def test_scores(metric: str, expected: float) -> None:
    p_good = np.array([0.9, 0.8, 0.1, 0.2, 0.95, 0.85])
    task = Classify(TWO, good=0, metric=metric)
    assert task.score(np.stack([p_good, 1 - p_good], axis=1), np.array([0, 0, 1, 1, 1, 1])) == pytest.approx(expected)


def test_every_metric_is_right_about_a_perfect_classifier() -> None:
    for metric in Classify.metric_names:
        assert math.isclose(Classify(TWO, good=0, metric=metric).score(np.eye(2), np.array([0, 1])), 1.0)


def test_wrong_metrics_are_named() -> None:
    with pytest.raises(DataError, match="did you mean accuracy"):
        Classify(TWO, metric="acuracy")
    with pytest.raises(DataError, match="--good"):
        Classify(TWO, metric="escape@overkill")


def test_short_trainings_are_compared_by_how_well_they_tell_defects_from_good_parts() -> None:
    records = np.array([[0.9, 0.1], [0.6, 0.4], [0.7, 0.3], [0.2, 0.8]])
    labels = np.array([0, 0, 1, 1])
    assert Classify(("good", "bad"), 0).fine_score(records, labels) == 0.75
    assert Classify(("a", "b")).fine_score(records, labels) == 0.75
    assert Classify(("good", "bad"), 0).fine_score(records[:2], labels[:2]) == 0.0
    three = np.array([[0.1, 0.8, 0.1], [0.1, 0.2, 0.7]])
    assert Classify(("good", "a", "b"), 0).fine_score(three, np.array([1, 2])) == 1.0, "no image is good"
