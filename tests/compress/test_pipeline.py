"""The contract of a compression: what every family passes, for each of its tasks."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from compressdefect.compress import pipeline, precision
from compressdefect.compress.drop import Drop
from compressdefect.compress.pipeline import RATES, Plan, calibration_rows, compress, edited, reachable
from compressdefect.compress.prune import PruneConfig
from compressdefect.compress.quantize import FLAVOURS, METHODS, FloatGraph, calibrate, quantized
from compressdefect.compress.stage import Bench, Stage
from compressdefect.compress.target import Measured, Target, shares
from compressdefect.compress.teaching import Pupil
from compressdefect.cost.counting import trace_macs, trainable
from compressdefect.data.images import Images
from compressdefect.data.split import Split
from compressdefect.errors import ModelError, TrainingError
from compressdefect.models.designs import parse_design, read_design
from compressdefect.models.edits import Kept
from compressdefect.models.weights import load_weights, weights_of
from compressdefect.train.config import FitConfig
from compressdefect.train.fit import EpochReport
from tests.compress.conftest import SIDE, bench_on, trained

FAMILIES = [
    ("lightdefectnet:stage1.column1.block=grouped,stage1.column1.groups=2", "classify"),
    ("lw@0.35", "classify"),
    ("lw-seg@0.35", "segment"),
    ("timm:test_resnet", "classify"),
    ("timm:mobilenetv3_small_050", "classify"),
    ("timm:mobilenetv3_small_050", "segment"),
]
CONFIG = FitConfig(epochs=1, batch_size=12, precision="fp32", augment="none", learning_rate=1e-3)
MakeBench = Callable[[str], Bench]


@pytest.fixture(
    scope="module", params=FAMILIES, ids=lambda family: f"{family[0].partition(':')[0]}-{family[0][-12:]}-{family[1]}"
)
def first(
    request: pytest.FixtureRequest, plates: Images, split: Split, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Bench, Stage]:
    """A model as it was, on its bench."""
    text, task = request.param
    bench = bench_on(plates, split, task, tmp_path_factory.mktemp("graphs"))
    return bench, bench.stage("as it was", *trained(text, bench.task))


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is timed for long; what is fastest is said by a rule."""

    times = {precision.FP32: 2.0, **{flavour.name: 1.0 for flavour in FLAVOURS}}
    monkeypatch.setattr(precision, "_timed", lambda *_: times)


def test_a_model_is_pruned_taught_and_quantized(first: tuple[Bench, Stage], monkeypatch: pytest.MonkeyPatch) -> None:
    bench, start = first
    monkeypatch.setattr(Drop, "reasons", ())
    epochs: list[EpochReport] = []
    share = 0.6 if start.design.name == "timm:test_resnet" else 0.75
    before = weights_of(start.network)
    found = compress(
        bench,
        start,
        Plan(reachable(Target("macs", share=share), bench, start), PruneConfig(), CONFIG),
        on_epoch=epochs.append,
    )
    assert weights_of(start.network) == before
    pruned = found.stages[1:-1]
    assert len(pruned) == len(epochs) == len([*shares(share)])
    for stage, most in zip(pruned, shares(share), strict=True):
        assert stage.cost.macs <= most * start.cost.macs
    shape, heads = bench.images.shape, bench.task.heads
    for stage in pruned:
        assert stage.cost.macs == trace_macs(stage.network.network, shape)[0]
        assert stage.cost.params == trainable(stage.network)
        again = read_design(json.loads(json.dumps(stage.design.to_json())), name="again", input=SIDE)
        rebuilt = copy.deepcopy(stage.network)
        rebuilt.network = again.build(channels=1, heads=heads)
        load_weights(rebuilt, weights_of(stage.network))
        pixels = torch.from_numpy(bench.images.pixels[:4])
        torch.testing.assert_close(rebuilt.eval()(pixels), stage.network(pixels), atol=1e-6, rtol=1e-6)
    assert found.int8 is not None
    assert found.stages[-1].precision == "int8"
    assert found.stages[-1].graph != found.best.graph


