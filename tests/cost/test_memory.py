"""The liveness walk on graphs small enough to do by hand."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from compressdefect.cost.memory import peak_bytes
from compressdefect.errors import ModelError


def graph(nodes: list[onnx.NodeProto], output: str, shapes: dict[str, list[int | str]]) -> onnx.ModelProto:
    weight = numpy_helper.from_array(np.zeros((2, 2, 1, 1), np.float32), "weight")
    values = {name: helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()}
    inner = [value for name, value in values.items() if name not in ("x", output)]
    made = helper.make_graph(nodes, "g", [values["x"]], [values[output]], [weight], value_info=inner)
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)])


SMALL: list[int | str] = [1, 2, 4, 4]  # 128 bytes


def test_a_tensor_lives_until_its_last_reader() -> None:
    nodes = [
        helper.make_node("Sigmoid", ["x"], ["a"]),
        helper.make_node("Sigmoid", ["a"], ["b"]),
        helper.make_node("Add", ["x", "b"], ["y"]),
    ]
    assert peak_bytes(graph(nodes, "y", dict.fromkeys("xaby", SMALL))) == 3 * 128


def test_convolution_and_relu_are_one_node_and_weights_are_free() -> None:
    nodes = [helper.make_node("Conv", ["x", "weight"], ["a"]), helper.make_node("Relu", ["a"], ["y"])]
    assert peak_bytes(graph(nodes, "y", {**dict.fromkeys("xa", SMALL), "y": SMALL})) == 2 * 128


def test_a_clip_behind_a_convolution_is_part_of_it() -> None:
    nodes = [helper.make_node("Conv", ["x", "weight"], ["a"]), helper.make_node("Clip", ["a"], ["y"])]
    assert peak_bytes(graph(nodes, "y", dict.fromkeys("xay", SMALL))) == 2 * 128


def test_a_relu_is_not_fused_when_somebody_else_reads_the_convolution() -> None:
    nodes = [
        helper.make_node("Conv", ["x", "weight"], ["a"]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Add", ["a", "b"], ["y"]),
    ]
    assert peak_bytes(graph(nodes, "y", dict.fromkeys("xaby", SMALL))) == 3 * 128


def test_a_symbolic_batch_counts_as_one() -> None:
    batch: list[int | str] = ["N", 2, 4, 4]
    nodes = [helper.make_node("Sigmoid", ["x"], ["y"])]
    assert peak_bytes(graph(nodes, "y", dict.fromkeys("xy", batch))) == 2 * 128


def test_an_unknown_shape_is_an_error() -> None:
    nodes = [helper.make_node("NoSuchOperator", ["x"], ["a"], domain="x"), helper.make_node("Sigmoid", ["a"], ["y"])]
    model = graph(nodes, "y", dict.fromkeys("xy", SMALL))
    model.opset_import.append(helper.make_opsetid("x", 1))
    with pytest.raises(ModelError, match="shape of a"):
        peak_bytes(model)
