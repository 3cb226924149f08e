"""``compress`` as a command: what it leaves, and what takes it from there."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from compressdefect import api, console
from compressdefect.compress import pipeline, precision
from compressdefect.compress.drop import Drop
from compressdefect.compress.quantize import FLAVOURS
from compressdefect.deploy import bundle as bundle_module
from compressdefect.deploy.bundle import Bundle
from compressdefect.errors import CompressDefectError
from compressdefect.flow import compress as flow
from compressdefect.report.repeat import command

TINY: dict[str, Any] = {"epochs": 1, "peers": "none"}


@pytest.fixture(scope="module", autouse=True)
def handful() -> Iterator[None]:
    """A handful of images will do to measure ranges on."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline, "FEWEST", 8)
        yield


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory, parts: Path) -> Path:
    """A trained model with a validation part, though there are few images."""
    folder = tmp_path_factory.mktemp("base")
    split = folder / "split.json"
    api.data_split(str(parts), out=str(split))
    shares = json.loads(split.read_text())
    shares["val"], shares["train"] = shares["train"][::2], shares["train"][1::2]
    split.write_text(json.dumps(shares))
    api.train("timm:test_resnet", data=str(parts), split=str(split), input=32, run_dir=folder / "run", **TINY)
    return folder / "run"