def test_int8_runs_on_integer_kernels_and_says_nearly_the_same(first: tuple[Bench, Stage], tmp_path: Path) -> None:
    bench, start = first
    graph = FloatGraph.read(start.graph)
    pixels = bench.images.pixels[calibration_rows(bench, 16)]
    ranges = calibrate(graph, pixels)
    whole = quantized(graph, ranges, FLAVOURS[0])
    operators = optimised(whole, tmp_path)
    assert operators["QLinearConv"] == sum(
        node.op_type == "Conv" for node in graph.model.graph.node if node.name in graph.layers
    )
    one = quantized(graph, ranges, FLAVOURS[0], graph.layers[:1])
    assert optimised(one, tmp_path)["QLinearConv"] == operators["QLinearConv"] - 1
    for model in (whole, one):
        assert np.abs(answers(model, pixels) - answers(graph.model, pixels)).mean() < 0.05
    kept = {node.name: node for node in whole.graph.node}
    assert all(
        kept[name].op_type in ("Gemm", "MatMul", "Conv") for name in graph.head if name in kept and "Conv" in name
    )


def optimised(model: onnx.ModelProto, folder: Path) -> dict[str, int]:
    """How often each operator is left once onnxruntime has fused what it can."""
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(folder / "optimised.onnx")
    options.log_severity_level = 3
    onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    found = [node.op_type for node in onnx.load(folder / "optimised.onnx").graph.node]
    return {name: found.count(name) for name in {*found, "QLinearConv"}}


def answers(model: onnx.ModelProto, pixels: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"pixels": np.ascontiguousarray(pixels)})[0])


def test_what_costs_too_much_is_not_kept(bench_for: MakeBench) -> None:
    bench = replace(bench_for("classify"), max_drop=0.0)
    start = bench.stage("as it was", *trained("timm:test_resnet", bench.task))
    right = np.eye(2, dtype=np.float32)[bench.labels]
    start = replace(start, records=right)  # a model that is always right, and sure of it
    found = compress(
        bench,
        start,
        Plan(reachable(Target("macs", share=0.6), bench, start), PruneConfig("random"), CONFIG, int8=False),
    )
    assert len(found.stages) == 2  # the first round broke, no second one was begun
    assert found.best is found.shipped is start
    assert found.int8 is None
    assert found.notes[0].startswith("stopped at pruned to")


