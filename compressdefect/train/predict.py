"""What a trained network answers, in the precision that ships."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

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

    Probabilities of one batch at a time are held in memory, of tiled images those of one image.

    Returns:
        The task's records (n, …), for classification the probabilities (n, K).

    Raises:
        TrainingError: a probability is not finite: the network's weights are broken.
    """
    images = images if len(indices) else images.pieces  # of no image there are no tiles to join
    size, parts = batch_size or affordable(images), []
    together = size if images.sizes is None else 1
    was_training = network.training
    network.eval()
    for start in range(0, max(len(indices), 1), together):
        chosen = indices[start : start + together]
        found = probabilities(network, images, chosen, task, size)
        parts.append(task.record(found, task.targets(images, chosen).to(found.device)))
    network.train(was_training)
    return np.concatenate(parts)


@torch.inference_mode()
def probabilities(
    network: nn.Module, images: Images, indices: NDArray[np.integer], task: Task, batch_size: int | None = None
) -> Tensor:
    """What a network in evaluation mode says of a batch of images, or of one tiled image: its tiles' answers, joined.

    Returns:
        Probabilities (n, …); of a tiled image (1, K, h, w), as large as its ``picture``.

    Raises:
        TrainingError: one is not finite: the network's weights are broken.
    """
    rows, size = images.rows(indices), batch_size or affordable(images)
    if images.sizes is None:
        return _answers(network, gather(images, rows), task)
    (index,) = indices.tolist()
    batches = (gather(images, rows[start : start + size]) for start in range(0, len(rows), size))
    tiles = np.concatenate([_answers(network, batch, task).cpu().numpy() for batch in batches])
    return torch.from_numpy(images.join(index, tiles).clip(0, 1)).unsqueeze(0)


def _answers(network: nn.Module, pixels: Tensor, task: Task) -> Tensor:
    """Probabilities (n, …) from pixels (n, C, H, W), on the network's device."""
    device = next((parameter.device for parameter in network.parameters()), torch.device("cpu"))
    found = task.predict(network(pixels.to(device)))
    if not torch.isfinite(found).all():
        raise TrainingError(
            "training diverged: the network's probabilities are not finite", fix="lower the learning rate"
        )
    return found
