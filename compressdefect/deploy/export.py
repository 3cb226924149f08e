"""From a trained network to the ONNX graph that ships, and the proof that both say the same.

The graph takes raw uint8 pixels ``pixels`` (N, C, H, W) and returns the task's answers in float32 by their names, such
as ``probabilities``, (N, K) of images or (N, K, H, W) of their pixels: normalisation and the task's own decoding are
inside, so nothing is left for the line to get wrong. Batch norm is folded into the convolutions and the weights are in
the file.
"""

from __future__ import annotations

import contextlib
import copy
import io
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from compressdefect.cost.latency import open_session
from compressdefect.deploy.simplify import simplify
from compressdefect.errors import BundleError, ModelError
from compressdefect.runs import atomic_write
from compressdefect.train.task import Task

if TYPE_CHECKING:
    import onnx

INPUT = "pixels"
_OPSET = 18  # the exporter's own; int8 tools ask for 20 at most


class _Graph(nn.Module):
    """What is exported: pixels → network → answers, in the order of the task's ``outputs``."""

    def __init__(self, network: nn.Module, task: Task) -> None:
        super().__init__()
        self.network = copy.deepcopy(network).eval().cpu()
        for module in self.network.modules():
            if hasattr(module, "inplace"):  # the same graph; decomposing ReLU6 in place takes half of an export
                module.inplace = False  # type: ignore[assignment]
        self.task = task

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        answers = self.task.predict(self.network(pixels))
        return tuple(answers[name].float() for name in self.task.outputs)


def export_onnx(
    network: nn.Module, task: Task, path: Path, *, input_shape: tuple[int, int, int], batch: int | None = None
) -> None:
    """Write the graph of a network that takes uint8 pixels, for inputs of shape (C, H, W).

    The batch is free by default; a fixed ``batch`` exports in about 60 % of the time, for graphs that are only timed.

    Raises:
        ModelError: the network cannot be expressed in ONNX.
        RunError: the file cannot be written.
    """
    example = torch.zeros((batch or 2, *input_shape), dtype=torch.uint8)
    sizes = None if batch else ({0: torch.export.Dim("batch", min=1)},)
    try:
        with torch.no_grad(), _quiet():
            program = torch.onnx.export(
                _Graph(network, task),
                (example,),
                dynamo=True,
                opset_version=_OPSET,
                input_names=[INPUT],
                output_names=[*task.outputs],
                dynamic_shapes=sizes,
                verbose=False,
            )
    except torch.onnx.OnnxExporterError as error:
        reason = str(error.__cause__ or error).strip().splitlines()[0]
        raise ModelError("the network cannot be exported to ONNX", got=reason) from error
    assert program is not None, "the dynamo exporter returns a program"
    model = program.model_proto
    simplify(model.graph)
    _drop_traces(model)
    atomic_write(path, model.SerializeToString())


def parity(network: nn.Module, task: Task, path: Path, pixels: np.ndarray) -> float:
    """Largest absolute difference of any answer between the network and its graph, at batch 1 and beyond.

    Args:
        network: takes uint8 pixels; its mode and device do not matter.
        task: decodes the network's outputs.
        path: the exported graph, of free batch.
        pixels: uint8 (N, C, H, W), N ≥ 1, real images of the dataset.
    """
    pixels = np.concatenate([pixels, pixels[:1]])  # more than one image even when one is given
    reference = _Graph(network, task)
    session = open_session(path)
    worst = 0.0
    with torch.no_grad():
        for chunk in (pixels[:1], *np.array_split(pixels, -(-len(pixels) // 32))):
            expected = reference(torch.from_numpy(np.ascontiguousarray(chunk)))
            found = session.run([*task.outputs], {INPUT: np.ascontiguousarray(chunk)})
            for one, other in zip(found, expected, strict=True):
                worst = max(worst, float(np.nan_to_num(np.abs(one - other.numpy()), nan=np.inf).max()))
    return worst


def check_parity(network: nn.Module, task: Task, path: Path, pixels: np.ndarray, *, tolerance: float = 1e-4) -> float:
    """The same as ``parity``, but a difference above the tolerance is an error.

    Raises:
        BundleError: the graph does not reproduce its network.
    """
    difference = parity(network, task, path, pixels)
    if difference > tolerance:
        raise BundleError(
            "the exported graph does not reproduce its network",
            got=f"answers differ by up to {difference:.2g} on {len(pixels)} images",
            fix=f"the tolerance is {tolerance:g}; do not ship this graph",
        )
    return difference


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The exporter warns about its own internals and prints its progress; none of it is the user's."""
    sink = io.StringIO()
    with warnings.catch_warnings(), contextlib.redirect_stdout(sink), contextlib.redirect_stderr(sink):
        warnings.simplefilter("ignore")
        yield


def _drop_traces(model: onnx.ModelProto) -> None:
    """Remove the stack traces that the exporter keeps on every node: they hold paths of this machine."""
    for item in (model, model.graph, *model.graph.node, *model.graph.value_info, *model.graph.initializer):
        del item.metadata_props[:]
    for item in (*model.graph.input, *model.graph.output):
        del item.metadata_props[:]
