"""Rewritten graphs compute what they computed before, with fewer nodes."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest
from torch import Tensor, nn

from compressdefect.blocks.blurpool import BlurPool
from compressdefect.blocks.condenser import Condenser, Condensing
from compressdefect.blocks.standardize import Standardize
from compressdefect.deploy.export import export_onnx, parity
from compressdefect.models.inspector import Inspector

from .conftest import TASK


def _export(
    path: Path, std: tuple[float, ...], *body: nn.Module, size: tuple[int, int] = (12, 12)
) -> tuple[Counter[str], float]:
    """Kinds of nodes of the exported graph, and how far it is from its network."""
    channels = len(std)
    head = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, len(TASK.classes)))
    network = Inspector.from_statistics(nn.Sequential(*body, *head), [100.0] * channels, std)
    for parameter in network.parameters():
        nn.init.normal_(parameter)
    graph = path / "graph.onnx"
    export_onnx(network, TASK, graph, input_shape=(channels, *size))
    onnx.checker.check_model(onnx.load(graph), full_check=True)
    pixels = np.random.default_rng(0).integers(0, 256, (3, channels, *size), dtype=np.uint8)
    return Counter(node.op_type for node in onnx.load(graph).graph.node), parity(network, TASK, graph, pixels)


class _Squared(nn.Module):
    """Keeps the normalisation in front of it and the mean behind it from being linear in the pixels."""

    def forward(self, x: Tensor) -> Tensor:
        return x * x


@pytest.mark.parametrize(
    ("std", "left"), [((40.0,), (0, 0)), ((40.0, 40.0), (0, 0)), ((40.0, 50.0), (1, 0))], ids=["grey", "equal", "rgb"]
)
def test_an_instance_norm_takes_over_the_normalisation(
    tmp_path: Path, std: tuple[float, ...], left: tuple[int, int]
) -> None:
    kinds, difference = _export(tmp_path, std, Standardize())
    assert (kinds["Mul"], kinds["Add"]) == left
    assert kinds["InstanceNormalization"] == 1
    assert difference < 1e-5


def test_a_condensers_gain_is_one_convolution(tmp_path: Path) -> None:
    kinds, difference = _export(tmp_path, (40.0, 50.0), Condenser(2, Condensing(reduction=1)))
    assert (kinds["Mul"], kinds["Add"]) == (1, 0)  # the gate itself
    assert kinds["Conv"] == 5  # the image's normalisation and the gain besides the condenser's own three
    assert difference < 1e-4


def test_a_scale_folds_into_the_convolution_behind_it(tmp_path: Path) -> None:
    kinds, difference = _export(tmp_path, (40.0, 50.0), nn.Conv2d(2, 2, 3, padding=1))
    assert (kinds["Mul"], kinds["Add"], kinds["Conv"]) == (0, 1, 1)
    assert difference < 1e-4


@pytest.mark.parametrize("size", [(12, 12), (13, 11), (2, 2), (3, 8)])
@pytest.mark.parametrize("maximum", [False, True])
def test_a_reflected_blur_is_two_averages(tmp_path: Path, size: tuple[int, int], maximum: bool) -> None:
    kinds, difference = _export(tmp_path, (40.0, 50.0), _Squared(), BlurPool(2, 3, maximum), size=size)
    assert (kinds["Pad"], kinds["AveragePool"]) == (0, 2)
    assert difference < 1e-5


@pytest.mark.parametrize(("kernel", "size"), [(3, (1, 6)), (4, (12, 12)), (5, (12, 12))])
def test_other_blurs_keep_their_border(tmp_path: Path, kernel: int, size: tuple[int, int]) -> None:
    kinds, difference = _export(tmp_path, (40.0, 50.0), _Squared(), BlurPool(2, kernel), size=size)
    assert (kinds["Pad"], kinds["AveragePool"]) == (1, 0)
    assert difference < 1e-5
