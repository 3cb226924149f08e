"""What a trained network answers, in the precision that ships."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from compressdefect.data.images import Images
from compressdefect.data.truth import Truth
from compressdefect.errors import TrainingError
from compressdefect.train.batches import affordable, gather
from compressdefect.train.task import Answers, Records, Task

CPU = torch.device("cpu")
QUICK = 16 * 224 * 224
"""Pixels that a CPU predicts at a time: 64 images of 224 × 224 take twice as long each as 16 or 32 do."""


Answering = Callable[[Tensor], Answers]  # uint8 pixels (n, C, H, W) → answers (n, …)


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
    device, was_training = _device(network), network.training
    network.eval()
    found = predict_by(_answering(network, task), images, indices, task, batch_size or _at_once(images, device), device)
    network.train(was_training)
    return found


@torch.inference_mode()
def predict_by(
    answering: Answering,
    images: Images,
    indices: NDArray[np.integer],
    task: Task,
    batch_size: int | None = None,
    device: torch.device = CPU,
) -> Records:
    """The task's records (n, …) of images that anything answers, be it a network or an exported graph.

    Args:
        answering: has the task's ``outputs``, on ``device``.
        images: all images.
        indices: those to predict (n,).
        task: makes records of answers.
        batch_size: images, or tiles, shown at a time; None is what a CPU is quick with.
        device: where the answers lie.
    """
    images = images if len(indices) else images.pieces  # of no image there are no tiles to join
    size, parts = batch_size or _at_once(images, device), []
    together = size if images.sizes is None else 1
    for start in range(0, max(len(indices), 1), together):
        chosen = indices[start : start + together]
        truth = Truth.of(images, chosen, task.needs).to(CPU if images.sizes is not None else device)
        parts.append(task.record(_joined(answering, images, chosen, task, size), truth))
    return np.concatenate(parts)


@torch.inference_mode()
def answers(network: nn.Module, images: Images, indices: NDArray[np.integer], task: Task) -> Answers:
    """What a network in evaluation mode says of a batch of images, or of one tiled image: its tiles' answers, joined.

    Returns:
        Tensors (n, …) on the network's device; of a tiled image (1, K, h, w) on the CPU, as large as its ``picture``.

    Raises:
        TrainingError: one is not finite: the network's weights are broken.
    """
    return _joined(_answering(network, task), images, indices, task, _at_once(images, _device(network)))


def _joined(answering: Answering, images: Images, indices: NDArray[np.integer], task: Task, size: int) -> Answers:
    rows = images.rows(indices)
    if images.sizes is None:
        return answering(gather(images, rows))
    (index,) = indices.tolist()
    batches = [answering(gather(images, rows[i : i + size])) for i in range(0, len(rows), size)]
    joined = {}
    for name in task.outputs:
        tiles = np.concatenate([batch[name].cpu().numpy() for batch in batches])
        joined[name] = torch.from_numpy(images.join(index, tiles).clip(0, 1)).unsqueeze(0)
    return joined


def _device(network: nn.Module) -> torch.device:
    return next((parameter.device for parameter in network.parameters()), CPU)


def _at_once(images: Images, device: torch.device) -> int:
    """How many images, or tiles, are predicted at a time."""
    _, height, width = images.shape
    quick = max(1, QUICK // (height * width))
    return min(affordable(images), quick) if device.type == "cpu" else affordable(images)


def _answering(network: nn.Module, task: Task) -> Answering:
    """Has a network's answers to pixels (n, C, H, W), on the network's device."""
    device = _device(network)

    def answering(pixels: Tensor) -> Answers:
        found = task.predict(network(pixels.to(device)))
        if not all(torch.isfinite(tensor).all() for tensor in found.values()):
            raise TrainingError(
                "training diverged: the network's answers are not finite", fix="lower the learning rate"
            )
        return found

    return answering
