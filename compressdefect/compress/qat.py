"""Quantization-aware training: a network learns to live with eight bits, and is quantized as any other afterwards.

While it trains, weights and the inputs of layers are rounded to int8 and back, and gradients pass through the rounding
as if it were not there (Jacob et al., 2018; Bengio et al., 2013). What ships are the float weights that it found,
quantized by onnxruntime's own calibration. torchao's pt2e, which writes the integers into the graph itself, left batch
norms unfolded and most depthwise convolutions of ``lw_cnn`` in float once onnxruntime had read it.

Weights are rounded symmetrically with a scale for each output channel. So it does not matter that batch norms are not
folded yet: folding multiplies a channel and its scale alike.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

LAYERS = (nn.Conv2d, nn.Linear)
INERTIA = 0.9  # of the range of a layer's inputs, from batch to batch
_LEAST = 1e-8


@contextmanager
def quantization_aware(network: nn.Module, example: Tensor) -> Iterator[None]:
    """Round what a network computes with to eight bits while it trains; its layers are as they were behind it.

    The last layer stays in float, as it does where the network is quantized. Blocks train in the form they ship in.

    Args:
        network: is changed in place.
        example: images that it takes, to find its last layer by.
    """
    layers = [layer for layer in network.modules() if isinstance(layer, LAYERS)]
    last = _last(network, layers, example)
    with ExitStack() as stack:
        for module in network.modules():
            if hasattr(type(module), "training_form"):
                stack.enter_context(_as_it_ships(module))
        for layer in layers:
            if layer is not last:
                stack.enter_context(_rounded(layer))
        yield


class RoundedWeight(nn.Module):
    """Weights (K, …) → the nearest of 255 values in each output channel, zero among them."""

    def forward(self, weight: Tensor) -> Tensor:
        """Round, with the gradient of the weights themselves."""
        scale = weight.detach().abs().flatten(1).amax(dim=1).clamp_min(_LEAST) / 127
        zero = torch.zeros_like(scale, dtype=torch.int32)
        return torch.fake_quantize_per_channel_affine(weight, scale, zero, 0, -127, 127)


class RoundedInput:
    """Maps → the nearest of 256 values between the smallest and the largest that batches had of late."""

    def __init__(self) -> None:
        self.low = self.high = torch.zeros(())

    def __call__(self, layer: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        """The layer's inputs, rounded; in training the range follows them."""
        x, *others = inputs
        if layer.training:
            self._follow(x.detach())
        scale = ((self.high - self.low) / 255).clamp_min(_LEAST).float()
        zero = (-self.low / scale).round().clamp(0, 255).to(torch.int32)
        return torch.fake_quantize_per_tensor_affine(x, scale, zero, 0, 255), *others

    def _follow(self, x: Tensor) -> None:
        low, high = x.amin().clamp_max(0), x.amax().clamp_min(0)  # zero is one of the values, as padding needs
        is_first = bool(self.low == self.high)
        self.low = low if is_first else INERTIA * self.low + (1 - INERTIA) * low
        self.high = high if is_first else INERTIA * self.high + (1 - INERTIA) * high


@contextmanager
def _rounded(layer: nn.Module) -> Iterator[None]:
    parametrize.register_parametrization(layer, "weight", RoundedWeight())
    handle = layer.register_forward_pre_hook(RoundedInput())
    try:
        yield
    finally:
        handle.remove()
        parametrize.remove_parametrizations(layer, "weight", leave_parametrized=False)


@contextmanager
def _as_it_ships(module: nn.Module) -> Iterator[None]:
    """Give a block no other form to train in: that would widen layers without their roundings."""
    vars(module)["training_form"] = lambda: None
    try:
        yield
    finally:
        del vars(module)["training_form"]


def _last(network: nn.Module, layers: Sequence[nn.Module], example: Tensor) -> nn.Module:
    """The layer that runs last."""
    ran: list[nn.Module] = []
    handles = [layer.register_forward_hook(lambda module, *_: ran.append(module)) for layer in layers]
    was_training = network.training
    try:
        with torch.no_grad():
            network.eval()(example)
    finally:
        network.train(was_training)
        for handle in handles:
            handle.remove()
    return ran[-1]
