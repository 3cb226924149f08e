from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import nn

from compressdefect.blocks.column import Column, ColumnStage
from compressdefect.blocks.condenser import Condenser, Condensing
from compressdefect.blocks.conv import Conv
from compressdefect.blocks.lw import KERNEL_SETS, MANY_CHANNELS, LWBottleneck, repeated
from compressdefect.blocks.wide import narrow, widen
from compressdefect.train.config import FitConfig, make_optimizer
from tests.contracts import trained_once

STAGES = {
    "equal": (Column("residual", (), Condensing()),) * 2,
    "different": (Column("separable", (3,), Condensing(pool=4)), Column("separable", (5,)), Column("inverted", (3, 2))),
    "two kinds, mixed": (Column("grouped", (4,)), Column("residual"), Column("grouped", (4,))),
    "narrow": (Column("inverted", (5, 3), Condensing(reduction=8, depth=2)),) * 3,
}


def shaken(module: Any) -> Any:
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
    return module.train()


BLOCKS: dict[str, Callable[[], Any]] = {
    **{
        f"{name}, exchange {exchange}": partial(ColumnStage, 8, 8, columns, depth=2, exchange=exchange)
        for name, columns in STAGES.items()
        for exchange in (0, 1)
    },
    **{
        f"{name}, stride {stride}": partial(LWBottleneck, 8, channels, KERNEL_SETS[name], stride)
        for name in KERNEL_SETS
        for channels, stride in ((8, 1), (12, 2))
        if name != "square"
    },
    "many channels": partial(LWBottleneck, MANY_CHANNELS, 8),
}


@pytest.mark.parametrize("make", BLOCKS.values(), ids=BLOCKS)
@pytest.mark.parametrize("size", [(7, 11), (12, 9)])
def test_a_training_form_trains_as_its_block_does(make: Callable[[], Any], size: tuple[int, int]) -> None:
    """Outputs, gradients and running statistics are equal to 1e-5, and so is what an optimizer makes of them."""
    plain = shaken(make())
    given_back = copy.deepcopy(plain)
    form = given_back.training_form()
    channels = next(layer for layer in plain.modules() if isinstance(layer, nn.Conv2d)).in_channels
    x = torch.randn(2, channels, *size, generator=torch.Generator().manual_seed(2))
    found, expected = (trained_once(module, x.to(memory_format=torch.channels_last)) for module in (form, plain))
    for name in ("output", "gradient"):
        rounding = 1e-5 * float(expected[name].abs().max())
        torch.testing.assert_close(found[name], expected[name], rtol=1e-5, atol=rounding)
    for module in (form, plain):
        make_optimizer(module, FitConfig(optimizer="sgd", learning_rate=0.01, weight_decay=0.1)).step()
    form.give_back(given_back)
    for (name, one), other in zip(given_back.state_dict().items(), plain.state_dict().values(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5, msg=name)


@pytest.mark.parametrize("make", BLOCKS.values(), ids=BLOCKS)
def test_a_training_form_that_learned_nothing_changes_nothing(make: Callable[[], Any]) -> None:
    block = shaken(make())
    before = copy.deepcopy(block.state_dict())
    form = block.training_form()
    for tensor in (*block.parameters(), *block.buffers()):
        tensor.detach().zero_()
    form.give_back(block)
    assert all(torch.equal(tensor, before[name]) for name, tensor in block.state_dict().items())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_repeated_maps_are_exact_copies(dtype: torch.dtype) -> None:
    x = torch.randn(2, 8, 5, 7).to(dtype).requires_grad_()
    copies = repeated(x, 3)
    assert torch.equal(copies, torch.cat([x] * 3, dim=1))
    (gradient,) = torch.autograd.grad(copies.sum(), x)
    assert torch.equal(gradient, torch.full_like(x, 3.0))


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


def test_what_runs_alone_stays_as_it_is() -> None:
    assert ColumnStage(8, 8, (Column(),), depth=2, exchange=0).training_form() is None
    assert LWBottleneck(8, 8, KERNEL_SETS["square"]).training_form() is None
