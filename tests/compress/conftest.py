"""Tiny trained things to compress."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from compressdefect.compress.stage import Bench
from compressdefect.data.images import Images
from compressdefect.data.split import Split
from compressdefect.models.design import Design
from compressdefect.models.designs import made_for, parse_design
from compressdefect.models.inspector import Inspector
from compressdefect.train.task import Aim, Task
from compressdefect.train.tasks import task_kind

SIDE, COUNT = 32, 48


@pytest.fixture(scope="session")
def plates() -> Images:
    """Grey noise, of which every other image has a bright square that is marked."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(60, 120, (COUNT, 1, SIDE, SIDE), dtype=np.uint8)
    masks = np.zeros((COUNT, SIDE, SIDE), dtype=np.uint8)
    for number in range(1, COUNT, 2):
        top, left = rng.integers(0, SIDE - 10, 2)
        masks[number, top : top + 10, left : left + 10] = 1
    pixels[:, 0][masks > 0] = 230
    names = tuple(f"{number}.png" for number in range(COUNT))
    return Images(
        pixels,
        labels=np.arange(COUNT) % 2,
        names=names,
        hashes=names,
        classes=("good", "spot"),
        groups=np.arange(COUNT),
        good=0,
        masks=masks,
        regions=("spot",),
    )


@pytest.fixture(scope="session")
def split() -> Split:
    order = np.arange(COUNT)
    return Split(order[:24], order[24:36], order[36:])


@pytest.fixture
def bench_for(plates: Images, split: Split, tmp_path: Path) -> Callable[[str], Bench]:
    """What stages of a task are measured on."""

    return lambda task: bench_on(plates, split, task, tmp_path)


def bench_on(images: Images, split: Split, task: str, folder: Path) -> Bench:
    """What stages of a task are measured on, with graphs in a folder."""
    return Bench(images, split, task_kind(task).on_images(images, Aim()), folder)


def trained(text: str, task: Task) -> tuple[Design, Inspector]:
    """A design with weights that answer something, and batch norms that have seen images."""
    design = made_for(parse_design(text), task.name)
    torch.manual_seed(0)
    bare = design.build(channels=1, heads=task.heads)
    network = Inspector.from_statistics(bare, [100.0], [50.0])
    with torch.no_grad():
        for module in bare.modules():
            if isinstance(module, nn.BatchNorm2d):
                nn.init.uniform_(module.weight, 0.5, 1.5)
                nn.init.normal_(module.bias, std=0.2)
        for _ in range(10):
            network.train()(torch.randint(0, 256, (8, 1, SIDE, SIDE), dtype=torch.uint8))
    return design, network.eval()
