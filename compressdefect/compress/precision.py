"""From a float graph to the int8 graph that ships, or to the finding that none is worth it: everything is measured.

The flavour is the one that this CPU runs fastest. Ranges are measured in the simplest way that holds; where none does,
the layers that int8 disturbs most go back to float, until what is lost is allowed again.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
from numpy.typing import NDArray

from compressdefect.compress.drop import Drop
from compressdefect.compress.quantize import FLAVOURS, METHODS, Flavour, FloatGraph, Ranges, calibrate, quantized
from compressdefect.cost.latency import measure, open_session
from compressdefect.deploy.export import INPUT

CLOSE = 1.03  # of the fastest latency: within it the flavour that loses least is taken
PROBES = 32  # images that sensitivity is measured on
NOISE = 8  # images of noise, for ranges of a graph that is only timed
BRIEFLY_S = 0.3  # for which each flavour of such a graph is timed
FP32 = "fp32"

Judge = Callable[[Path], Drop]


class LayerSensitivity(NamedTuple):
    """How much the answers move where only one layer is int8: the mean of |Δ| over images, classes and pixels."""

    layer: str
    change: float


@dataclass(frozen=True)
class Int8:
    """An int8 graph and how it came about.

    Attributes:
        path: the graph.
        flavour: of all those that were timed.
        method: how ranges were measured.
        float_layers: layers that stay in float, beside the head.
        layers: how many layers there are beside the head.
        drop: what it costs, against the float graph that the compression began with.
        latency_ms: median latency by the flavour's name, batch 1, and of the float graph as ``fp32``.
        sensitivity: of each layer, the most sensitive first; empty where it was not asked for.
        trained: whether its network was trained for it.
        unplaced: kinds of operators that the quantizer has no place for, which stay in float.
    """

    path: Path
    flavour: Flavour
    method: str
    float_layers: tuple[str, ...]
    layers: int
    drop: Drop
    latency_ms: dict[str, float]
    sensitivity: tuple[LayerSensitivity, ...] = ()
    trained: bool = False
    unplaced: tuple[str, ...] = ()

    @property
    def is_faster(self) -> bool:
        """Than the float graph."""
        return self.latency_ms[self.flavour.name] < self.latency_ms[FP32]


def to_int8(
    source: Path,
    folder: Path,
    pixels: NDArray[np.uint8],
    judge: Judge,
    *,
    seconds: float = 1.0,
    threads: int = 1,
    thorough: bool = True,
) -> Int8:
    """Find the int8 graph of a float one.

    Args:
        source: the float graph.
        folder: where graphs are written.
        pixels: uint8 (N, C, H, W), training images of every class, to measure ranges on.
        judge: says what a graph costs.
        seconds: for which each graph is timed.
        threads: that it is timed with.
        thorough: whether to go on where the simplest way does not hold, up to layers in float.
    """
    graph = FloatGraph.read(source)
    ranges = {"minmax": calibrate(graph, pixels, "minmax")}
    latency_ms = _timed(source, graph, ranges["minmax"], folder, seconds, threads)
    flavour = fastest(latency_ms)

    def attempt(method: str, keep_float: Sequence[str] = ()) -> Int8:
        if method not in ranges:
            ranges[method] = calibrate(graph, pixels, method)
        path = folder / f"{source.stem}-{method}-{len(keep_float)}.onnx"
        onnx.save(quantized(graph, ranges[method], flavour, keep_float), path)
        drop = judge(path)
        kept = tuple(keep_float)
        return Int8(path, flavour, method, kept, len(graph.layers), drop, latency_ms, unplaced=graph.unplaced)

    tried = []
    for method in METHODS:
        tried.append(attempt(method))
        if tried[-1].drop.holds or not thorough:
            return tried[-1]
    best = min(tried, key=lambda found: found.drop.loss_after)
    found = sensitivity(source, graph, ranges[best.method], flavour, pixels[:PROBES])
    for count in _doubling(len(graph.layers)):
        mixed = attempt(best.method, [row.layer for row in found[:count]])
        if mixed.drop.holds:
            break
    return replace(mixed, sensitivity=found)


def int8_for_timing(source: Path, target: Path, shape: tuple[int, int, int]) -> None:
    """Write the int8 graph that this CPU runs fastest of a float one, for its latency alone.

    Latency does not depend on the ranges of maps, so they are of noise, and the weights may be untrained.

    Args:
        source: the float graph.
        target: where the int8 one goes.
        shape: of its images (C, H, W).
    """
    graph = FloatGraph.read(source)
    ranges = calibrate(graph, noise(shape))
    with tempfile.TemporaryDirectory(prefix="compressdefect-") as folder:
        flavour = fastest(_timed(source, graph, ranges, Path(folder), BRIEFLY_S))
    onnx.save(quantized(graph, ranges, flavour), target)


def noise(shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    """Images (N, C, H, W) of noise."""
    return np.random.default_rng(0).integers(0, 256, (NOISE, *shape), dtype=np.uint8)


def fastest(latency_ms: dict[str, float]) -> Flavour:
    """The flavour to take: of those about as fast as the fastest the most exact, with a scale for each channel."""
    limit = CLOSE * min(latency_ms[flavour.name] for flavour in FLAVOURS)
    return next(flavour for flavour in FLAVOURS if latency_ms[flavour.name] <= limit)


def sensitivity(
    source: Path, graph: FloatGraph, ranges: Ranges, flavour: Flavour, pixels: NDArray[np.uint8]
) -> tuple[LayerSensitivity, ...]:
    """Quantize one layer at a time, and see how far the answers to images (N, C, H, W) move."""
    whole = _answers(source.read_bytes(), pixels)
    found = []
    for layer in graph.layers:
        others = [name for name in graph.layers if name != layer]
        alone = quantized(graph, ranges, flavour, others)
        moved = _answers(alone.SerializeToString(), pixels)
        change = np.mean([np.abs(one - other).mean() for one, other in zip(whole, moved, strict=True)])
        found.append(LayerSensitivity(layer, float(change)))
    return tuple(sorted(found, key=lambda row: -row.change))


def _timed(
    source: Path, graph: FloatGraph, ranges: Ranges, folder: Path, seconds: float, threads: int = 1
) -> dict[str, float]:
    """Median latency of the float graph and of every flavour, measured in turns."""
    paths = {FP32: source}
    for number, flavour in enumerate(FLAVOURS):
        paths[flavour.name] = folder / f"{source.stem}-flavour-{number}.onnx"
        onnx.save(quantized(graph, ranges, flavour), paths[flavour.name])
    return {row.name: row.median_ms for row in measure(paths, threads=(threads,), max_seconds=seconds)}


def _answers(graph: bytes, pixels: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
    session = open_session(graph)
    found: list[NDArray[np.float32]] = session.run(None, {INPUT: np.ascontiguousarray(pixels)})
    return found


def _doubling(most: int) -> Iterator[int]:
    """1, 2, 4, … and ``most`` itself.

    >>> list(_doubling(6))
    [1, 2, 4, 6]
    """
    count = 1
    while count < most:
        yield count
        count *= 2
    yield most
