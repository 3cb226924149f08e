from __future__ import annotations

import pytest
import torch
from torch import nn

from compressdefect.blocks.batch_norm import MANY_VALUES, BatchNorm, folds

LARGE = (16, 8, 56, 56)


def maps(*shape: int, seed: int = 0) -> torch.Tensor:
    made = torch.randn(shape, generator=torch.Generator().manual_seed(seed)) * 2 + 1
    return made.to(memory_format=torch.channels_last)


def test_only_large_maps_of_few_channels_in_channels_last_are_folded() -> None:
    assert folds(maps(*LARGE)) == 8
    assert folds(maps(16, 12, 56, 56)) == 4
    assert folds(maps(16, 16, 56, 56)) == folds(maps(*LARGE).contiguous()) == folds(maps(2, 8, 56, 56)) == 1
    assert maps(2, 8, 56, 56).numel() < MANY_VALUES


def test_the_pixels_must_fill_whole_rows() -> None:
    assert folds(maps(15, 8, 57, 57)) == 1
    assert folds(maps(15, 8, 58, 57)) == 2


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("momentum", [0.1, None])
def test_a_folded_map_is_normalised_as_pytorch_does(dtype: torch.dtype, momentum: float | None) -> None:
    """Twice, so that running statistics have been averaged; float64 is the truth for both."""
    results = []
    for norm, kind in ((BatchNorm(8), dtype), (nn.BatchNorm2d(8).double(), torch.float64)):
        norm.momentum = momentum
        with torch.no_grad():
            norm.weight.copy_(torch.linspace(0.5, 2, 8))
            norm.bias.copy_(torch.linspace(-1, 1, 8))
        for seed in (0, 1):
            x = maps(*LARGE, seed=seed).to(dtype).to(kind).requires_grad_()
            y = norm(x)
        y.backward(maps(*LARGE, seed=2).to(dtype).to(kind))
        results.append((y.detach(), x.grad, norm.weight.grad, norm.bias.grad, *norm.buffers()))
    limit = 5e-5 if dtype == torch.float32 else 8e-3  # PyTorch's own float32 is off by 1.3e-4
    for found, expected in zip(*results, strict=True):
        torch.testing.assert_close(
            found.double(), expected.double(), rtol=limit, atol=limit * float(expected.abs().max())
        )


def test_evaluation_uses_the_running_statistics() -> None:
    ours, theirs = BatchNorm(8).eval(), nn.BatchNorm2d(8).eval()
    assert torch.equal(ours(maps(*LARGE)), theirs(maps(*LARGE)))
