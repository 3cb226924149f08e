"""The network and its normalisation as one."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from compressdefect.errors import ModelError
from compressdefect.models.designs import parse_design
from compressdefect.models.inspector import Inspector


def test_it_takes_raw_pixels() -> None:
    network = parse_design("lightdefectnet@0.5").build(channels=1, heads={"image": ("a", "b")})
    inspector = Inspector.from_statistics(network, [100.0], [50.0]).eval()
    pixels = torch.randint(0, 256, (2, 1, 33, 47), dtype=torch.uint8)
    with torch.no_grad():
        outputs = inspector(pixels)
        torch.testing.assert_close(outputs, network((pixels.float() - 100) / 50), rtol=1e-4, atol=1e-5)
        assert torch.equal(inspector.forward_head(inspector.forward_features(pixels)), outputs)


def test_timm_networks_have_the_same_two_halves() -> None:
    inspector = Inspector.from_statistics(
        parse_design("timm:resnet10t").build(channels=3, heads={"image": tuple("abcde")}), [0.0] * 3, [1.0] * 3
    )
    pixels = torch.randint(0, 256, (1, 3, 64, 64), dtype=torch.uint8)
    with torch.no_grad():
        features = inspector.eval().forward_features(pixels)
        assert features.dim() == 4
        assert torch.equal(inspector.forward_head(features), inspector(pixels))


def test_a_network_without_two_halves_has_no_maps() -> None:
    inspector = Inspector.from_statistics(nn.Flatten(), [0.0], [1.0])
    with pytest.raises(ModelError, match="no last feature map: got Flatten"):
        inspector.forward_features(torch.zeros(1, 1, 2, 2))
