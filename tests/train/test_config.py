from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
import torch
from torch import nn

from compressdefect.blocks.condenser import Condenser
from compressdefect.errors import CompressDefectError
from compressdefect.train.config import FitConfig, clip_gradients, make_optimizer, uses_bf16


def test_it_survives_json() -> None:
    config = FitConfig(epochs=3, optimizer="sgd", seed=5)
    assert FitConfig(**json.loads(json.dumps(dataclasses.asdict(config)))) == config


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"optimizer": "adam"}, "unknown optimizer: got adam; did you mean adamw"),
        ({"schedule": "step"}, "unknown schedule"),
        ({"precision": "fp16"}, "unknown precision"),
        ({"augment": "papr"}, "unknown augment: got papr; did you mean paper"),
        ({"epochs": 0}, "epochs must be at least 1"),
        ({"batch_size": 1}, "batch_size must be at least 2"),
        ({"learning_rate": 0.0}, "positive"),
        ({"learning_rate": float("nan")}, "positive"),
    ],
)
def test_wrong_values_are_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(CompressDefectError, match=message):
        FitConfig(**change)


@pytest.mark.parametrize(("name", "kind"), [("adamw", torch.optim.AdamW), ("sgd", torch.optim.SGD)])
def test_only_weights_decay(name: str, kind: type) -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(8, 2))
    network[3].bias.requires_grad_(False)
    optimizer = make_optimizer(network, FitConfig(optimizer=name, weight_decay=0.3))
    assert isinstance(optimizer, kind)
    decayed, free = optimizer.param_groups
    assert (decayed["weight_decay"], free["weight_decay"]) == (0.3, 0.0)
    assert [tuple(p.shape) for p in decayed["params"]] == [(2, 1, 3, 3), (2, 8)]
    assert [tuple(p.shape) for p in free["params"]] == [(2,), (2,), (2,)]


def test_a_learned_scale_does_not_decay() -> None:
    """A condenser multiplies by one number per channel, of shape (1, C, 1, 1)."""
    block = Condenser(8)
    decayed, free = make_optimizer(block, FitConfig()).param_groups
    assert not any(p is block.scale for p in decayed["params"])
    assert any(p is block.scale for p in free["params"])
    assert all(any(p is m.weight for p in decayed["params"]) for m in block.modules() if isinstance(m, nn.Conv2d))


@pytest.mark.parametrize("largest", [0.5, 5.0, 500.0])
def test_gradients_are_clipped_as_pytorch_clips_them(largest: float) -> None:
    ours, theirs = nn.Linear(7, 3), nn.Linear(7, 3)
    for layer in (ours, theirs):
        for parameter in layer.parameters():
            parameter.grad = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0))
    clip_gradients(make_optimizer(ours, FitConfig()), largest)
    torch.nn.utils.clip_grad_norm_(theirs.parameters(), largest)
    for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad)


def test_bf16_is_used_when_asked_for_or_when_hardware_multiplies_it(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu = torch.device("cpu")
    assert uses_bf16("bf16", cpu)
    assert not uses_bf16("fp32", cpu)
    for avx, amx in ((False, False), (True, False), (False, True)):
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda avx=avx: avx)
        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda amx=amx: amx)
        assert uses_bf16("auto", cpu) == (avx or amx)
    assert not uses_bf16("auto", torch.device("mps"))
