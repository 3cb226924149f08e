"""The softmax over channels against torch's, and what it is exported as."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
import torch
from torch import nn

from compressdefect.blocks.softmax import softmax_maps
from tests.contracts import export


@pytest.mark.parametrize("classes", [1, 2, 3, 6])
@pytest.mark.parametrize("scale", [1.0, 30.0, 1000.0])
def test_it_is_a_softmax_over_channels(classes: int, scale: float) -> None:
    torch.manual_seed(0)
    logits = scale * torch.randn(2, classes, 5, 7)
    torch.testing.assert_close(softmax_maps(logits), logits.softmax(dim=1), rtol=1e-5, atol=1e-6)


class Softmax(nn.Module):
    def forward(self, logits: torch.Tensor) -> torch.Tensor:
        return softmax_maps(logits)


@pytest.mark.parametrize("classes", [2, 3])
def test_the_graph_transposes_nothing(tmp_path: Path, classes: int) -> None:
    path = tmp_path / "softmax.onnx"
    export(Softmax(), torch.zeros(1, classes, 8, 8), path)
    operators = {node.op_type for node in onnx.load(str(path)).graph.node}
    assert not operators & {"Softmax", "Transpose"}
