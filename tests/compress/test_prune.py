"""Which channels go, and that nothing else changes with them."""

from __future__ import annotations

import copy
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from compressdefect.compress.channels import INPUTS, OUTPUTS, UnitGroup, couple
from compressdefect.compress.prune import IMPORTANCES, PruneConfig, check_limit, importances, kept, prune
from compressdefect.cost.counting import quick_macs, trace_macs, trainable
from compressdefect.deploy.model_ref import resolve_model
from compressdefect.errors import ModelError
from compressdefect.models.edits import Edits, apply_edits

GROUPED = "lightdefectnet:stage1.column1.block=grouped,stage1.column1.groups=2,stage2.column1.block=inverted"
NETWORKS = [
    ("lightdefectnet", "classify"),
    (GROUPED, "classify"),
    ("lw@0.35", "classify"),
    ("lw-seg@0.35", "segment"),
    ("lw-seg@0.35:join=sum", "segment"),
    ("timm:resnet18", "classify"),
    ("timm:mobilenetv3_small_100", "classify"),
    ("timm:efficientnet_lite0", "classify"),
    ("timm:mobilenetv3_small_100", "segment"),
]
SHAPE = (1, 64, 64)


def network_of(text: str, task: str) -> nn.Module:
    """With batch norms that do something."""
    ref = resolve_model(text)
    ref = ref.for_task(task)
    torch.manual_seed(0)
    network = ref.design.build(channels=1, heads=ref.heads(3))
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.1)
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    return network.eval()


def silence(network: nn.Module, edits: Edits) -> None:
    """Make every channel that goes a channel of zeros."""
    for name, edit in edits.items():
        layer = network.get_submodule(name)
        if edit.outputs is None or not isinstance(layer, nn.Conv2d | nn.Linear | nn.BatchNorm2d):
            continue
        for parameter in (layer.weight, layer.bias):
            if parameter is not None:
                gone = sorted(set(range(len(parameter))) - set(edit.outputs))
                parameter.data[gone] = 0


@pytest.mark.parametrize(("text", "task"), NETWORKS)
def test_channels_of_zeros_can_go(text: str, task: str) -> None:
    network = network_of(text, task)
    whole = trainable(network)
    edits = prune(
        network,
        couple(network, SHAPE),
        PruneConfig("magnitude"),
        limit=whole / 2,
        measure=lambda n: float(trainable(n)),
    )
    silence(network, edits)
    smaller = copy.deepcopy(network)
    apply_edits(smaller, edits)
    x = torch.rand(2, *SHAPE)
    with torch.no_grad():
        torch.testing.assert_close(smaller(x), network(x), atol=1e-5, rtol=1e-4)
    assert trainable(smaller) <= whole / 2
    assert quick_macs(smaller, SHAPE) == trace_macs(smaller, SHAPE)[0]


@pytest.mark.parametrize(("text", "task"), NETWORKS)
def test_wide_layers_stay_aligned_and_answers_whole(text: str, task: str) -> None:
    network = network_of(text, task)
    coupling = couple(network, SHAPE)
    scores = importances(network, coupling, PruneConfig("random"), {})
    for share in (0.3, 1.0):
        smaller = copy.deepcopy(network)
        apply_edits(smaller, coupling.edits(kept(coupling.groups, scores, share, "global")))
        for (name, before), after in zip(network.named_modules(), smaller.modules(), strict=True):
            if isinstance(before, nn.Conv2d) and before.out_channels >= 16 and before.out_channels % 8 == 0:
                assert after.out_channels % 8 == 0, name
    with torch.no_grad():
        assert smaller(torch.rand(1, *SHAPE)).shape == network(torch.rand(1, *SHAPE)).shape
    assert {name.rpartition(".")[2] for name in coupling.fixed} <= {"linear", "classify", "fc", "classifier", "conv"}


def groups() -> list[UnitGroup]:
    channels = np.arange(32).reshape(32, 1)
    return [
        UnitGroup({("a", OUTPUTS): channels, ("b", INPUTS): channels}, step=8, least=8),
        UnitGroup({("b", OUTPUTS): channels[:6], ("c", INPUTS): channels[:6]}, step=1, least=1),
    ]


def test_the_best_stay_rounded_upwards() -> None:
    scores = [np.arange(32.0), np.arange(6.0) * 10]
    first, second = kept(groups(), scores, 0.5, "layer")
    assert (first.tolist(), second.tolist()) == (list(range(16, 32)), [3, 4, 5])
    first, second = kept(groups(), scores, 0.9, "global")  # from 30 on
    assert (first.tolist(), second.tolist()) == (list(range(24, 32)), [3, 4, 5])
    first, second = kept(groups(), scores, 1.0, "global")
    assert (len(first), second.tolist()) == (8, [5])
    assert [len(units) for units in kept(groups(), scores, 0.0, "global")] == [32, 6]


def chain() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 2, 3), nn.Flatten()
    ).eval()


def test_every_importance_is_what_its_paper_says() -> None:
    network = chain()
    network[1].weight.data = torch.tensor([0.5, -1.0, 2.0, 0.0])
    network(torch.rand(3, 1, 5, 5)).square().sum().backward()
    first, norm, second = network[0].weight, network[1], network[3].weight
    magnitude, change = [], []
    for channel in range(4):
        weights = [w.detach() for w in (first[channel], norm.weight[channel], norm.bias[channel], second[:, channel])]
        slopes = [first.grad[channel], norm.weight.grad[channel], norm.bias.grad[channel], second.grad[:, channel]]
        magnitude.append(sum(float(w.square().sum()) for w in weights))
        change.append(sum(float((w * g).sum()) for w, g in zip(weights, slopes, strict=True)) ** 2)
    expected = {"magnitude": magnitude, "taylor": change, "bn_scale": [0.5, 1.0, 2.0, 0.0]}
    gradients = {name: parameter.grad for name, parameter in network.named_parameters()}
    coupling = couple(network, (1, 5, 5))
    for name, values in expected.items():
        (found,) = importances(network, coupling, PruneConfig(name), gradients)
        np.testing.assert_allclose(found, np.array(values) / np.mean(values), rtol=1e-4)
    assert set(IMPORTANCES) == {*expected, "random"}


def test_a_target_that_cannot_be_met_says_how_far_it_goes() -> None:
    network = chain()
    check = partial(
        check_limit, network, couple(network, (1, 5, 5)), measure=lambda n: float(trainable(n)), show="{:.0f}".format
    )
    check(limit=31)
    with pytest.raises(
        ModelError, match=r"cannot reach the target: got 31 at the least; no output can go of 3, .*; ask for 31 or more"
    ):
        check(limit=30)


@pytest.mark.parametrize(("field", "name"), [("importance", "taylr"), ("scope", "all")])
def test_an_unknown_name_is_refused(field: str, name: str) -> None:
    with pytest.raises(ModelError, match=f"unknown {field} of channels: got {name}"):
        PruneConfig(**{field: name})
