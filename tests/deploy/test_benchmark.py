from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from compressdefect.cost.latency import LatencyRow
from compressdefect.deploy import benchmark as module
from compressdefect.deploy.benchmark import Timing, benchmark
from compressdefect.deploy.bundle import Bundle
from compressdefect.deploy.model_ref import ModelRef
from compressdefect.errors import ModelError
from compressdefect.train.task import Task

from .conftest import SHAPE, TinyDesign

KEYS = ["model", "input", "params", "macs", "flops", "precision", "batch", "threads", "median_ms", "p95_ms", "ratio"]


def _model(name: str, bundle: Bundle | None = None) -> ModelRef:
    return ModelRef(name, TinyDesign(), bundle)  # type: ignore[arg-type]


@pytest.fixture
def timed(monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """Replace the exporter, which is slow, and the clock: model i takes 2 + 3·i ms per sample."""
    graphs: dict[str, Path] = {}

    def export(network: nn.Module, task: Task, path: Path, *, input_shape: tuple[int, int, int]) -> None:
        assert network(torch.zeros(1, *input_shape, dtype=torch.uint8)).shape[-1] == len(task.classes)
        path.touch()

    def measure(models: dict[str, Path], *, batches: Any, threads: Any, max_seconds: float) -> list[LatencyRow]:
        assert all(path.is_file() for path in models.values())
        graphs.update(models)
        return [
            LatencyRow(name, batch, count, 2.0 + 3 * index, 9.0, 50)
            for count in threads
            for batch in batches
            for index, name in enumerate(models)
        ]

    monkeypatch.setattr(module, "export_onnx", export)
    monkeypatch.setattr(module, "measure", measure)
    return graphs


def test_rows_follow_the_contract(timed: dict[str, Path]) -> None:
    found = benchmark([_model("x"), _model("y")], input=16, timing=Timing(batches=(1, 10)))
    assert {"cpu", "cores", "runtime"} <= set(found["machine"])
    assert all(list(row) == KEYS for row in found["rows"])
    assert [(row["model"], row["batch"], row["ratio"]) for row in found["rows"]] == [
        ("x", 1, 1.0), ("y", 1, 2.5), ("x", 10, 1.0), ("y", 10, 2.5),
    ]  # fmt: skip
    assert found["rows"][0] | {"median_ms": 0, "p95_ms": 0} == {
        "model": "x", "input": [3, 16, 16], "params": 20, "macs": 768, "flops": 1536, "precision": "fp32",
        "batch": 1, "threads": 1, "median_ms": 0, "p95_ms": 0, "ratio": 1.0,
    }  # fmt: skip


def test_a_bundle_sets_the_input_and_is_timed_as_shipped(timed: dict[str, Path], bundle: Bundle) -> None:
    found = benchmark([_model("x"), _model("run", bundle)])
    assert {tuple(row["input"]) for row in found["rows"]} == {SHAPE}
    assert [row["params"] for row in found["rows"]] == [20, 30]
    assert timed["1-fp32"] == bundle.path / "fp32.onnx"


def test_a_bundle_at_another_input_is_exported_anew(
    timed: dict[str, Path], bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    from compressdefect.models.timm_design import TimmDesign

    monkeypatch.setattr(TimmDesign, "build", lambda self, **sizes: TinyDesign().build(**sizes))
    found = benchmark([_model("run", bundle)], input=16)
    assert found["rows"][0]["input"] == [3, 16, 16]
    assert timed["0-fp32"] != bundle.path / "fp32.onnx"


def test_real_clock() -> None:
    (row,) = benchmark([_model("x")], input=16, timing=Timing(max_seconds=0))["rows"]
    assert 0 < row["median_ms"] <= row["p95_ms"]


def test_an_untrained_design_has_no_int8_graph() -> None:
    with pytest.raises(ModelError, match="x has no int8 graph"):
        benchmark([_model("x")], input=16, precisions=("int8",))


def test_a_precision_is_one_that_is_known() -> None:
    with pytest.raises(ModelError, match="no such precision: got in8; did you mean int8"):
        benchmark([_model("x")], input=16, precisions=("fp32", "in8"))


def test_a_bundle_is_timed_by_the_graph_that_ships_and_others_in_float(timed: dict[str, Path], bundle: Bundle) -> None:
    found = benchmark([_model("x"), _model("run", bundle)], precisions=("shipped",))
    assert [row["precision"] for row in found["rows"]] == ["fp32", "fp32"]
    assert timed["1-fp32"] == bundle.path / "fp32.onnx"


def test_trained_models_of_different_channels(bundle: Bundle) -> None:
    grey = Bundle(bundle.path, bundle.manifest.model_copy(update={"input": (1, 24, 20)}))
    with pytest.raises(ModelError, match="different channels: got rgb 3, grey 1"):
        benchmark([_model("rgb", bundle), _model("grey", grey)])
