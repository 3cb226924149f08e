"""Losses: of one column of logits or two for classification, and of logits per pixel for segmentation."""

from __future__ import annotations

import math
from collections.abc import Callable

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
    answers = [*outputs.unbind(dim=1), mean_log_probability(outputs)]
    mean = F.cross_entropy(torch.cat(answers), targets.repeat(len(answers)), label_smoothing=label_smoothing)
    return len(answers) * mean - discrepancy * paired_discrepancy(outputs)


def mean_log_probability(outputs: Tensor) -> Tensor:
    """Logarithm of the columns' mean probability, log p̄: logits (N, heads, K) → (N, K)."""
    return torch.logsumexp(outputs.log_softmax(dim=-1), dim=1) - math.log(outputs.shape[1])


def dice_loss(logits: Tensor, masks: Tensor) -> Tensor:
    """1 − (2Σyŷ + 1) / (Σy + Σŷ + 1) of each defect class that an image shows; of a good image, of any defect.

    The sums run over the pixels of one image, so that a small defect counts as much as a large one; ŷ is the softmax.
    The mean is over these terms. Good images count by their false alarms of all classes together, Σŷ / (Σŷ + 1);
    other classes in an image with a defect are left to the softmax, which gives to one what it takes from another. By
    itself that tells classes poorly apart: use it with a cross-entropy.

    Args:
        logits: float32 (N, K, H, W); class 0 is the background.
        masks: class numbers (N, H, W), int64.

    Returns:
        A scalar in [0, 1].
    """
    probabilities = logits.softmax(dim=1)[:, 1:]
    truth = _one_hot(masks, logits.shape[1])[:, 1:]
    found, labelled = probabilities.sum(dim=(2, 3)), truth.sum(dim=(2, 3))
    shown = labelled > 0
    good = ~shown.any(dim=1)
    missed = (1 - (2 * (probabilities * truth).sum(dim=(2, 3)) + 1) / (labelled + found + 1)) * shown
    false = (1 - 1 / (found.sum(dim=1) + 1)) * good
    return (missed.sum() + false.sum()) / (shown.sum() + good.sum())


def binary_cross_entropy(logits: Tensor, masks: Tensor) -> Tensor:
    """Binary cross-entropy of each defect class's softmax against all others', averaged over pixels and classes.

    With one defect class this is the cross-entropy; with more, it also asks each of them to be silent where another is.

    Args:
        logits: float32 (N, K, H, W); class 0 is the background.
        masks: class numbers (N, H, W), int64.
    """
    log_p = logits.log_softmax(dim=1)
    others = [
        torch.logsumexp(torch.cat([log_p[:, :k], log_p[:, k + 1 :]], dim=1), dim=1) for k in range(logits.shape[1])
    ]
    odds = (log_p - torch.stack(others, dim=1))[:, 1:]
    return F.binary_cross_entropy_with_logits(odds, _one_hot(masks, logits.shape[1])[:, 1:])


SEGMENTATION_LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "ce": F.cross_entropy,
    "dice": dice_loss,
    "bce": binary_cross_entropy,
}
"""Each takes logits (N, K, H, W) and masks (N, H, W)."""


def _one_hot(masks: Tensor, classes: int) -> Tensor:
    """Class numbers (N, H, W) → float32 (N, classes, H, W)."""
    return (masks.unsqueeze(1) == torch.arange(classes, device=masks.device).view(1, -1, 1, 1)).float()