def test_a_model_that_int8_disturbs_is_trained_with_eight_bits(
    bench_for: MakeBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = bench_for("classify")
    start = bench.stage("as it was", *trained("timm:test_resnet", bench.task))
    epochs: list[EpochReport] = []
    untrained = len(METHODS) + 5  # with ranges in every way, and with 1, 2, 4, 8 and all 15 layers in float
    monkeypatch.setattr(Drop, "holds", property(lambda drop: drop is start.drop or bool(epochs)))
    found = compress(bench, start, Plan(None, PruneConfig(), CONFIG), on_epoch=epochs.append)
    assert len(epochs) == CONFIG.epochs
    assert found.int8 is not None
    assert (found.int8.trained, found.int8.float_layers) == (True, ())
    assert found.best is start
    assert found.shipped.graph == found.int8.path
    assert len(list(bench.folder.glob("0-*.onnx"))) == untrained


def test_a_round_that_does_not_hold_is_trained_again_at_a_lower_rate(
    bench_for: MakeBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = bench_for("classify")
    start = bench.stage("as it was", *trained("timm:test_resnet", bench.task))
    rates: list[float] = []
    monkeypatch.setattr(Drop, "holds", property(lambda drop: drop is start.drop or len(rates) == 2))

    def noted(*given: Any, **_: object) -> SimpleNamespace:
        config = given[-1]
        rates.append(config.learning_rate)
        return SimpleNamespace(history=[None] * config.epochs)

    monkeypatch.setattr(pipeline, "fit", noted)
    plan = Plan(reachable(Target("macs", share=0.75), bench, start), PruneConfig("magnitude"), CONFIG, int8=False)
    found = compress(bench, start, plan)
    assert rates == [pytest.approx(share * CONFIG.learning_rate) for share in RATES]
    assert len(found.stages) == 2
    assert found.best is found.stages[1]
    assert found.best.title.endswith("macs, at 0.33 of the learning rate")
    assert found.notes == ()


@pytest.mark.parametrize("broken", ["loss", "weights"])
def test_a_training_that_diverges_leaves_the_last_good_model(
    bench_for: MakeBench, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    bench = bench_for("classify")
    start = bench.stage("as it was", *trained("timm:test_resnet", bench.task))
    monkeypatch.setattr(Drop, "holds", property(lambda drop: drop is start.drop))

    def diverge(pupil: Pupil, *_: object, **__: object) -> None:
        if broken == "loss":
            raise TrainingError("training diverged", got="a loss of nan in epoch 1, step 1")
        next(pupil.student.parameters()).data.fill_(float("nan"))

    monkeypatch.setattr(pipeline, "fit", diverge)
    found = compress(bench, start, Plan(reachable(Target("macs", share=0.6), bench, start), PruneConfig(), CONFIG))
    assert found.best is found.shipped is start
    assert [stage.precision for stage in found.stages] == ["fp32", "int8"]
    assert found.int8 is not None
    assert not found.int8.trained
    assert found.notes[0].startswith("stopped before")
    assert found.notes[1].startswith("not trained with eight bits: training diverged: got ")
    assert np.isfinite(found.stages[-1].records).all()


def test_what_has_no_place_in_integers_is_named(bench_for: MakeBench) -> None:
    bench = bench_for("classify")
    for text, unplaced in (
        ("timm:test_resnet", ()),
        ("timm:mobilenetv3_small_050", ("HardSwish", "ReduceMean", "HardSigmoid")),
    ):
        stage = bench.stage("as it was", *trained(text, bench.task))
        assert FloatGraph.read(stage.graph).unplaced == unplaced


def test_where_int8_is_not_faster_the_float_graph_ships(bench_for: MakeBench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = bench_for("classify")
    monkeypatch.setattr(Drop, "reasons", ())
    start = bench.stage("as it was", *trained("timm:test_resnet", bench.task))
    slow = {precision.FP32: 1.0, **{flavour.name: 1.5 for flavour in FLAVOURS}}
    monkeypatch.setattr(precision, "_timed", lambda *_: slow)
    found = compress(bench, start, Plan(None, PruneConfig(), CONFIG))
    assert found.shipped is found.best is start
    assert found.stages[-1].precision == "int8"
    assert found.notes[-1] == "int8 is not faster here: 1.50 ms beside 1.00 ms in float"


def test_images_of_every_class_calibrate(bench_for: MakeBench, plates: Images) -> None:
    bench = bench_for("classify")
    rows = calibration_rows(bench, 6)
    assert np.bincount(plates.labels[rows]).tolist() == [3, 3]
    assert set(rows) <= set(bench.split.train)
    assert len(calibration_rows(bench)) == len(bench.split.train)


def test_rounds_go_down_evenly_to_the_target() -> None:
    assert list(shares(0.7)) == [0.7]
    assert [round(share, 3) for share in shares(0.4)] == [0.737, 0.543, 0.4]


@pytest.mark.parametrize(
    ("quantity", "shown"), [("macs", r"[\d.]+ M macs"), ("params", r"\d+ k params"), ("latency", r"[\d.]+ ms")]
)
def test_every_quantity_can_be_a_target(bench_for: MakeBench, quantity: str, shown: str) -> None:
    bench = bench_for("classify")
    start = bench.stage("as it was", *trained("timm:test_resnet", bench.task))
    found = Measured.of(Target(quantity, share=0.5), bench, start)
    assert found.limit == 0.5 * found.whole > 0
    assert re.fullmatch(shown, found.show(found.whole))
    if quantity != "latency":
        assert found.whole == getattr(start.cost, quantity)
    with pytest.raises(ModelError, match="the model is below the target already"):
        Measured.of(Target(quantity, limit=2 * found.whole), bench, start)


def test_edits_of_an_edited_design_are_edits_of_the_first() -> None:
    base = parse_design("lw@0.35")
    once = edited(base, {"top.0": Kept(outputs=(0, 2, 4))})
    twice = edited(once, {"top.0": Kept(outputs=(1, 2)), "top.1": Kept(outputs=(0,))})
    assert twice.base is base
    assert twice.edits == {"top.0": Kept(outputs=(2, 4)), "top.1": Kept(outputs=(0,))}
