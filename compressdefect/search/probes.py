"""How much a short training's score depends on each stage of its network."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from compressdefect.search.rungs import Course
from compressdefect.train.predict import predict
from compressdefect.train.task import Task

PROBED = 128  # images at most
_STAGE = re.compile(r"stage\d+")


def probe(network: nn.Module, track: Course, task: Task) -> dict[str, float]:
    """By stage, how far the score falls when noise as large as its output's own spread is added to that output.

    Our reading of the inquisitor that stimulates parts of a network and observes what comes of it (Wong et al., 2018).

    Args:
        network: as it was trained.
        track: the images that it was trained and is scored on.
        task: scores the answers.
    """
    rows = track.scored[:: math.ceil(len(track.scored) / PROBED)]
    labels = task.labels(track.images, rows)

    def score() -> float:
        return task.fine_score(predict(network, track.images, rows, task), labels)

    plain, drops = score(), {}
    for name, module in _stages(network):
        handle = module.register_forward_hook(_Noise())
        drops[name] = round(plain - score(), 6)
        handle.remove()
    return drops


class _Noise:
    """A forward hook that adds the same noise every time that it is made anew."""

    def __init__(self) -> None:
        self._generator = torch.Generator().manual_seed(0)

    def __call__(self, module: nn.Module, given: object, out: Tensor) -> Tensor:
        return out + out.std() * torch.randn(out.shape, generator=self._generator, dtype=out.dtype)


def _stages(network: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """What each stage runs last."""
    for path, stage in network.named_modules():
        name = path.rpartition(".")[-1]
        if _STAGE.fullmatch(name):
            yield name, [*stage.children()][-1]
