"""Each effect against its formula."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from compressdefect.data.augment.effects import Blur, Effect, Illumination, Noise


def _pixels(count: int = 6, channels: int = 1, height: int = 24, width: int = 40) -> torch.Tensor:
    return torch.rand(count, channels, height, width, generator=_generator(7)) * 255


def _generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("effect", [Blur(), Noise(), Illumination()], ids=lambda effect: type(effect).__name__)
def test_shape_seed_and_a_draw_for_each_picture(effect: Effect, channels: int) -> None:
    pixels = _pixels(1, channels).repeat(6, 1, 1, 1)
    before = pixels.clone()
    changed = effect(pixels, _generator())
    assert changed.shape == pixels.shape
    assert torch.equal(pixels, before)
    assert torch.equal(changed, effect(pixels, _generator()))
    assert len(changed.flatten(1).unique(dim=0)) == 6


@pytest.mark.parametrize("sigma", [0.4, 1.0, 2.0])
def test_blur_is_scipys_gaussian_filter(sigma: float) -> None:
    pixels = _pixels(channels=3)
    blurred = Blur(sigma, sigma)(pixels, _generator())
    reach = int(np.ceil(3 * sigma))
    expected = gaussian_filter(pixels.numpy(), (0, 0, sigma, sigma), mode="mirror", radius=(0, 0, reach, reach))
    np.testing.assert_allclose(blurred.numpy(), expected, atol=1e-2)


def test_blur_keeps_an_even_picture_however_small() -> None:
    assert torch.allclose(Blur()(torch.full((2, 1, 3, 2), 80.0), _generator()), torch.tensor(80.0))


def test_noise_has_the_spread_that_was_drawn() -> None:
    noise = Noise(10)(torch.zeros(200, 1, 50, 50), _generator()).flatten(1)
    assert noise.mean(dim=1).abs().max() < 1
    spread = noise.std(dim=1)
    assert 9 < spread.max() < 10.5
    assert spread.min() < 1
    assert spread.mean() == pytest.approx(5, abs=0.6)


def test_illumination_changes_level_contrast_and_slope_within_bounds() -> None:
    even = torch.full((300, 1, 21, 31), 100.0)
    brighter = Illumination(0.1, 0, 0)(even, _generator())
    assert 24 < (brighter - 100).abs().max() <= 25.5
    pixels = _pixels(300)
    contrasted = Illumination(0, 0.3, 0)(pixels, _generator())
    ratio = contrasted.flatten(1).std(dim=1) / pixels.flatten(1).std(dim=1)
    assert 0.7 <= ratio.min() < 0.72
    assert 1.28 < ratio.max() <= 1.3001
    assert torch.allclose(contrasted.mean(dim=(1, 2, 3)), pixels.mean(dim=(1, 2, 3)), atol=0.01)
    sloped = Illumination(0, 0, 0.4)(even, _generator())
    assert torch.allclose(sloped[:, 0, 10, 15], torch.tensor(100.0), atol=1e-3)
    assert 130 < sloped.max() <= 140 + 1e-3
    assert sloped.diff(n=2, dim=3).abs().max() < 1e-3
