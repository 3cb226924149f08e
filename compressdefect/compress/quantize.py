"""Post-training static quantization of an exported graph to int8, for onnxruntime's CPU kernels.

A float graph becomes one in which QuantizeLinear and DequantizeLinear stand around each operator (QDQ), and onnxruntime
replaces what lies between a pair by integer kernels. The range of every map is measured on training images
(``calibrate``), once, and serves every graph made from it: of all ``FLAVOURS``, with any layers left in float. What
nobody can decide ahead, which flavour this CPU is fast with and which layers are sensitive, is measured.

Nothing here knows what a model is for: whether a graph is good enough is asked of images, by ``compress.drop``.
"""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, shape_inference
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantType
from onnxruntime.quantization.calibrate import TensorsData as Ranges
from onnxruntime.quantization.calibrate import create_calibrator
from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

from compressdefect.deploy.export import INPUT

WEIGHTED = ("Conv", "Gemm", "MatMul")
CHAINED = ("Add", "AveragePool", "Clip", "Concat", "GlobalAveragePool", "MaxPool", "Mul", "Relu", "Resize", "Sigmoid")
MOVES = (  # no arithmetic: nothing is lost or won by their type
    *("Cast", "Expand", "Flatten", "Gather", "Identity", "Pad", "Reshape", "Shape", "Slice", "Split", "Squeeze"),
    *("Transpose", "Unsqueeze"),
)
CHUNK = 8  # images whose maps are held at a time

METHODS = {
    "minmax": CalibrationMethod.MinMax,
    "percentile": CalibrationMethod.Percentile,
    "entropy": CalibrationMethod.Entropy,
}
"""How the range of a map is found from the values it takes: all of them, all but a few, or what loses least."""


@dataclass(frozen=True)
class Flavour:
    """How numbers become eight bits, and of which operators.

    Attributes:
        activations: "uint8" or "int8".
        per_channel: whether each output channel of a layer has a scale of its own.
        chained: whether what stands between the weighted layers is quantized too, so that maps stay integers.
    """

    activations: str = "uint8"
    per_channel: bool = True
    chained: bool = True

    @property
    def name(self) -> str:
        """As tables call it, such as ``U8S8 per channel``."""
        words = [f"{'U' if self.activations == 'uint8' else 'S'}8S8"]
        words.append("per channel" if self.per_channel else "per tensor")
        return " ".join(words if self.chained else [*words, "layers only"])


FLAVOURS = tuple(
    Flavour(activations, per_channel, chained)
    for activations in ("uint8", "int8")
    for per_channel in (True, False)
    for chained in (True, False)
)


@dataclass(frozen=True)
class FloatGraph:
    """A float graph that is ready to be quantized: with names and shapes for all that it holds.

    Attributes:
        model: the graph.
        layers: names of the weighted nodes, in order, without those of the head.
        head: names of the nodes behind them, which stay in float.
        unplaced: kinds of operators between the layers that have no place in integers and stay in float, in order.
    """

    model: onnx.ModelProto
    layers: tuple[str, ...]
    head: tuple[str, ...]
    unplaced: tuple[str, ...]

    @classmethod
    def read(cls, path: Path) -> FloatGraph:
        """Read what ``export_onnx`` wrote."""
        model = shape_inference.infer_shapes(onnx.load(path))
        for number, node in enumerate(model.graph.node):
            node.name = node.name or f"{node.op_type}_{number}"
        head = _head(model.graph)
        weights = {item.name for item in model.graph.initializer}
        layers = [
            node.name
            for node in model.graph.node
            if node.op_type in WEIGHTED and node.name not in head and not weights.isdisjoint(node.input)
        ]
        return cls(model, tuple(layers), tuple(head), tuple(_unplaced(model.graph, layers)))


