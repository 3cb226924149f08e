from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from compressdefect.data.images import Images
from compressdefect.train.calibrate import calibrate


def test_statistics_are_those_of_the_images(network: Any, images: Images) -> None:
    state, weights = torch.get_rng_state(), network.head.weight.detach().clone()
    norm = network.body[1]
    norm.running_mean.fill_(9.0)
    network.train()
    calibrate(network, images, np.arange(30), limit=1000)
    with torch.no_grad():
        maps = network.body[0](torch.from_numpy(images.pixels[:30]).float() / 128 - 1)
    torch.testing.assert_close(norm.running_mean, maps.mean(dim=(0, 2, 3)), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(norm.running_var, maps.transpose(0, 1).flatten(1).var(dim=1), rtol=1e-4, atol=1e-5)
    assert network.training
    assert norm.momentum == nn.BatchNorm2d(1).momentum
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(network.head.weight, weights)


def test_no_more_images_than_allowed(network: Any, images: Images) -> None:
    calibrate(network, images, np.arange(48), limit=10)
    seen = network.body[1].running_mean.clone()
    calibrate(network, images, np.arange(48), limit=48)
    assert not torch.equal(network.body[1].running_mean, seen)


def test_a_network_without_normalisation_is_left_alone(images: Images) -> None:
    network = nn.Conv2d(images.shape[0], 2, 3)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    calibrate(network, images, np.arange(4), limit=4)
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())
