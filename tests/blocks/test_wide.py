from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from compressdefect.blocks.column import Column, ColumnStage
from compressdefect.blocks.condenser import Condenser, Condensing
from compressdefect.blocks.conv import Conv
from compressdefect.blocks.wide import narrow, widen
from tests.contracts import trained_once

STAGES = {
    "equal": (Column("residual", (), Condensing()),) * 2,
    "different": (Column("separable", (3,), Condensing(pool=4)), Column("separable", (5,)), Column("inverted", (3, 2))),
    "two kinds, mixed": (Column("grouped", (4,)), Column("residual"), Column("grouped", (4,))),
    "narrow": (Column("inverted", (5, 3), Condensing(reduction=8, depth=2)),) * 3,
}


def shaken(module: nn.Module) -> nn.Module:
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
    return module.train()


@pytest.mark.parametrize("columns", STAGES.values(), ids=STAGES)
@pytest.mark.parametrize("exchange", [0, 1])
@pytest.mark.parametrize("size", [(7, 11), (12, 9)])
def test_a_wide_stage_trains_as_its_columns_do(
    columns: tuple[Column, ...], exchange: int, size: tuple[int, int]
) -> None:
    """Outputs, gradients and running statistics are equal to 1e-5, and so is what an optimizer makes of them."""
    plain = shaken(ColumnStage(8, 8, columns, depth=2, exchange=exchange))
    given_back = copy.deepcopy(plain)
    wide = given_back.training_form()
    assert wide is not None
    x = torch.randn(2, 8, *size, generator=torch.Generator().manual_seed(2)).to(memory_format=torch.channels_last)
    found, expected = (trained_once(module, x) for module in (wide, plain))
    for name in ("output", "gradient"):
        torch.testing.assert_close(
            found[name], expected[name], rtol=1e-5, atol=1e-5 * float(expected[name].abs().max())
        )
    for module in (wide, plain):
        torch.optim.SGD(module.parameters(), lr=0.01).step()
    wide.give_back(given_back)
    for (name, one), other in zip(given_back.state_dict().items(), plain.state_dict().values(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5, msg=name)


@pytest.mark.parametrize("shared", [False, True])
def test_widening_and_narrowing_changes_nothing(shared: bool) -> None:
    convolutions = [shaken(Conv(4, 6, kernel=1)) for _ in range(3)]
    before = [copy.deepcopy(one.state_dict()) for one in convolutions]
    wide = widen(convolutions, shared=shared)
    for one in convolutions:
        for parameter in one.parameters():
            nn.init.zeros_(parameter)
    narrow(wide, convolutions)
    for one, state in zip(convolutions, before, strict=True):
        assert all(torch.equal(tensor, state[name]) for name, tensor in one.state_dict().items())


def test_a_condenser_of_one_inner_channel_is_widened() -> None:
    """Its convolutions have weights (1, C, 1, 1), shaped like its scale."""
    pair = [shaken(Condenser(4, Condensing(reduction=4))).eval() for _ in range(2)]
    x = torch.randn(2, 8, 5, 6)
    apart = torch.cat([one(part) for one, part in zip(pair, x.chunk(2, dim=1), strict=True)], dim=1)
    torch.testing.assert_close(widen(pair)(x), apart)


def test_one_column_stays_as_it_is() -> None:
    assert ColumnStage(8, 8, (Column(),), depth=2, exchange=0).training_form() is None