def calibrate(graph: FloatGraph, pixels: NDArray[np.uint8], method: str = "minmax") -> Ranges:
    """Measure the range of every map on images.

    Args:
        graph: the float graph.
        pixels: uint8 (N, C, H, W), as the line would see them; of every class some.
        method: one of ``METHODS``.
    """
    with tempfile.TemporaryDirectory(prefix="compressdefect-") as folder, quiet():
        source = Path(folder) / "float.onnx"
        onnx.save(graph.model, source)
        calibrator = create_calibrator(
            source,
            [*WEIGHTED, *CHAINED],
            augmented_model_path=str(Path(folder) / "augmented.onnx"),
            calibrate_method=METHODS[method],
        )
        for start in range(0, len(pixels), CHUNK):  # each call reduces its maps before the next makes new ones
            calibrator.collect_data(_Images(pixels[start : start + CHUNK]))
        ranges: Ranges = calibrator.compute_data()
    return ranges


def quantized(graph: FloatGraph, ranges: Ranges, flavour: Flavour, keep_float: Sequence[str] = ()) -> onnx.ModelProto:
    """The int8 graph.

    Args:
        graph: the float graph, which is left as it is.
        ranges: of its maps.
        flavour: how.
        keep_float: names of ``layers`` that stay in float, beside the head.
    """
    model = onnx.ModelProto()
    model.CopyFrom(graph.model)
    with quiet():
        quantizer = QDQQuantizer(
            model,
            flavour.per_channel,
            False,  # all eight bits of the weights: where a CPU saturates, the answers say so
            QuantType.QInt8,
            QuantType.QUInt8 if flavour.activations == "uint8" else QuantType.QInt8,
            ranges,
            [],
            [*graph.head, *keep_float],
            [*WEIGHTED, *(CHAINED if flavour.chained else ())],
            {"ActivationSymmetric": flavour.activations == "int8"},
        )
        quantizer.quantize_model()
    made: onnx.ModelProto = quantizer.model.model
    _guard(made.graph, keep_float)
    return made


def _guard(graph: onnx.GraphProto, layers: Sequence[str]) -> None:
    """Put a sum of one map behind layers that stay in float.

    onnxruntime quantizes the weights of a layer itself where it stands between a dequantized and a quantized map
    (its WeightBiasQuantization), whatever was excluded. A sum, which it does not see through, keeps it from that.
    """
    for index, node in reversed(list(enumerate(graph.node))):
        if node.name in layers:
            (output,) = node.output
            node.output[0] = f"{output}.float"
            graph.node.insert(index + 1, helper.make_node("Sum", [node.output[0]], [output], name=f"{node.name}.guard"))


def _head(graph: onnx.GraphProto) -> list[str]:
    """The last weighted nodes before the outputs, and all that runs behind them."""
    makers = {name: node for node in graph.node for name in node.output}
    weights = {item.name for item in graph.initializer}
    found: dict[str, None] = {}
    waiting = [value.name for value in graph.output]
    while waiting:
        node = makers.get(waiting.pop())
        if node is None or node.name in found:
            continue
        found[node.name] = None
        if node.op_type not in WEIGHTED or weights.isdisjoint(node.input):
            waiting += node.input
    return list(found)


def _unplaced(graph: onnx.GraphProto, layers: Sequence[str]) -> list[str]:
    """The kinds of operators that compute with maps between the layers, and are not quantized."""
    awaited: set[str] = set()  # what a later layer is computed from
    for node in reversed(graph.node):
        if node.name in layers or not awaited.isdisjoint(node.output):
            awaited.update(node.input)
    maps: set[str] = set()  # what is computed from an earlier layer
    found: dict[str, None] = {}
    for node in graph.node:
        if node.name in layers or not maps.isdisjoint(node.input):
            maps.update(node.output)
            if node.op_type not in (*WEIGHTED, *CHAINED, *MOVES) and not awaited.isdisjoint(node.output):
                found[node.op_type] = None
    return list(found)


class _Images(CalibrationDataReader):
    """Images one at a time: all maps of one run have one shape."""

    def __init__(self, pixels: NDArray[np.uint8]) -> None:
        self._waiting = iter(pixels)

    def get_next(self) -> dict[str, Any] | None:
        image = next(self._waiting, None)
        return None if image is None else {INPUT: image[None]}


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep what the quantizer prints and logs of its own working to itself."""
    level = logging.getLogger().level
    logging.getLogger().setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.getLogger().setLevel(level)
