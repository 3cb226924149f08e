from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from compressdefect.blocks.column import Column, ColumnStage, WideStage
from compressdefect.train.training_form import training_form


@pytest.fixture
def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 1), nn.Sequential(ColumnStage(4, 4, (Column(),) * 2, depth=1, exchange=0)))


def test_blocks_are_exchanged_for_a_while(network: nn.Module) -> None:
    stage, before = network[1][0], copy.deepcopy(network.state_dict())  # type: ignore[index]
    with training_form(network):
        assert isinstance(network[1][0], WideStage)  # type: ignore[index]
        network.eval()
        for parameter in network.parameters():
            parameter.data += 1
    assert network[1][0] is stage  # type: ignore[index]
    assert not stage.training
    for name, tensor in network.state_dict().items():
        changed = tensor.is_floating_point() and "running" not in name
        torch.testing.assert_close(tensor, before[name] + changed)


def test_an_error_leaves_the_network_as_it_was_with_what_it_has_learned(network: nn.Module) -> None:
    stage = network[1][0]  # type: ignore[index]

    def interrupted() -> None:
        network[1][0].readers[0][0].weight.data.fill_(7.0)  # type: ignore[index]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), training_form(network):
        interrupted()
    assert network[1][0] is stage  # type: ignore[index]
    assert all((path[0][0].weight == 7.0).all() for path in stage.meetings[0])
