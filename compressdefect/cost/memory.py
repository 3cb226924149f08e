"""Peak activation memory of an ONNX graph: a liveness walk, the oracle of every closed form.

The nodes run in the order of the file. A tensor lives from the node that makes it until its last reader has run;
the graph's own outputs live to the end. While a node runs, its inputs and its outputs are live. Convolution, batch
norm and ReLU or ReLU6 that follow each other are one node, as every runtime fuses them. Weights, and what is computed
from weights alone, are excluded. Symbolic dimensions (a dynamic batch) count as 1.
"""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import NamedTuple

import onnx
from onnx import numpy_helper

from compressdefect.errors import ModelError


class Node(NamedTuple):
    """A node of the graph: the tensors it reads and makes, constants left out."""

    operator: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def peak_bytes(model: Path | onnx.ModelProto) -> int:
    """Most bytes of live tensors over the nodes of an exported graph.

    Raises:
        ModelError: the shape of a tensor is unknown.
    """
    proto = model if isinstance(model, onnx.ModelProto) else onnx.load(str(model), load_external_data=False)
    graph = onnx.shape_inference.infer_shapes(proto).graph
    bytes_of = _tensor_bytes(graph)
    kept = {value.name for value in graph.output}
    nodes = _fuse(_nodes(graph), kept)
    last = {name: index for index, node in enumerate(nodes) for name in node.inputs}
    live = {value.name for value in graph.input} & set(last)
    peak = 0
    for index, node in enumerate(nodes):
        live.update(node.outputs)
        peak = max(peak, sum(_look_up(bytes_of, name) for name in live))
        live = {name for name in live if last.get(name, -1) > index or name in kept}
    return peak


def _nodes(graph: onnx.GraphProto) -> list[Node]:
    """The nodes that depend on the graph's inputs."""
    constants = {tensor.name for tensor in graph.initializer} | {""}
    nodes = []
    for node in graph.node:
        inputs = tuple(name for name in node.input if name not in constants)
        if inputs:
            nodes.append(Node(node.op_type, inputs, tuple(name for name in node.output if name)))
        else:
            constants.update(node.output)
    return nodes


def _fuse(nodes: list[Node], kept: set[str]) -> list[Node]:
    """Merge batch norm and ReLU(6) into the convolution before them, where nobody else reads what lies between."""
    readers: dict[str, list[int]] = {}
    for index, node in enumerate(nodes):
        for name in node.inputs:
            readers.setdefault(name, []).append(index)
    fused, gone = [], set()
    for index, node in enumerate(nodes):
        if index in gone:
            continue
        if node.operator == "Conv":
            for followers in (("BatchNormalization",), ("Relu", "Clip")):
                (output,) = node.outputs
                following = readers.get(output, [])
                if len(following) == 1 and output not in kept and nodes[following[0]].operator in followers:
                    node = node._replace(outputs=nodes[following[0]].outputs)
                    gone.add(following[0])
        fused.append(node)
    return fused


def _tensor_bytes(graph: onnx.GraphProto) -> dict[str, int]:
    found = {}
    for value in (*graph.input, *graph.output, *graph.value_info):
        kind = value.type.tensor_type
        if kind.HasField("shape"):
            elements = prod(axis.dim_value if axis.HasField("dim_value") else 1 for axis in kind.shape.dim)
            found[value.name] = elements * onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type).itemsize
    for tensor in graph.initializer:
        found.setdefault(tensor.name, numpy_helper.to_array(tensor).nbytes if tensor.HasField("raw_data") else 0)
    return found


def _look_up(bytes_of: dict[str, int], name: str) -> int:
    if name not in bytes_of:
        raise ModelError(f"the graph does not say the shape of {name}", fix="export it with static height and width")
    return bytes_of[name]
