from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from compressdefect.cost import latency
from compressdefect.cost.latency import interleave, latency_ms, machine, measure, open_session, summarise
from compressdefect.errors import ModelError


def _graph(path: Path, shape: tuple[object, ...] = ("batch", 1, 4, 4), kind: int = TensorProto.UINT8) -> Path:
    """Pixels → float: the smallest graph with the interface of ours."""
    node = helper.make_node("Cast", ["pixels"], ["probabilities"], to=TensorProto.FLOAT)
    ends = (
        [helper.make_tensor_value_info("pixels", kind, shape)],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, shape)],
    )
    graph = helper.make_graph([node], "cast", *ends)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), path)
    return path


def test_rows_in_order_of_threads_batch_and_model(tmp_path: Path) -> None:
    models = {name: _graph(tmp_path / f"{name}.onnx") for name in ("b", "a")}
    rows = measure(models, batches=(1, 3), threads=(1, 2), warmup=1, min_runs=10, max_seconds=0)
    assert [(row.threads, row.batch, row.name) for row in rows] == [
        (threads, batch, name) for threads in (1, 2) for batch in (1, 3) for name in ("b", "a")
    ]
    assert all(0 < row.median_ms <= row.p95_ms and row.runs == 10 for row in rows)


def test_models_take_turns_and_the_order_rotates() -> None:
    calls: list[str] = []
    runners = {name: lambda name=name: calls.append(name) for name in "abc"}
    seconds = interleave(runners, warmup=2, min_runs=4, max_seconds=0, turn=2)
    assert "".join(calls) == "aabbcc" + "aaabbbccc" + "bbbcccaaa"
    assert {name: len(values) for name, values in seconds.items()} == {"a": 4, "b": 4, "c": 4}


def test_time_extends_the_measurement_up_to_ten_times() -> None:
    seconds = interleave({"a": lambda: None}, warmup=0, min_runs=5, max_seconds=60)
    assert len(seconds["a"]) == 50


def test_figures_are_per_sample() -> None:
    row = summarise("m", 10, 1, [0.01] * 18 + [0.02, 0.03])
    assert row.median_ms == pytest.approx(1.0)
    assert row.p95_ms == pytest.approx(np.quantile([1.0] * 18 + [2.0, 3.0], 0.95))
    assert row.runs == 20


def test_latency_of_one_graph(tmp_path: Path) -> None:
    assert latency_ms(_graph(tmp_path / "a.onnx"), batch=2, seconds=0) > 0


def test_latency_of_one_graph_ignores_interruptions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latency, "_timed", lambda run, times: [0.002, 0.002, 0.009, 0.030])
    assert latency_ms(_graph(tmp_path / "a.onnx"), batch=2, seconds=0) == pytest.approx(1.0)


def test_session_settings(tmp_path: Path) -> None:
    session = open_session(_graph(tmp_path / "a.onnx"), threads=2)
    options = session.get_session_options()
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (2, 1)
    assert options.get_session_config_entry("session.force_spinning_stop") == "1"
    assert session.get_providers() == ["CPUExecutionProvider"]


def test_machine_says_what_a_latency_depends_on() -> None:
    found = machine()
    assert {"cpu", "cores", "runtime", "provider", "load_average"} <= set(found)
    assert found["runtime"].startswith("onnxruntime ")


def test_a_file_that_is_no_graph(tmp_path: Path) -> None:
    (tmp_path / "a.onnx").write_text("hello")
    with pytest.raises(ModelError, match="onnxruntime cannot load"):
        latency_ms(tmp_path / "a.onnx")


@pytest.mark.parametrize("shape", [("batch", 1, "height", 4)])
def test_a_graph_of_free_size_is_refused(tmp_path: Path, shape: tuple[object, ...]) -> None:
    with pytest.raises(ModelError, match=r"one image tensor of fixed size: got pixels tensor\(uint8\)"):
        latency_ms(_graph(tmp_path / "a.onnx", shape))


def test_the_timing_harness_needs_no_torch() -> None:
    code = "import sys, compressdefect.cost.latency; sys.exit('torch' in sys.modules or 'onnxruntime' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
