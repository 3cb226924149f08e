"""Channels taken out of networks."""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn

from compressdefect.blocks.condenser import Condenser
from compressdefect.blocks.depthwise import DepthwiseConv2d
from compressdefect.cost.counting import trace_macs, trainable
from compressdefect.errors import ModelError
from compressdefect.models.designs import parse_design, read_design
from compressdefect.models.edited_design import EditedDesign
from compressdefect.models.edits import Kept, apply_edits, edits_from_json, edits_to_json

EDITS = {"0": Kept(outputs=(0, 2)), "1": Kept(outputs=(0, 2)), "3": Kept(inputs=(0, 2))}


def chain() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 3, 3)).eval()


def test_channels_that_are_zero_can_go_without_a_trace() -> None:
    network, x = chain(), torch.rand(2, 1, 9, 9)
    for index in (1, 3):
        nn.init.zeros_(network[0].weight[index].detach())
        nn.init.zeros_(network[0].bias[index : index + 1].detach())
    whole = network(x)
    apply_edits(network, EDITS)
    torch.testing.assert_close(network(x), whole)
    assert network[0].weight.shape == (2, 1, 3, 3)
    assert network[1].running_var.shape == (2,)
    assert trainable(network) == (2 * 9 + 2) + 4 + (3 * 2 * 9 + 3)


def test_a_grouped_convolution_loses_as_many_channels_of_each_group() -> None:
    torch.manual_seed(0)
    layer, x = nn.Conv2d(4, 6, 3, groups=2), torch.rand(1, 4, 5, 5)
    before = layer(x * torch.tensor([1.0, 0, 0, 1]).view(1, 4, 1, 1))
    apply_edits(nn.Sequential(layer), {"0": Kept(inputs=(0, 3), outputs=(0, 1, 4, 5))})
    assert (layer.in_channels, layer.out_channels, layer.weight.shape) == (2, 4, (4, 1, 3, 3))
    torch.testing.assert_close(layer(x[:, [0, 3]]), before[:, [0, 1, 4, 5]])


@pytest.mark.parametrize("kept", [Kept(inputs=(0, 1)), Kept(outputs=(0, 1, 2, 3))])
def test_groups_of_different_sizes_are_refused(kept: Kept) -> None:
    with pytest.raises(ModelError, match="groups of 0 would differ in size"):
        apply_edits(nn.Sequential(nn.Conv2d(4, 6, 3, groups=2)), {"0": kept})


def test_a_depthwise_convolution_loses_what_it_reads() -> None:
    layer, x = DepthwiseConv2d(4, (3, 3)).eval(), torch.rand(1, 4, 5, 5)
    whole = layer(x)
    apply_edits(nn.Sequential(layer), {"0": Kept(outputs=(1, 2))})
    torch.testing.assert_close(layer(x[:, 1:3]), whole[:, 1:3])
    assert layer.groups == layer.in_channels == 2


def test_a_condenser_keeps_the_scale_of_its_channels() -> None:
    network = Condenser(8)
    nn.init.normal_(network.scale)
    scale = network.scale.detach().clone()
    apply_edits(nn.Sequential(network), {"0": Kept(outputs=(1, 7))})
    torch.testing.assert_close(network.scale.detach(), scale[:, [1, 7]])


@pytest.mark.parametrize(
    ("edits", "message"),
    [
        ({"9": Kept(outputs=(0,))}, "does not have: got 9"),
        ({"2": Kept(outputs=(0,))}, "no channels can be cut from 2: got ReLU"),
        ({"0": Kept(outputs=(0, 4))}, "keeps channels that it does not have"),
        ({"0": Kept(outputs=(2, 0))}, "keeps channels that it does not have"),
        ({"0": Kept(outputs=())}, "keeps channels that it does not have"),
    ],
)
def test_an_edit_that_does_not_fit_is_refused(edits: dict[str, Kept], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        apply_edits(chain(), edits)


def test_edits_survive_json() -> None:
    assert edits_from_json(json.loads(json.dumps(edits_to_json(EDITS)))) == EDITS
    for damaged in ({"0": {"outputs": "01"}}, {"0": {"outputs": [True]}}):
        with pytest.raises(TypeError, match="whole numbers"):
            edits_from_json(damaged)


def test_an_edited_design_is_the_smaller_network_wherever_it_is_read() -> None:
    base, heads = parse_design("lw@0.35"), {"image": ("a", "b")}
    top = base.build(channels=1, heads=heads).get_submodule("top.0").out_channels
    half = tuple(range(top // 2))
    design = EditedDesign(
        "small", base, {"top.0": Kept(outputs=half), "top.1": Kept(outputs=half), "head.linear": Kept(inputs=half)}
    )
    again = read_design(json.loads(json.dumps(design.to_json())), name="small", input=design.input)
    assert again.to_json() == design.to_json()
    cost = again.cost(input_shape=(1, 32, 32), heads=heads)
    network = again.build(channels=1, heads=heads)
    assert cost.macs == trace_macs(network, (1, 32, 32))[0]
    assert cost.params == trainable(network) < base.cost(input_shape=(1, 32, 32), heads=heads).params
    assert network.eval()(torch.rand(2, 1, 32, 32)).shape == (2, 1, 2)
