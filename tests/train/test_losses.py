from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch.nn import functional as F

from compressdefect.train.losses import (
    SEGMENTATION_LOSSES,
    binary_cross_entropy,
    dice_loss,
    mean_log_probability,
    paired_discrepancy,
    paired_discrepancy_loss,
)

LOG3 = math.log(3)


def test_discrepancy_by_hand() -> None:
    # softmax(0, ln 3) = (1/4, 3/4) and softmax(0, 0) = (1/2, 1/2): |difference| is 1/4 in both classes.
    outputs = torch.tensor([[[0.0, LOG3], [0.0, 0.0]]])
    assert paired_discrepancy(outputs).item() == pytest.approx(0.25)


def test_discrepancy_reaches_its_bound() -> None:
    outputs = torch.tensor([[[100.0, 0.0, 0.0, 0.0], [0.0, 100.0, 0.0, 0.0]]])
    assert paired_discrepancy(outputs).item() == pytest.approx(2 / 4)


def test_loss_by_hand() -> None:
    # p₁(1) = 3/4, p₂(1) = 1/2, p̄(1) = 5/8; d = 1/4.
    outputs = torch.tensor([[[0.0, LOG3], [0.0, 0.0]]])
    expected = -math.log(3 / 4) - math.log(1 / 2) - math.log(5 / 8) - 0.1 * 0.25
    loss = paired_discrepancy_loss(outputs, torch.tensor([1]), discrepancy=0.1)
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_equal_columns_are_three_cross_entropies() -> None:
    logits, targets = torch.randn(5, 4, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 1, 2, 3, 0])
    loss = paired_discrepancy_loss(logits.unsqueeze(1).repeat(1, 2, 1), targets, label_smoothing=0.1)
    torch.testing.assert_close(loss, 3 * F.cross_entropy(logits, targets, label_smoothing=0.1))


def test_mean_log_probability_survives_certain_columns() -> None:
    outputs = torch.tensor([[[1000.0, 0.0], [0.0, 1000.0]]])
    torch.testing.assert_close(mean_log_probability(outputs), torch.full((1, 2), -math.log(2)))


def test_gradient_reaches_both_columns_and_pulls_them_apart() -> None:
    outputs = torch.randn(6, 2, 3, generator=torch.Generator().manual_seed(0)).requires_grad_()
    paired_discrepancy_loss(outputs, torch.arange(6) % 3).backward()
    assert outputs.grad is not None
    assert (outputs.grad.abs().sum(dim=(0, 2)) > 0).all()

    apart = outputs.detach().clone().requires_grad_()
    (-paired_discrepancy(apart)).backward()
    assert apart.grad is not None
    assert paired_discrepancy(apart.detach() - 0.1 * apart.grad) > paired_discrepancy(apart.detach())


def test_dice_loss_by_hand() -> None:
    # Probabilities 3/4, 1/2, 1/4, 1/2 of the defect; the first two pixels are one: (2·5/4 + 1) / (2 + 2 + 1) = 7/10.
    odds = torch.tensor([LOG3, 0.0, -LOG3, 0.0]).view(1, 1, 2, 2)
    logits, masks = torch.cat([torch.zeros_like(odds), odds], dim=1), torch.tensor([[[1, 1], [0, 0]]])
    assert dice_loss(logits, masks).item() == pytest.approx(1 - 7 / 10)


def test_dice_loss_averages_over_the_defect_classes_that_each_image_shows() -> None:
    certain = 100 * F.one_hot(torch.tensor([[[1, 1], [0, 0]], [[2, 0], [0, 0]]]), 4).permute(0, 3, 1, 2).float()
    masks = torch.tensor([[[1, 2], [0, 0]], [[2, 0], [0, 0]]])
    # Image 1, class 1: (2·1 + 1) / (2 + 1 + 1), class 2: 1 / (0 + 1 + 1); image 2, class 2: all. Class 3: never shown.
    assert dice_loss(certain, masks).item() == pytest.approx((1 / 4 + 1 / 2 + 0) / 3, abs=1e-5)


def test_dice_loss_of_a_good_image_counts_its_false_alarms_of_all_classes() -> None:
    odds = torch.tensor([0.0, 0.0, -100.0, -100.0]).view(1, 1, 2, 2)
    logits = torch.cat([odds * 0, odds, odds], dim=1)  # each class has a third of two pixels: 4/3 pixels' worth
    masks = torch.zeros(1, 2, 2, dtype=torch.int64)
    assert dice_loss(logits, masks).item() == pytest.approx(1 - 1 / (4 / 3 + 1))
    assert dice_loss(logits - 200 * torch.tensor([0.0, 1.0, 1.0]).view(1, 3, 1, 1), masks).item() == pytest.approx(0)


def test_dice_loss_weighs_good_images_like_a_class_that_is_shown() -> None:
    certain = 100 * F.one_hot(torch.tensor([[[1, 1], [0, 0]], [[0, 0], [0, 0]]]), 2).permute(0, 3, 1, 2).float()
    masks = torch.tensor([[[1, 0], [0, 0]], [[0, 0], [0, 0]]])  # (2·1 + 1) / (1 + 2 + 1) and no false alarm
    assert dice_loss(certain, masks).item() == pytest.approx((1 / 4 + 0) / 2, abs=1e-5)


def test_binary_cross_entropy_of_one_defect_class_is_the_cross_entropy() -> None:
    generator = torch.Generator().manual_seed(0)
    logits, masks = torch.randn(3, 2, 5, 4, generator=generator), torch.randint(0, 2, (3, 5, 4), generator=generator)
    torch.testing.assert_close(binary_cross_entropy(logits, masks), F.cross_entropy(logits, masks))


def test_binary_cross_entropy_of_more_classes_by_hand() -> None:
    # p = (1/2, 1/4, 1/4) everywhere and class 1 is true: −(ln 1/4 + ln 3/4) / 2.
    logits, masks = torch.tensor([math.log(2), 0.0, 0.0]).view(1, 3, 1, 1), torch.ones(1, 1, 1, dtype=torch.int64)
    assert binary_cross_entropy(logits, masks).item() == pytest.approx(-(math.log(1 / 4) + math.log(3 / 4)) / 2)


@pytest.mark.parametrize("loss", SEGMENTATION_LOSSES.values(), ids=SEGMENTATION_LOSSES)
def test_segmentation_losses_survive_certainty_and_pull_the_right_way(loss: Callable[..., torch.Tensor]) -> None:
    masks = torch.tensor([[[0, 1], [2, 0]]])
    wrong = 1e4 * F.one_hot((masks + 1) % 3, 3).permute(0, 3, 1, 2).float()
    assert torch.isfinite(loss(wrong, masks))
    logits = torch.zeros(1, 3, 2, 2, requires_grad=True)
    loss(logits, masks).backward()
    assert logits.grad is not None
    assert (logits.grad.gather(1, masks.unsqueeze(1))[0, 0][masks[0] > 0] < 0).all()
