"""BlurPool against its definition."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from compressdefect.blocks.blurpool import BlurPool

FILTERS = {3: [1, 2, 1], 4: [1, 3, 3, 1], 5: [1, 4, 6, 4, 1]}  # Zhang (2019), section 4


@pytest.mark.parametrize("kernel", FILTERS)
def test_filter_is_the_papers(kernel: int) -> None:
    row = torch.tensor(FILTERS[kernel], dtype=torch.float32)
    expected = torch.outer(row, row) / row.sum() ** 2
    found = BlurPool(2, kernel).filter
    assert found.shape == (1, 1, kernel, kernel)  # one for all channels
    torch.testing.assert_close(found[0, 0], expected)


@pytest.mark.parametrize("kernel", FILTERS)
@pytest.mark.parametrize("size", [(1, 1), (2, 3), (8, 8), (9, 6)])
def test_a_constant_map_stays_constant_up_to_the_border(kernel: int, size: tuple[int, int]) -> None:
    output = BlurPool(3, kernel)(torch.full((1, 3, *size), 2.5))
    assert output.shape[-2:] == (-(-size[0] // 2), -(-size[1] // 2))
    torch.testing.assert_close(output, torch.full_like(output, 2.5))


def test_a_shift_of_two_pixels_is_a_shift_of_one() -> None:
    x = functional.pad(torch.rand(1, 1, 8, 8), (8, 8, 8, 8))
    pool = BlurPool(1, 3)
    torch.testing.assert_close(pool(x.roll(2, dims=-1)), pool(x).roll(1, dims=-1))


def test_it_adds_nothing_to_a_checkpoint() -> None:
    assert not BlurPool(4).state_dict()


def test_a_float_map_trains_under_autocast() -> None:
    x = torch.randn(2, 4, 6, 8, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        y = BlurPool(4)(x)
    y.sum().backward()
    assert y.dtype == torch.bfloat16
    assert x.grad is not None
    assert x.grad.dtype == torch.float32
