"""Counts of a built network, by tracing it: the oracle of the closed forms, and the only way for timm's models.

fvcore calls multiply-accumulates "flops" and adds batch norm and pooling to its total; `macs` takes its
convolution, linear and matrix product rows only. Operators that fvcore has no rule for are reported, not guessed.
"""

from __future__ import annotations

import logging
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from compressdefect.cost.cost import Cost
from compressdefect.cost.memory import peak_bytes
from compressdefect.cost.piece import Shape

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # fvcore compiles a loss with torch.jit on import
    from fvcore.nn import FlopCountAnalysis

_MAC_ROWS = frozenset({"conv", "linear", "matmul", "einsum"})
_FREE = ("batch_norm", "avg_pool", "dropout")  # fvcore's other rows, and what costs nothing in eval mode


def count(module: nn.Module, input_shape: Shape, *, memory: bool = True) -> Cost:
    """Count a network's trainable parameters and the macs of one sample of shape (C, H, W).

    Args:
        module: the network; it is traced in eval mode and left in the mode it came in.
        input_shape: channels, height and width.
        memory: also export the network to find its peak_bytes (seconds; else 0).
    """
    macs, uncounted = trace_macs(module, input_shape)
    peak = exported_peak_bytes(module, input_shape) if memory else 0
    return Cost(trainable(module), macs, peak, uncounted)


def trainable(module: nn.Module) -> int:
    """Trainable parameters: weights, biases, γ and β; no running statistics."""
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)


def trace_macs(module: nn.Module, input_shape: Shape) -> tuple[int, tuple[str, ...]]:
    """Macs of one sample by fvcore, and the names of the operators it could not count."""
    with _evaluating(module), warnings.catch_warnings(), _quiet("fvcore.nn.jit_analysis"):
        warnings.simplefilter("ignore")  # the tracer's remarks on shapes that Python reads
        analysis = FlopCountAnalysis(module, _zeros(module, input_shape))
        analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
        rows = analysis.by_operator()
        unsupported = analysis.unsupported_ops()
    macs = sum(value for row, value in rows.items() if row in _MAC_ROWS)
    names = {name.removeprefix("aten::").rstrip("_") for name in unsupported}
    return int(macs), tuple(sorted(name for name in names if not name.startswith(_FREE)))


def quick_macs(module: nn.Module, input_shape: Shape) -> int:
    """Macs of one sample, counted while it runs: as `trace_macs`, in a tenth of the time and without the leftovers."""
    counter = FlopCounterMode(display=False)
    with _evaluating(module), counter:
        module(_zeros(module, input_shape))
    return int(counter.get_total_flops()) // 2


def ptflops(module: nn.Module, input_shape: Shape) -> int:
    """Count as ptflops does: macs + bias outputs of convolutions + 2 per batch norm output + 1 per element pooled.

    Pooled means global average pools only. This is not twice anything.
    """
    extra: Counter[str] = Counter()

    def hook(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        if isinstance(layer, nn.Conv2d) and layer.bias is not None:
            extra["bias"] += output.numel()
        elif isinstance(layer, nn.BatchNorm2d):
            extra["norm"] += 2 * output.numel()
        elif output.dim() in (2, 4) and output.shape[2:].numel() == 1 and inputs[0].dim() == 4:
            extra["pool"] += inputs[0].numel()

    kinds = (nn.Conv2d, nn.BatchNorm2d, nn.AdaptiveAvgPool2d)
    handles = [layer.register_forward_hook(hook) for layer in module.modules() if isinstance(layer, kinds)]
    try:
        with _evaluating(module):
            module(_zeros(module, input_shape))
    finally:
        for handle in handles:
            handle.remove()
    return trace_macs(module, input_shape)[0] + sum(extra.values())


def exported_peak_bytes(module: nn.Module, input_shape: Shape) -> int:
    """Peak activation bytes of one sample over the exported ONNX graph."""
    with _evaluating(module), warnings.catch_warnings(), _quiet("torch.onnx"):
        warnings.simplefilter("ignore")  # the exporter's deprecations inside torch
        program = torch.onnx.export(
            module, (_zeros(module, input_shape),), dynamo=True, opset_version=18, verbose=False
        )
    assert program is not None, "the dynamo exporter returns a program"
    return peak_bytes(program.model_proto)


def _zeros(module: nn.Module, input_shape: Shape) -> Tensor:
    first = next(module.parameters(), torch.zeros(()))
    return torch.zeros((1, *input_shape), device=first.device)


@contextmanager
def _evaluating(module: nn.Module) -> Iterator[None]:
    training = module.training
    module.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        module.train(training)


@contextmanager
def _quiet(name: str) -> Iterator[None]:
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
