"""The condenser against its equation."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from compressdefect.blocks.condenser import Condenser, Condensing


@pytest.mark.parametrize("pool", [2, 4])
def test_it_is_v_times_attention_plus_v(pool: int) -> None:
    torch.manual_seed(0)
    block = Condenser(6, Condensing(reduction=3, pool=pool, groups=2)).eval()
    with torch.no_grad():
        block.scale += torch.randn_like(block.scale)
    v = torch.randn(2, 6, 8, 12)
    attention = block.expand(block.embed(functional.max_pool2d(v, pool)))
    expanded = functional.interpolate(attention, size=v.shape[-2:], mode="nearest")
    torch.testing.assert_close(block(v), v * expanded.sigmoid() * block.scale + v)


def test_the_scale_starts_at_one() -> None:
    assert torch.equal(Condenser(5).scale, torch.ones(1, 5, 1, 1))


def test_more_reduction_has_fewer_parameters() -> None:
    sizes = [sum(p.numel() for p in Condenser(32, Condensing(reduction=r)).parameters()) for r in (2, 4, 8)]
    assert sizes == sorted(sizes, reverse=True)
