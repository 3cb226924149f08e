"""Which int8 graph is taken."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from compressdefect import api
from compressdefect.compress import precision
from compressdefect.compress.drop import Drop
from compressdefect.compress.pipeline import calibration_rows
from compressdefect.compress.precision import fastest, int8_for_timing, to_int8
from compressdefect.compress.quantize import CHUNK, FLAVOURS, METHODS, FloatGraph, calibrate
from compressdefect.compress.stage import Bench
from tests.compress.conftest import trained

GOOD = Drop("accuracy", 100, 0.9, 0.9, 0.2, 0.2, None, None, None)
BAD = Drop("accuracy", 100, 0.9, 0.7, 0.2, 0.5, None, None, None)


def test_the_most_exact_of_the_fastest_is_taken() -> None:
    names = [flavour.name for flavour in FLAVOURS]
    assert len(set(names)) == len(names)
    assert names[0] == "U8S8 per channel"
    assert fastest(dict.fromkeys(names, 1.0)) == FLAVOURS[0]
    assert fastest({name: 2.0 - 0.02 * (name == names[2]) for name in names}) == FLAVOURS[0]
    assert fastest({name: 2.0 - 0.5 * (name == names[2]) for name in names}) == FLAVOURS[2]


@pytest.fixture
def source(bench_for: Callable[[str], Bench], monkeypatch: pytest.MonkeyPatch) -> tuple[Bench, Path]:
    bench = bench_for("classify")
    monkeypatch.setattr(precision, "_timed", lambda *_: {"fp32": 2.0, **{flavour.name: 1.0 for flavour in FLAVOURS}})
    return bench, bench.stage("as it was", *trained("timm:test_resnet", bench.task)).graph


@pytest.mark.parametrize("tries", [1, 2, 3])
def test_the_first_way_to_measure_ranges_that_holds_is_taken(source: tuple[Bench, Path], tries: int) -> None:
    bench, graph = source
    asked: list[Path] = []

    def judge(path: Path) -> Drop:
        asked.append(path)
        return GOOD if len(asked) == tries else BAD

    found = to_int8(graph, bench.folder, bench.images.pixels[:16], judge)
    assert found.method == list(METHODS)[tries - 1]
    assert (found.path, found.drop, found.float_layers) == (asked[-1], GOOD, ())
    assert found.sensitivity == ()


def test_the_most_sensitive_layers_go_back_to_float(source: tuple[Bench, Path]) -> None:
    bench, graph = source
    asked: list[Path] = []

    def judge(path: Path) -> Drop:
        asked.append(path)
        return GOOD if len(asked) == len(METHODS) + 3 else BAD  # with 1 and 2 layers in float it does not hold, with 4

    found = to_int8(graph, bench.folder, bench.images.pixels[:16], judge)
    changes = [row.change for row in found.sensitivity]
    assert len(changes) == found.layers == len(FloatGraph.read(graph).layers)
    assert changes == sorted(changes, reverse=True)
    assert max(changes) > 0
    assert found.float_layers == tuple(row.layer for row in found.sensitivity[:4])


def test_where_nothing_holds_all_layers_are_float_in_the_end(source: tuple[Bench, Path]) -> None:
    bench, graph = source
    found = to_int8(graph, bench.folder, bench.images.pixels[:16], lambda path: BAD)
    assert len(found.float_layers) == found.layers
    assert not found.drop.holds


@pytest.mark.parametrize("method", METHODS)
def test_ranges_hold_few_maps_at_a_time(
    source: tuple[Bench, Path], method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench, path = source
    graph, pixels = FloatGraph.read(path), bench.images.pixels[calibration_rows(bench)]
    assert len(pixels) > 2 * CHUNK
    few = calibrate(graph, pixels, method)
    if method == "minmax":
        monkeypatch.setattr("compressdefect.compress.quantize.CHUNK", len(pixels))
        whole = calibrate(graph, pixels, method)
        for name in few:
            for one, other in zip(few[name].range_value, whole[name].range_value, strict=True):
                np.testing.assert_allclose(one, other)
    assert set(few.keys()) >= {node.output[0] for node in graph.model.graph.node if node.name in graph.layers}


def test_an_untrained_model_is_quantized_for_its_latency(source: tuple[Bench, Path], tmp_path: Path) -> None:
    bench, graph = source
    int8_for_timing(graph, tmp_path / "int8.onnx", bench.images.shape)
    assert (tmp_path / "int8.onnx").stat().st_size < graph.stat().st_size
    nodes = {node.op_type for node in onnx.load(tmp_path / "int8.onnx").graph.node}
    assert {"QuantizeLinear", "DequantizeLinear"} <= nodes
    heads = [node for node in onnx.load(tmp_path / "int8.onnx").graph.node if node.op_type in ("Gemm", "MatMul")]
    weights = {item.name: item.data_type for item in onnx.load(tmp_path / "int8.onnx").graph.initializer}
    assert [weights[head.input[1]] for head in heads] == [onnx.TensorProto.FLOAT]


def test_a_benchmark_quantizes_what_has_no_int8_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "_timed", lambda *_: {"fp32": 2.0, **{flavour.name: 1.0 for flavour in FLAVOURS}})
    rows = api.benchmark(["timm:test_resnet"], input=32, precision="fp32,int8")["rows"]
    assert [row["precision"] for row in rows] == ["fp32", "int8"]
