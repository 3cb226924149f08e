from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from compressdefect.errors import ModelError
from compressdefect.train.activation import class_activation_map


class Plain(nn.Module):
    """Features are the pixels, the head averages them and weighs them per class: Zhou et al.'s map is exact here."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)

    def forward_features(self, pixels: Tensor) -> Tensor:
        return pixels.float()

    def forward_head(self, features: Tensor) -> Tensor:
        return features.mean(dim=(2, 3)) @ self.weight.T


def test_it_is_the_class_activation_map_of_a_pooled_linear_head() -> None:
    pixels = torch.randint(0, 255, (2, 3, 5, 7), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    weight = torch.tensor([[1.0, -0.5, 0.2], [-1.0, 2.0, 0.0]])
    expected = torch.einsum("nchw,c->nhw", pixels.float(), weight[1]).relu()
    expected /= expected.amax(dim=(1, 2), keepdim=True)
    np.testing.assert_allclose(class_activation_map(Plain(weight), pixels, 1), expected, rtol=1e-4, atol=1e-6)


def test_one_class_per_image_and_two_columns(network: Any) -> None:
    pixels = torch.randint(0, 255, (3, 1, 17, 13), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    network.train()
    maps = class_activation_map(network, pixels, torch.tensor([0, 1, 2]))
    assert maps.shape == (3, 17, 13)
    assert (maps >= 0).all()
    assert (maps <= 1).all()
    assert network.training
    assert all(parameter.grad is None for parameter in network.parameters())
    np.testing.assert_allclose(maps[1], class_activation_map(network, pixels[1:2], 1)[0], atol=1e-5)


def test_nothing_in_favour_is_an_empty_map() -> None:
    maps = class_activation_map(Plain(torch.tensor([[-1.0]])), torch.full((1, 1, 4, 4), 9, dtype=torch.uint8), 0)
    assert (maps == 0).all()


def test_tokens_are_refused() -> None:
    class Tokens(Plain):
        def forward_features(self, pixels: Tensor) -> Tensor:
            return pixels.float().flatten(2)

    with pytest.raises(ModelError, match=r"no maps \(N, C, h, w\)"):
        class_activation_map(Tokens(torch.ones(1, 1)), torch.zeros(1, 1, 4, 4, dtype=torch.uint8), 0)