@pytest.fixture(scope="module")
def compressed(tmp_path_factory: pytest.TempPathFactory, base: Path) -> dict[str, Any]:
    """Whatever the steps cost and however slow int8 is, they are kept."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Drop, "reasons", ())
        times = {precision.FP32: 2.0, **{flavour.name: 1.0 for flavour in FLAVOURS}}
        patch.setattr(precision, "_timed", lambda *_: times)
        return api.compress(str(base), to_macs="0.6", run_dir=tmp_path_factory.mktemp("compressed") / "run", **TINY)


def test_a_bundle_has_both_graphs_each_with_its_own_threshold(compressed: dict[str, Any], parts: Path) -> None:
    run = Path(compressed["run"])
    bundle = Bundle.open(run / "best")
    manifest = bundle.manifest
    assert (manifest.default_graph, set(manifest.graphs)) == ("int8.onnx", {"fp32.onnx", "int8.onnx"})
    int8, fp32 = manifest.shipped, manifest.graphs["fp32.onnx"]
    assert int8.bytes < fp32.bytes
    assert int8.threshold == manifest.threshold == compressed["val"]["threshold"]
    assert fp32.threshold is not None
    assert int8.agreement is not None
    assert int8.agreement.images == compressed["val"]["n"]
    assert 0 <= int8.agreement.mean_difference <= int8.agreement.verdicts <= 1
    assert int8.made.startswith(f"{FLAVOURS[0].name}, ranges by minmax")
    assert all(len(graph.latency) == 1 for graph in manifest.graphs.values())
    assert manifest.design["kind"] == "edited"
    found = json.loads((run / "best" / "predictions.json").read_text())
    session = onnxruntime.InferenceSession(run / "best" / "int8.onnx", providers=["CPUExecutionProvider"])
    assert session.get_inputs()[0].name == "pixels"
    assert np.array(found["probabilities"]).shape == (compressed["test"]["n"], 2)


def test_a_run_is_repeated_with_its_own_seed(base: Path, tmp_path: Path) -> None:
    api.compress(str(base), steps="quantize", seed=5, run_dir=tmp_path / "run", **TINY)
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert manifest["seed"] == manifest["options"]["seed"] == 5
    assert "--seed 5" in str(command(manifest))


def test_every_step_is_told_with_its_figures(compressed: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    titles = [row["title"] for row in compressed["steps"]]
    assert titles[0] == "as it was"
    assert [title.split()[0] for title in titles[1:]] == ["pruned", "pruned", "int8,"]
    first, last = compressed["steps"][0], compressed["steps"][-1]
    assert last["macs"] <= 0.6 * first["macs"]
    assert [row["ships"] for row in compressed["steps"]] == [False, False, False, True]
    assert compressed["before"]["n"] == compressed["test"]["n"]
    console.show("compress", compressed)
    out = capsys.readouterr().out
    assert "test before" in out
    assert "ships" in out
    card = (Path(compressed["run"]) / "best" / "card.md").read_text()
    assert "## Compression" in card
    assert all(title in card for title in titles)
    assert "Compression" in (Path(compressed["run"]) / "report.html").read_text()


def test_a_compressed_model_is_a_model_everywhere(compressed: dict[str, Any]) -> None:
    run = compressed["run"]
    again = api.evaluate(run)
    for key in ("accuracy", "escape", "overkill", "threshold"):
        assert again["test"][key] == compressed["test"][key]
        assert again["val"][key] == compressed["val"][key]
    (row,) = api.cost([run])["models"]
    assert row["macs"] == compressed["steps"][-1]["macs"]
    rows = api.benchmark([run], precision="fp32,int8")["rows"]
    assert [row["precision"] for row in rows] == ["fp32", "int8"]
    assert api.report(run)["report"].endswith("report.html")


def test_on_another_cpu_the_float_graph_takes_the_place_of_int8(
    compressed: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = compressed["run"]
    fp32 = Bundle.open(Path(run) / "best").manifest.graphs["fp32.onnx"]
    monkeypatch.setattr(bundle_module, "instructions", lambda: ("asimddp",))
    again = api.evaluate(run)
    said = "this has asimddp: fp32.onnx takes its place, with its threshold"
    assert said in capsys.readouterr().err
    assert again["test"]["threshold"] == again["val"]["threshold"] == fp32.threshold
    (row,) = api.benchmark([run], precision="shipped")["rows"]
    assert row["precision"] == "fp32"
    assert said in capsys.readouterr().err


def test_a_compressed_model_is_compressed_again(compressed: dict[str, Any], tmp_path: Path) -> None:
    found = api.compress(compressed["run"], steps="prune", to_macs="0.9", run_dir=tmp_path / "run", **TINY)
    assert found["steps"][0]["macs"] == compressed["steps"][-1]["macs"]
    assert found["steps"][1]["macs"] <= 0.9 * found["steps"][0]["macs"]


def test_what_is_quantized_for_this_cpu_is_not_quantized_again(
    compressed: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(CompressDefectError, match=r"the model is quantized already: got .*; prune it too, or compress"):
        api.compress(compressed["run"], steps="quantize", run_dir=tmp_path / "run", **TINY)
    assert not (tmp_path / "run").exists()
    monkeypatch.setattr(flow, "instructions", lambda: ("asimddp",))
    found = api.compress(compressed["run"], steps="quantize", run_dir=tmp_path / "run", **TINY)
    assert [row["precision"] for row in found["steps"]] == ["fp32", "int8"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": "prune,distill"}, "no such step of a compression: got distill; known: prune, quantize"),
        ({"to_macs": "100G"}, "below the target already"),
        ({"to_macs": "0.5", "to_params": "0.5"}, "pruning has one target: got --to-macs and --to-params"),
        ({"to_latency": "1000s"}, "below the target already"),
        ({"to_macs": "half"}, "--to-macs cannot be read: got 'half'"),
        ({"to_macs": "20"}, "pruning cannot reach the target: got .* macs at the least; no output can go of fc"),
        ({"importance": "taylr"}, "unknown importance of channels: got taylr; did you mean taylor"),
        ({"scope": "all"}, "unknown scope of channels: got all; known: global, layer"),
        ({"epochs": 0}, "--epochs must be at least 1: got 0"),
        ({"max_drop": -1.0}, "--max-drop must be at least 0"),
        ({"max_drop": float("nan")}, "--max-drop must be at least 0"),
        ({"steps": "quantize", "to_macs": "0.5"}, "--to-macs is for pruning: got --steps quantize"),
        ({"accelerator": "tpu"}, "no such accelerator here: got tpu"),
        ({"good": "scratch"}, "the class of good parts is not the model's: got scratch; the model has good"),
        ({"data": "synthetic"}, "the split was made for other images"),
    ],
)
def test_what_cannot_be_is_refused_in_a_line(base: Path, tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(CompressDefectError, match=message):
        api.compress(str(base), run_dir=tmp_path / "run", **{**TINY, **options})
    assert not (tmp_path / "run").exists()


def test_a_bundle_alone_does_not_say_where_its_images_are(base: Path, tmp_path: Path) -> None:
    shutil.copytree(base / "best", tmp_path / "bundle")
    with pytest.raises(CompressDefectError, match=r"the images are not known: got a bundle without its run: .*; give"):
        api.compress(str(tmp_path / "bundle"), run_dir=tmp_path / "run", **TINY)


def test_ranges_are_not_measured_on_a_handful_of_images(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "FEWEST", 32)
    with pytest.raises(CompressDefectError, match="too few training images to measure the ranges of int8 on: got 14"):
        api.compress(str(base), run_dir=tmp_path / "run", **TINY)
    assert not (tmp_path / "run").exists()


def test_only_a_trained_model_can_be_compressed(tmp_path: Path, parts: Path) -> None:
    with pytest.raises(CompressDefectError, match=r"only a trained model can be compressed: got lw@0\.35"):
        api.compress("lw@0.35", data=str(parts), run_dir=tmp_path / "run")


@pytest.mark.parametrize("holds", [True, False])
def test_without_a_validation_part_steps_are_judged_out_of_fold(
    tmp_path: Path, parts: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], holds: bool
) -> None:
    monkeypatch.setattr(
        Drop, "reasons", property(lambda drop: () if holds or drop.loss_after == drop.loss_before else ("so",))
    )
    monkeypatch.setattr(precision, "_timed", lambda *_: {"fp32": 2.0, **{one.name: 1.0 for one in FLAVOURS}})
    api.train("timm:test_resnet", data=str(parts), input=32, run_dir=tmp_path / "base", **TINY)
    found = api.compress(str(tmp_path / "base"), to_macs="0.75", run_dir=tmp_path / "run", **TINY)
    assert "the steps are judged out of fold, for about" in capsys.readouterr().err
    manifest = Bundle.open(tmp_path / "run" / "best").manifest
    split = json.loads((tmp_path / "run" / "best" / "split.json").read_text())
    assert split["val"] == []
    assert found["val"]["n"] == len(split["train"])
    titles = [row["title"].split()[0] for row in found["steps"]]
    assert titles == (["as", "pruned", "int8,"] if holds else ["as", "pruned"])
    assert found["val"]["threshold"] == manifest.threshold is not None
    assert manifest.default_graph == ("int8.onnx" if holds else "fp32.onnx")
    assert manifest.deviations == (flow.OUT_OF_FOLD,)
    if holds:
        assert manifest.graphs["int8.onnx"].agreement is not None
        assert "training images, out of fold," in (tmp_path / "run" / "best" / "card.md").read_text()
    else:
        assert found["notes"][-1] == "int8 does not hold out of fold: so"
