"""Rewriting an exported graph so that onnxruntime has less to do; the function stays the same.

The runtime fuses what it knows: convolution, batch norm, ReLU and sum. What is left around our own blocks costs a small
network several percent of its time, each time as a pass over a whole map, or as a way out of the blocked layout that
its convolutions work in.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper


def simplify(graph: onnx.GraphProto) -> None:
    """Apply every rewriting below, in place."""
    editor = _Editor(graph)
    for scaling, shifting in editor.affine_pairs():
        reader = editor.only_reader(shifting)
        if reader is not None and reader.op_type == "InstanceNormalization":
            _absorb_in_norm(editor, scaling, shifting, reader)
        elif reader is not None and reader.op_type == "Conv":
            _fold_scale(editor, scaling, shifting, reader)
        else:
            _as_convolution(editor, scaling, shifting)
    for pad, conv in editor.reflected_blurs():
        _as_average_pools(editor, pad, conv)
    editor.drop_unread()


_BINOMIAL = np.outer((1, 2, 1), (1, 2, 1)).astype(np.float32) / 16
_BORDER = [0, 0, 1, 1, 0, 0, 1, 1]


class _Editor:
    """A graph and its weights by name."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self.graph = graph
        self.weights = {item.name: item for item in graph.initializer}
        self.shapes = {item.name: item.type.tensor_type.shape for item in (*graph.input, *graph.value_info)}

    def value(self, name: str) -> NDArray[np.float32]:
        """A weight's values."""
        return numpy_helper.to_array(self.weights[name])

    def add(self, name: str, values: NDArray[np.float32]) -> str:
        """A new weight; its name."""
        assert name not in self.weights, name
        self.weights[name] = numpy_helper.from_array(np.ascontiguousarray(values), name)
        self.graph.initializer.append(self.weights[name])
        return name

    def channels(self, name: str) -> int | None:
        """The second dimension of a tensor, as far as the graph says."""
        if name not in self.shapes or len(self.shapes[name].dim) < 2:
            return None
        return self.shapes[name].dim[1].dim_value or None

    def only_reader(self, node: onnx.NodeProto) -> onnx.NodeProto | None:
        """The one node that reads a node's output, when nothing else does."""
        readers = [other for other in self.graph.node if node.output[0] in other.input]
        is_output = any(node.output[0] == value.name for value in self.graph.output)
        return readers[0] if len(readers) == 1 and not is_output else None

    def affine_pairs(self) -> list[tuple[onnx.NodeProto, onnx.NodeProto]]:
        """Every x * s + b with s (1, C, 1, 1), none of it zero, and b of that shape or one number, as its two nodes."""
        pairs = []
        for scaling in self.graph.node:
            shifting = self.only_reader(scaling)
            if scaling.op_type != "Mul" or shifting is None or shifting.op_type != "Add":
                continue
            if not {scaling.input[1], shifting.input[1]} <= set(self.weights):
                continue
            scale, shift = self.value(scaling.input[1]), self.value(shifting.input[1])
            per_channel = scale.ndim == 4 and scale.shape == (1, scale.shape[1], 1, 1)
            fits = per_channel and scale.shape[1] == self.channels(scaling.input[0])
            if fits and shift.shape in ((), scale.shape) and scale.all():
                pairs.append((scaling, shifting))
        return pairs

    def reflected_blurs(self) -> list[tuple[onnx.NodeProto, onnx.NodeProto]]:
        """Every binomial 3×3 blur of stride 2 behind a reflecting border of 1, as its two nodes."""
        pairs = []
        for pad in self.graph.node:
            conv = self.only_reader(pad)
            if pad.op_type != "Pad" or conv is None or conv.op_type != "Conv" or len(conv.input) != 2:
                continue
            if not {pad.input[1], conv.input[1]} <= set(self.weights):
                continue
            weight, how = self.value(conv.input[1]), _attributes(conv)
            is_blur = weight.shape == (how["group"], 1, 3, 3) and (weight == _BINOMIAL).all()
            is_halving = list(how["strides"]) == [2, 2] and not any(how["pads"])
            reflects = _attributes(pad).get("mode") == b"reflect" and self.value(pad.input[1]).tolist() == _BORDER
            if is_blur and is_halving and reflects:
                pairs.append((pad, conv))
        return pairs

    def drop_unread(self) -> None:
        """Remove the weights and shapes that nothing names any more."""
        read = {name for node in self.graph.node for name in (*node.input, *node.output)}
        for items in (self.graph.initializer, self.graph.value_info):
            for item in [item for item in items if item.name not in read]:
                items.remove(item)


