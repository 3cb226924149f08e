"""Normalisation against its formula."""

from __future__ import annotations

import torch

from compressdefect.blocks.normalize import Normalize, normalize_cost


def test_uint8_and_float_pixels_give_the_same() -> None:
    pixels = torch.randint(0, 256, (2, 3, 5, 7), dtype=torch.uint8)
    mean, std = torch.tensor([10.0, 100.0, 200.0]), torch.tensor([1.0, 50.0, 70.0])
    normalize = Normalize(mean.tolist(), std.tolist())
    expected = (pixels.double() - mean.view(1, 3, 1, 1)) / std.view(1, 3, 1, 1)
    torch.testing.assert_close(normalize(pixels), expected.float(), rtol=1e-4, atol=1e-4)
    assert torch.equal(normalize(pixels), normalize(pixels.float()))


def test_statistics_are_stored_with_the_weights() -> None:
    assert set(Normalize([0.0], [1.0]).state_dict()) == {"scale", "shift"}


def test_two_float_maps_are_live_at_once() -> None:
    assert normalize_cost((3, 10, 20)).peak == 2 * 4 * 3 * 10 * 20
