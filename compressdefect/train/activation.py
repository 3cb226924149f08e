"""Where a network looked: its own masks, or class activation maps (Selvaraju et al., "Grad-CAM", 2017)."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from compressdefect.errors import ModelError


def class_activation_map(network: Any, pixels: Tensor, class_index: int | Tensor) -> NDArray[np.float32]:
    """Show what speaks for a class: ReLU(Σₖ αₖ·Aₖ) with αₖ = mean of ∂y/∂Aₖ over the map (equations 1 and 2).

    y is the class's logit, averaged over the head's columns, and A the output of ``forward_features``. Each map is
    scaled to a maximum of 1; a map with nothing in favour of the class stays 0.

    Args:
        network: has timm's ``forward_features`` (N, C, h, w) and ``forward_head``; its mode is left as it was.
        pixels: uint8 (N, C, H, W).
        class_index: one class for all images, or one per image (N,).

    Returns:
        Maps (N, H, W) in [0, 1].

    Raises:
        ModelError: the network's features are not maps (N, C, h, w).
    """
    was_training = network.training
    network.eval()
    with torch.enable_grad():
        features = network.forward_features(pixels).detach().requires_grad_()
        if features.ndim != 4:
            raise ModelError("the network's features are no maps (N, C, h, w)", got=tuple(features.shape))
        logits = network.forward_head(features)
        logits = logits.mean(dim=1) if logits.ndim == 3 else logits
        wanted = torch.as_tensor(class_index, device=logits.device).expand(len(pixels)).unsqueeze(1)
        (gradient,) = torch.autograd.grad(logits.gather(1, wanted).sum(), features)
    network.train(was_training)
    weighted = (gradient.mean(dim=(2, 3), keepdim=True) * features.detach()).sum(dim=1, keepdim=True).relu()
    maps = F.interpolate(weighted, size=pixels.shape[-2:], mode="bilinear", align_corners=False).squeeze(1)
    peak = maps.amax(dim=(1, 2), keepdim=True)
    return (maps / torch.where(peak > 0, peak, 1.0)).cpu().numpy()


def defect_masks(probabilities: Tensor, threshold: float | None) -> NDArray[np.bool_]:
    """Show what a segmentation network calls a defect: the pixels that alone would have the part rejected.

    Args:
        probabilities: (N, K, H, W), the background's first.
        threshold: of the operating point; without one, the pixels whose most probable class is a defect.

    Returns:
        Masks (N, H, W).
    """
    if threshold is None:
        return (probabilities.argmax(dim=1) > 0).numpy()
    return (1 - probabilities[:, 0].double() > threshold).numpy()
