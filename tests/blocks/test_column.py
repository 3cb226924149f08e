"""Columns: what meets what, and when."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from compressdefect.blocks.column import Column, ColumnStage, meetings


@pytest.mark.parametrize(
    ("columns", "depth", "exchange", "expected"),
    [(2, 3, 0, (3,)), (2, 3, 1, (1, 1, 1)), (3, 3, 2, (2, 1)), (2, 2, 2, (2,)), (1, 3, 1, (3,)), (2, 1, 2, (1,))],
)
def test_meetings(columns: int, depth: int, exchange: int, expected: tuple[int, ...]) -> None:
    assert meetings(columns, depth, exchange) == expected


@pytest.mark.parametrize(("exchange", "crosses"), [(0, False), (1, True)])
def test_columns_see_each_other_only_through_an_exchange(exchange: int, crosses: bool) -> None:
    torch.manual_seed(0)
    stage = ColumnStage(6, 4, (Column(), Column()), depth=2, exchange=exchange).train()
    for layer in stage.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.ones_(layer.weight)
    features = stage(torch.randn(2, 6, 5, 5))
    features[:, :4].square().sum().backward()
    reader_of_second = stage.meetings[0][1][0][0].weight.grad
    assert bool(reader_of_second.abs().sum() > 0) is crosses
