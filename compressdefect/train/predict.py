"""Probabilities of a trained network, in the precision that ships."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from compressdefect.data.images import Images
from compressdefect.errors import TrainingError
from compressdefect.train.batches import gather
from compressdefect.train.task import Task


def predict(
    network: nn.Module, images: Images, indices: NDArray[np.integer], task: Task, batch_size: int = 64
) -> NDArray[np.float32]:
    """Predict images in evaluation mode and float32, on the network's device; its mode is left as it was.

    Returns:
        Probabilities (n, K).

    Raises:
        TrainingError: a probability is not finite: the network's weights are broken.
    """
    parts = [np.empty((0, len(task.classes)), dtype=np.float32)]
    device = next((parameter.device for parameter in network.parameters()), torch.device("cpu"))
    was_training = network.training
    network.eval()
    with torch.inference_mode():
        for start in range(0, len(indices), batch_size):
            pixels, _ = gather(images, indices[start : start + batch_size])
            parts.append(task.predict(network(pixels.to(device))).cpu().numpy())
    network.train(was_training)
    probabilities = np.concatenate(parts)
    if not np.isfinite(probabilities).all():
        raise TrainingError(
            "training diverged: the network's probabilities are not finite", fix="lower the learning rate"
        )
    return probabilities
