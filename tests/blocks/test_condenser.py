"""The condenser against its equation, computed in numpy pixel by pixel from the block's weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from compressdefect.blocks.condenser import Condenser, Condensing

Array = np.ndarray


def condense(v: Array, pool: int) -> Array:
    """C: the largest value of each window; the last one is cut off at the border."""
    channels, height, width = v.shape
    rows, columns = range(0, height, pool), range(0, width, pool)
    windows = [[v[:, y : y + pool, x : x + pool].max(axis=(1, 2)) for x in columns] for y in rows]
    return np.array(windows).transpose(2, 0, 1).reshape(channels, len(rows), len(columns))


def convolve(maps: Array, weight: Array, bias: Array | None, groups: int) -> Array:
    """A convolution that keeps the map's size: each output is a sum over its group's window."""
    margin, inputs = weight.shape[-1] // 2, weight.shape[1]
    padded = np.pad(maps, ((0, 0), (margin, margin), (margin, margin)))
    size, found = weight.shape[-1], np.zeros((len(weight), *maps.shape[1:]))
    for k, kernel in enumerate(weight):
        first = k // (len(weight) // groups) * inputs
        for y, x in np.ndindex(maps.shape[1:]):
            window = padded[first : first + inputs, y : y + size, x : x + size]
            found[k, y, x] = (window * kernel).sum() + (0 if bias is None else bias[k])
    return found


def lively(block: nn.Module) -> None:
    """Give batch norms and the scale other numbers than those they start with."""
    with torch.no_grad():
        for module in block.modules():
            if isinstance(module, nn.BatchNorm2d):
                for tensor in (module.weight, module.running_var):
                    tensor.uniform_(0.5, 2)
                for tensor in (module.bias, module.running_mean):
                    tensor.normal_()
        block.scale.normal_()


@pytest.mark.parametrize(("pool", "height", "width"), [(2, 4, 6), (2, 5, 7), (4, 6, 9)])
def test_it_is_v_times_attention_times_scale_plus_v(pool: int, height: int, width: int) -> None:
    """V' = V ⊙ σ(X(E(C(V))))·S + V, of odd maps too."""
    torch.manual_seed(0)
    block = Condenser(6, Condensing(reduction=3, pool=pool, groups=2)).double().eval()
    lively(block)
    w = {name: tensor.numpy() for name, tensor in block.state_dict().items()}
    v = np.random.default_rng(0).normal(size=(6, height, width))
    embedded = convolve(condense(v, pool), w["embed.0.weight"], w["embed.0.bias"], groups=2)
    mixed = convolve(embedded, w["embed.1.0.weight"], None, groups=1).transpose(1, 2, 0)
    normed = (mixed - w["embed.1.1.running_mean"]) / np.sqrt(w["embed.1.1.running_var"] + 1e-5)
    key = np.maximum(normed * w["embed.1.1.weight"] + w["embed.1.1.bias"], 0).transpose(2, 0, 1)
    attention = 1 / (1 + np.exp(-convolve(key, w["expand.weight"], w["expand.bias"], groups=1)))
    grown = np.array([[attention[:, y // pool, x // pool] for x in range(width)] for y in range(height)])
    expected = v * grown.transpose(2, 0, 1) * w["scale"].reshape(6, 1, 1) + v
    with torch.no_grad():
        found = block(torch.from_numpy(v)[None])[0].numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12)


def test_the_scale_starts_at_one() -> None:
    assert torch.equal(Condenser(5).scale, torch.ones(1, 5, 1, 1))


def test_more_reduction_has_fewer_parameters() -> None:
    sizes = [sum(p.numel() for p in Condenser(32, Condensing(reduction=r)).parameters()) for r in (2, 4, 8)]
    assert sizes == sorted(sizes, reverse=True)
