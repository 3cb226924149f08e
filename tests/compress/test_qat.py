"""Training with eight bits."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from compressdefect.compress.qat import RoundedInput, RoundedWeight, quantization_aware
from compressdefect.models.weights import weights_of
from compressdefect.train.classify import Classify
from compressdefect.train.training_form import training_form
from tests.compress.conftest import trained


def test_weights_are_rounded_within_each_channel() -> None:
    weight = torch.tensor([[1.0, -0.5, 0.004], [0.01, 0.0, -0.0052]], requires_grad=True)
    rounded = RoundedWeight()(weight)
    steps = torch.tensor([[1 / 127], [0.01 / 127]])
    torch.testing.assert_close(rounded.detach(), (weight.detach() / steps).round() * steps)
    rounded.sum().backward()
    assert torch.equal(weight.grad, torch.ones_like(weight))


def test_inputs_are_rounded_within_the_range_that_they_had() -> None:
    layer, rounding = nn.Linear(1, 1).train(), RoundedInput()
    (first,) = rounding(layer, (torch.tensor([[-1.0], [0.0], [4.1]]),))
    step = 5.1 / 255
    torch.testing.assert_close(first, torch.tensor([[-1.0], [0.0], [4.1]]))
    rounding(layer, (torch.tensor([[-1.0], [14.1]]),))
    assert float(rounding.high) == pytest.approx(0.9 * 4.1 + 0.1 * 14.1)
    before = rounding.high
    (clipped,) = rounding(layer.eval(), (torch.tensor([[100.0], [step / 3]]),))
    assert rounding.high is before
    assert float(clipped[0]) <= float(rounding.high) + step
    assert float(clipped[1]) == 0


@pytest.mark.parametrize("text", ["lightdefectnet", "lw@0.35", "timm:test_resnet"])
def test_a_network_trains_rounded_and_is_itself_again(text: str) -> None:
    task = Classify(("good", "spot"), good=0)
    _, inspector = trained(text, task)
    before, x = copy.deepcopy(inspector), torch.randint(0, 256, (4, 1, 32, 32), dtype=torch.uint8)
    with torch.no_grad():
        plain: Tensor = inspector(x)
    with quantization_aware(inspector, x), training_form(inspector):
        with torch.no_grad():
            inspector.train()(x)
            rounded = inspector.eval()(x)
        assert float((rounded - plain).abs().max()) > 0
        inspector.train()(x).square().sum().backward()
    assert all(parameter.grad is not None for parameter in inspector.network.parameters())
    named = dict(inspector.named_parameters())
    assert named.keys() == dict(before.named_parameters()).keys()
    for name, parameter in before.named_parameters():
        assert torch.equal(named[name], parameter), name
    assert not any("training_form" in vars(module) for module in inspector.modules())
    assert len(weights_of(inspector)) == len(weights_of(before))
