"""Rewritten graphs compute what they computed before, with fewer nodes."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper
from torch import Tensor, nn

from compressdefect.blocks.blurpool import BlurPool
from compressdefect.blocks.condenser import Condenser, Condensing
from compressdefect.blocks.standardize import Standardize
from compressdefect.deploy.export import export_onnx, parity
from compressdefect.deploy.simplify import simplify
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
    kinds, difference = _export(tmp_path, std, Standardize(1))
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


def test_what_only_looks_like_an_affine_map_is_left_alone() -> None:
    """One channel times four factors is a broadcast, not a depthwise convolution."""
    graph = helper.make_graph(
        [helper.make_node("Mul", ["x", "s"], ["y"]), helper.make_node("Add", ["y", "b"], ["z"])],
        "broadcast",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["n", 1, 5, 5])],
        [helper.make_tensor_value_info("z", onnx.TensorProto.FLOAT, ["n", 4, 5, 5])],
        [numpy_helper.from_array(np.full((1, 4, 1, 1), 2, np.float32), name) for name in ("s", "b")],
    )
    simplify(graph)
    assert [node.op_type for node in graph.node] == ["Mul", "Add"]


def test_a_shared_kernel_is_scaled_for_each_reader() -> None:
    nodes, kernel = [], np.ones((1, 2, 1, 1), np.float32)
    for branch, factor in (("a", "s"), ("b", "t")):
        nodes += [
            helper.make_node("Mul", ["x", factor], [f"{branch}1"]),
            helper.make_node("Add", [f"{branch}1", "s"], [f"{branch}2"]),
            helper.make_node("Conv", [f"{branch}2", "w"], [branch]),
        ]
    scales = {"s": np.full((1, 2, 1, 1), 2, np.float32), "t": np.full((1, 2, 1, 1), 3, np.float32), "w": kernel}
    graph = helper.make_graph(
        nodes,
        "shared",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1, 2, 5, 5])],
        [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 1, 5, 5]) for name in ("a", "b")],
        [numpy_helper.from_array(values, name) for name, values in scales.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    x = np.random.default_rng(0).normal(size=(1, 2, 5, 5)).astype(np.float32)
    expected = _outputs(model, x)
    simplify(model.graph)
    assert Counter(node.op_type for node in model.graph.node) == {"Add": 2, "Conv": 2}
    for found, before in zip(_outputs(model, x), expected, strict=True):
        np.testing.assert_allclose(found, before, rtol=1e-5)


def _outputs(model: onnx.ModelProto, x: np.ndarray) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return list(session.run(None, {"x": x}))