def _fold_scale(editor: _Editor, scaling: onnx.NodeProto, shifting: onnx.NodeProto, conv: onnx.NodeProto) -> None:
    """Move a multiplication into the convolution behind it: W ∗ (s·x + b) = (s·W) ∗ (x + b/s).

    The addition stays, because a zero-padded border does not have it.
    """
    if conv.input[1] not in editor.weights:
        return
    scale, shift, kernel = (editor.value(node.input[1]) for node in (scaling, shifting, conv))
    if scale.shape[1] != kernel.shape[1]:
        return
    for node, values in ((shifting, shift / scale), (conv, kernel * scale)):
        node.input[1] = editor.add(f"{node.output[0]}.scaled", values)
    shifting.input[0] = scaling.input[0]
    editor.graph.node.remove(scaling)


def _absorb_in_norm(editor: _Editor, scaling: onnx.NodeProto, shifting: onnx.NodeProto, norm: onnx.NodeProto) -> None:
    """Drop what an instance norm takes out again: a shift in any case, and a scale that all channels share.

    (s·x - s·m) / √(s²·v + ε) = (x - m) / √(v + ε/s²), for s > 0.
    """
    scale = editor.value(scaling.input[1]).ravel()
    if (scale == scale[0]).all() and scale[0] > 0:
        epsilon = next(attribute for attribute in norm.attribute if attribute.name == "epsilon")
        epsilon.f /= float(scale[0]) ** 2
        norm.input[0] = scaling.input[0]
        editor.graph.node.remove(scaling)
    else:
        norm.input[0] = scaling.output[0]
    editor.graph.node.remove(shifting)


def _as_convolution(editor: _Editor, scaling: onnx.NodeProto, shifting: onnx.NodeProto) -> None:
    """Write s·x + b per channel as one 1×1 depthwise convolution, which stays in the blocked layout."""
    scale, shift = editor.value(scaling.input[1]), editor.value(shifting.input[1])
    channels, name = scale.shape[1], shifting.output[0]
    weight = editor.add(f"{name}.scale", scale.reshape(channels, 1, 1, 1))
    bias = editor.add(f"{name}.shift", np.broadcast_to(shift.ravel(), (channels,)))
    conv = helper.make_node(
        "Conv", [scaling.input[0], weight, bias], [name], name=f"{name}.affine", group=channels, kernel_shape=[1, 1]
    )
    editor.graph.node.insert(list(editor.graph.node).index(scaling), conv)
    editor.graph.node.remove(scaling)
    editor.graph.node.remove(shifting)


def _as_average_pools(editor: _Editor, pad: onnx.NodeProto, conv: onnx.NodeProto) -> None:
    """Write a reflected blur as two 2×2 averages, which need no border: (1, 2, 1) = (1, 1) ∗ (1, 1).

    At a border the reflected blur is (2·a + 2·b) / 4, which is the first average itself: what the second one gives when
    it leaves out what lies outside.
    """
    between = f"{pad.output[0]}.halfway"
    first = helper.make_node("AveragePool", [pad.input[0]], [between], name=f"{between}.pool", kernel_shape=[2, 2])
    second = helper.make_node(
        "AveragePool",
        [between],
        [conv.output[0]],
        name=f"{conv.output[0]}.pool",
        kernel_shape=[2, 2],
        strides=[2, 2],
        pads=[1, 1, 1, 1],
        count_include_pad=0,
    )
    place = list(editor.graph.node).index(pad)
    editor.graph.node.insert(place, second)
    editor.graph.node.insert(place, first)
    editor.graph.node.remove(pad)
    editor.graph.node.remove(conv)


def _attributes(node: onnx.NodeProto) -> dict[str, Any]:
    return {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
