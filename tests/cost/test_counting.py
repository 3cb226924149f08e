"""Counts against hand calculation and published figures."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from compressdefect.cost.counting import count, ptflops, trace_macs, trainable
from compressdefect.models import pretrained


def small_net() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.SiLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 5),
    )


def test_a_small_net_by_hand() -> None:
    found = count(small_net(), (3, 6, 10))
    assert found.params == (3 * 4 * 9 + 4) + 8 + (4 * 5 + 5)
    assert found.macs == 3 * 4 * 9 * 60 + 4 * 5
    assert found.uncounted == ("silu",)
    assert found.peak_bytes == 3 * 4 * (4 * 60)  # SiLU is x * sigmoid(x): three maps of four channels


def test_ptflops_by_hand() -> None:
    pixels = 6 * 10
    expected = (3 * 4 * 9 * pixels + 4 * 5) + 4 * pixels + 2 * 4 * pixels + 4 * pixels
    assert ptflops(small_net(), (3, 6, 10)) == expected


def test_counting_leaves_the_network_as_it_was() -> None:
    net = small_net().train()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    trace_macs(net, (3, 8, 8))
    ptflops(net, (3, 8, 8))
    assert net.training
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


# Parameters and macs at 224² with 1000 classes, as their papers and timm's results table print them.
PUBLISHED = {"resnet50": (25.6, 4.1), "efficientnet_b0": (5.3, 0.39), "mobilenetv3_large_100": (5.5, 0.22)}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_networks(name: str) -> None:
    net = pretrained.build(name, channels=3, heads={"image": ("class",) * 1000})
    params, macs = PUBLISHED[name]
    assert round(trainable(net) / 1e6, 1) == params
    assert trace_macs(net, (3, 224, 224))[0] / 1e9 == pytest.approx(macs, rel=0.03)
