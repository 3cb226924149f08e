"""What a trained network answers, in the precision that ships."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from compressdefect.data.images import Images
from compressdefect.data.truth import Truth
from compressdefect.errors import TrainingError
from compressdefect.train.batches import affordable, gather
from compressdefect.train.task import Answers, Records, Task

QUICK = 16 * 224 * 224
"""Pixels that a CPU predicts at a time: 64 images of 224 × 224 take twice as long each as 16 or 32 do."""


def predict(
    network: nn.Module,
    images: Images,
    indices: NDArray[np.integer],
    task: Task,
    batch_size: int | None = None,
) -> Records:
    """Predict images in evaluation mode and float32, on the network's device; its mode is left as it was.

    The answers of one batch at a time are held in memory, of tiled images those of one image.

    Returns:
        The task's records (n, …), for classification the probabilities (n, K).

    Raises:
        TrainingError: an answer is not finite: the network's weights are broken.
    """
    images = images if len(indices) else images.pieces  # of no image there are no tiles to join
    device, parts = _device(network), []
    size = batch_size or _at_once(images, device)
    together = size if images.sizes is None else 1
    was_training = network.training
    network.eval()
    for start in range(0, max(len(indices), 1), together):
        chosen = indices[start : start + together]
        truth = Truth.of(images, chosen, task.needs).to("cpu" if images.sizes is not None else device)
        parts.append(task.record(answers(network, images, chosen, task, size), truth))
    network.train(was_training)
    return np.concatenate(parts)


@torch.inference_mode()
def answers(
    network: nn.Module, images: Images, indices: NDArray[np.integer], task: Task, batch_size: int | None = None
) -> Answers:
    """What a network in evaluation mode says of a batch of images, or of one tiled image: its tiles' answers, joined.

    Returns:
        Tensors (n, …) on the network's device; of a tiled image (1, K, h, w) on the CPU, as large as its ``picture``.

    Raises:
        TrainingError: one is not finite: the network's weights are broken.
    """
    rows, size = images.rows(indices), batch_size or _at_once(images, _device(network))
    if images.sizes is None:
        return _answers(network, gather(images, rows), task)
    (index,) = indices.tolist()
    batches = [_answers(network, gather(images, rows[i : i + size]), task) for i in range(0, len(rows), size)]
    joined = {}
    for name in task.outputs:
        tiles = np.concatenate([batch[name].cpu().numpy() for batch in batches])
        joined[name] = torch.from_numpy(images.join(index, tiles).clip(0, 1)).unsqueeze(0)
    return joined


def _device(network: nn.Module) -> torch.device:
    return next((parameter.device for parameter in network.parameters()), torch.device("cpu"))


def _at_once(images: Images, device: torch.device) -> int:
    """How many images, or tiles, are predicted at a time."""
    _, height, width = images.shape
    quick = max(1, QUICK // (height * width))
    return min(affordable(images), quick) if device.type == "cpu" else affordable(images)


def _answers(network: nn.Module, pixels: Tensor, task: Task) -> Answers:
    """Answers (n, …) to pixels (n, C, H, W), on the network's device."""
    found = task.predict(network(pixels.to(_device(network))))
    if not all(torch.isfinite(tensor).all() for tensor in found.values()):
        raise TrainingError("training diverged: the network's answers are not finite", fix="lower the learning rate")
    return found
