"""Contract suites: what every implementation of an interface must pass."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn

from compressdefect.cost.counting import exported_peak_bytes, trace_macs, trainable
from compressdefect.cost.piece import Piece, Shape

ODD_SIZES = ((7, 11), (1, 1), (12, 9))


class BlockContract:
    """What every block passes: any size, gradients everywhere, determinism, ONNX parity, exact closed form.

    A subclass sets `channels`, `make` (the module) and `price` (its closed form for an input shape).
    """

    channels = 8
    make: Callable[[], nn.Module]
    price: Callable[[Shape], Piece]

    def block(self) -> nn.Module:
        """The block with parameters and statistics away from their initial values."""
        generator = torch.Generator().manual_seed(1)
        block = type(self).make()
        with torch.no_grad():
            for parameter in block.parameters():
                parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
            for layer in block.modules():
                if isinstance(layer, nn.BatchNorm2d):
                    layer.running_mean = 0.1 * torch.randn(layer.num_features, generator=generator)
                    layer.running_var = 1 + torch.rand(layer.num_features, generator=generator)
        return block

    def images(self, height: int, width: int, batch: int = 2) -> torch.Tensor:
        generator = torch.Generator().manual_seed(2)
        return torch.randn(batch, self.channels, height, width, generator=generator)

    @pytest.mark.parametrize(("height", "width"), ODD_SIZES)
    def test_closed_form_equals_count(self, height: int, width: int) -> None:
        block, shape = self.block().eval(), (self.channels, height, width)
        piece = type(self).price(shape)
        assert piece.params == trainable(block)
        assert piece.macs == trace_macs(block, shape)[0]
        output = block(self.images(height, width, batch=1))
        assert torch.Size(piece.out).numel() == output.numel()
        assert output.dim() != 4 or tuple(output.shape[1:]) == piece.out
        assert torch.isfinite(output).all()

    def test_gradients_reach_every_parameter(self) -> None:
        block, x = self.block().train(), self.images(6, 5).requires_grad_()
        weights = torch.randn(block(x).shape, generator=torch.Generator().manual_seed(3))
        (block(x) * weights).sum().backward()
        assert x.grad is not None
        assert x.grad.abs().sum() > 0
        without = [name for name, p in block.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
        assert not without

    def test_evaluation_is_deterministic_and_per_sample(self) -> None:
        block, x = self.block().eval(), self.images(9, 6)
        with torch.no_grad():
            together = block(x)
            assert torch.equal(together, block(x))
            torch.testing.assert_close(together[1:], block(x[1:]), rtol=1e-4, atol=1e-5)

    def test_onnx_parity_and_peak_bytes(self, tmp_path: Path) -> None:
        block, x = self.block().eval(), self.images(9, 7, batch=1)
        path = tmp_path / "block.onnx"
        export(block, x, path)
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        (found,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
        with torch.no_grad():
            np.testing.assert_allclose(found, block(x).numpy(), rtol=1e-4, atol=1e-5)
        shape = (self.channels, 9, 7)
        assert type(self).price(shape).peak == exported_peak_bytes(block, shape)


def export(module: nn.Module, x: torch.Tensor, path: Path) -> None:
    """Write an ONNX file with its weights inside."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecations inside torch's exporter
        torch.onnx.export(module, (x,), str(path), dynamo=True, opset_version=18, external_data=False, verbose=False)
