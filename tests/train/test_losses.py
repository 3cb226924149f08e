from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from compressdefect.train.losses import mean_log_probability, paired_discrepancy, paired_discrepancy_loss

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
