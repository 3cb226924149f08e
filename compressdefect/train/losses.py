"""Losses for classification, one column of logits or two."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F


def paired_discrepancy(outputs: Tensor) -> Tensor:
    """How far two softmax columns disagree: the mean of |softmax(o₁) − softmax(o₂)| over images and classes.

    Args:
        outputs: logits (N, 2, K).

    Returns:
        A scalar in [0, 2/K].
    """
    assert outputs.shape[1:-1] == (2,), f"two columns of logits expected, got {tuple(outputs.shape)}"
    first, second = outputs.softmax(dim=-1).unbind(dim=1)
    return (first - second).abs().mean()


def paired_discrepancy_loss(
    outputs: Tensor, targets: Tensor, *, discrepancy: float = 0.1, label_smoothing: float = 0.0
) -> Tensor:
    """L1 paired discrepancy loss of a two-column head: CE(o₁) + CE(o₂) + CE(p̄) − λ·d.

    p̄ = (softmax(o₁) + softmax(o₂)) / 2 is what ships, d is ``paired_discrepancy`` and λ ``discrepancy``. LightDefectNet
    (Xu et al., 2022) maximises d and prints no formula. The columns keep their own cross-entropies, without which
    they would only learn to disagree; d follows Saito et al., "Maximum classifier discrepancy" (2018), equation 2.

    Args:
        outputs: logits (N, 2, K).
        targets: class numbers (N,).
        discrepancy: λ, at most about 0.1.
        label_smoothing: share of the target spread evenly over the classes, in all three cross-entropies.
    """
    columns = sum(F.cross_entropy(column, targets, label_smoothing=label_smoothing) for column in outputs.unbind(dim=1))
    joint = F.cross_entropy(mean_log_probability(outputs), targets, label_smoothing=label_smoothing)
    return columns + joint - discrepancy * paired_discrepancy(outputs)


def mean_log_probability(outputs: Tensor) -> Tensor:
    """Logarithm of the columns' mean probability, log p̄: logits (N, heads, K) → (N, K)."""
    return torch.logsumexp(outputs.log_softmax(dim=-1), dim=1) - math.log(outputs.shape[1])
