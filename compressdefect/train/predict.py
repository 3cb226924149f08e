"""What a trained network answers, in the precision that ships."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from compressdefect.data.images import Images
from compressdefect.errors import TrainingError
from compressdefect.train.batches import affordable, gather
from compressdefect.train.task import Records, Task


def predict(
    network: nn.Module,
    images: Images,
    indices: NDArray[np.integer],
    task: Task,
    batch_size: int | None = None,
) -> Records:
    """Predict images in evaluation mode and float32, on the network's device; its mode is left as it was.

    Probabilities of one batch at a time are held in memory.

    Returns:
        The task's records (n, …), for classification the probabilities (n, K).

    Raises:
        TrainingError: a probability is not finite: the network's weights are broken.
    """
    size, parts = batch_size or affordable(images), []
    device = next((parameter.device for parameter in network.parameters()), torch.device("cpu"))
    was_training = network.training
    network.eval()
    with torch.inference_mode():
        for start in range(0, max(len(indices), 1), size):
            chosen = indices[start : start + size]
            probabilities = task.predict(network(gather(images, chosen).to(device)))
            if not torch.isfinite(probabilities).all():
                raise TrainingError(
                    "training diverged: the network's probabilities are not finite", fix="lower the learning rate"
                )
            parts.append(task.record(probabilities, task.targets(images, chosen).to(device)))
    network.train(was_training)
    return np.concatenate(parts)
