"""Tiny images that a tiny network can tell apart: class 0 (good) is dark, class 1 bright, class 2 striped."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from compressdefect.data.images import Images
from compressdefect.data.tiles import Tiling


class TinyNetwork(nn.Module):
    """Raw pixels → logits (N, heads, K), with timm's two halves."""

    def __init__(self, *, heads: int = 2, classes: int = 3) -> None:
        super().__init__()
        self.heads, self.classes = heads, classes
        self.body = nn.Sequential(nn.Conv2d(1, 8, 3, stride=2, padding=1), nn.BatchNorm2d(8), nn.ReLU())
        self.dropout = nn.Dropout(0.1)
        self.head = nn.Linear(8, heads * classes)

    def forward_features(self, pixels: Tensor) -> Tensor:
        return self.body(pixels.float() / 128 - 1)

    def forward_head(self, features: Tensor) -> Tensor:
        logits = self.head(self.dropout(features.mean(dim=(2, 3))))
        return logits.unflatten(1, (self.heads, self.classes))

    def forward(self, pixels: Tensor) -> Tensor:
        return self.forward_head(self.forward_features(pixels))


@pytest.fixture
def images() -> Images:
    rng = np.random.default_rng(0)
    labels = np.arange(48) % 3
    pixels = rng.integers(0, 60, (48, 1, 16, 16), dtype=np.uint8)
    pixels[labels == 1] += 150
    pixels[labels == 2, :, ::4] += 190
    names = tuple(f"{i}.png" for i in range(48))
    return Images(
        pixels,
        labels=labels,
        names=names,
        hashes=names,
        classes=("good", "bright", "striped"),
        groups=np.arange(48),
        good=0,
    )


@pytest.fixture
def network() -> TinyNetwork:
    torch.manual_seed(0)
    return TinyNetwork()


class Ticks:
    """A clock that moves one second each time it is read."""

    now = 0.0

    def __call__(self) -> float:
        self.now += 1.0
        return self.now


@pytest.fixture
def ticks() -> Ticks:
    return Ticks()


@pytest.fixture
def tiny_network() -> type[TinyNetwork]:
    return TinyNetwork


class TinyDecoder(nn.Module):
    """Raw pixels → logits (N, K, H, W)."""

    def __init__(self, *, classes: int = 3) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU())
        self.head = nn.Conv2d(8, classes, 1)

    def forward(self, pixels: Tensor) -> Tensor:
        return self.head(self.body(pixels.float() / 128 - 1))


@pytest.fixture
def marked() -> Images:
    """The same plates with a bright scratch on every second and a dark spot on every fourth; the rest is good."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(90, 110, (48, 1, 16, 16), dtype=np.uint8)
    masks = np.zeros((48, 16, 16), dtype=np.uint8)
    for i in range(1, 48, 2):
        y, x = rng.integers(2, 10, 2)
        place = (i, slice(y, y + 2), slice(x, x + 5))
        kind = 1 + (i % 4 == 3)
        masks[place], pixels[i, 0][place[1:]] = kind, 250 if kind == 1 else 5
    return _every_second_defective(pixels, masks)


@pytest.fixture
def webs() -> tuple[Images, Images]:
    """Twelve webs of 24 × 40 pixels, every second with a spot or a scratch along it: in tiles of 16 × 16, and whole."""
    rng = np.random.default_rng(0)
    pixels, masks = rng.integers(90, 110, (12, 1, 24, 40), dtype=np.uint8), np.zeros((12, 24, 40), dtype=np.uint8)
    masks[1::4, 13:15, 6:36], masks[3::4, 3:6, 27:30] = 1, 2
    pixels[:, 0][masks == 1], pixels[:, 0][masks == 2] = 250, 5
    whole, sizes = _every_second_defective(pixels, masks), np.array([[24, 40]] * 12)
    tiling = Tiling.of(24, 40, 16)
    tiles = [np.concatenate([tiling.cut(picture) for picture in pictures]) for pictures in (pixels, masks)]
    return replace(whole, pixels=tiles[0], masks=tiles[1], sizes=sizes, tile=16), whole


@pytest.fixture
def tiny_decoder() -> type[TinyDecoder]:
    return TinyDecoder


def _every_second_defective(pixels: np.ndarray, masks: np.ndarray) -> Images:
    """Images that are alone in their groups; those with an odd number have a scratch (1) or a spot (2) in the mask."""
    numbers = np.arange(len(pixels))
    names = tuple(f"{number}.png" for number in numbers)
    return Images(
        pixels,
        labels=numbers % 2,
        names=names,
        hashes=names,
        classes=("good", "defect"),
        groups=numbers,
        good=0,
        masks=masks,
        regions=("scratch", "spot"),
    )
