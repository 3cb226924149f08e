"""The compression study: what it runs, and what it makes of the results."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from compressdefect import api, catalog
from compressdefect.compress import precision
from compressdefect.compress.drop import Drop
from compressdefect.compress.quantize import FLAVOURS
from compressdefect.errors import DataError
from compressdefect.options import DistillOptions
from compressdefect.study import Context, compare, load_study

TINY: dict[str, Any] = {"epochs": 1, "peers": "none"}


@pytest.fixture(scope="module")
def study() -> ModuleType:
    return load_study(catalog.studies()["compression"])


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for name in ("neu_det", "magnetic_tile"):
        (tmp_path / name).mkdir()
    return tmp_path


def step(title: str, **figures: Any) -> dict[str, Any]:
    whole = {"precision": "fp32", "metric": 0.99, "macs": 1000, "bytes": 4000, "latency_ms": 2.0}
    return {"title": title, **whole, "reasons": [], "ships": False, **figures}


def compressed(seed: int = 0) -> dict[str, Any]:
    """What a row of a compressed model leaves."""
    steps = [
        step("as it was"),
        step("pruned to 700 macs", macs=700, latency_ms=1.6),
        step("pruned to 500 macs", macs=500, latency_ms=1.2, metric=0.988),
        step("int8", macs=500, latency_ms=0.25, bytes=500, precision="int8", ships=True),
    ]
    test = {"accuracy": 0.99 - seed / 1000, "interval": [0.98, 1.0]}
    return {"metric": "accuracy", "steps": steps, "notes": [], "val": test, "before": test, "test": test}


def control() -> dict[str, Any]:
    figures = {"accuracy": 0.97, "interval": [0.96, 0.98]}
    judged = {"val": figures, "test": figures}
    times = {"base": 2.0, "compressed": 0.25, "control": 0.26, "control in float": 1.0}
    return {
        "epochs": 9,
        "macs": 500,
        "bytes": 510,
        "notes": [],
        "latency_ms": times,
        "float": judged,
        "shipped": judged,
    }


def everything(study: ModuleType) -> dict[str, Any]:
    results = {
        f"{name}-seed{seed}": compressed(seed) for name, subject in study.SUBJECTS.items() for seed in subject.seeds
    }
    results |= {f"control-{kind}": control() for kind in study.CONTROLS}
    results |= {row.key: learned(study, row) for row in study._few(1.0)}
    return results | {row.key: segmented(row.way) for row in study._tiles(1.0)}


GAINS = {"alone": 0.0, "answers": 0.01, "feature": 0.01, "attention": 0.03, "privileged": 0.05}


def learned(study: ModuleType, row: Any) -> dict[str, Any]:
    """What a row with few labels leaves: each way gives what ``GAINS`` says, unlabelled images 0.02 more."""
    images = {"train": 60, "val": 30, "unlabelled": 660, "test": 900}
    if isinstance(row, study._Ensemble):
        return {"images": images, "each": [0.81, 0.82], "test": {"accuracy": 0.85, "interval": [0.8, 0.9]}}
    accuracy = 0.8 + GAINS[row.way] + 0.02 * row.sees_unlabelled
    figures = {"accuracy": accuracy, "interval": [0.7, 0.9]}
    return {"images": images, "tried": [[{"maps_weight": 0.1}, 0.8]], "val": figures, "test": figures}


def segmented(way: str) -> dict[str, Any]:
    figures = {"dice": 0.5 + GAINS.get(way, 0.1), "interval": [0.4, 0.7], "escape": 0.2, "overkill": 0.01}
    return {"val": figures, "test": figures}


def test_the_main_rows_come_first(study: ModuleType) -> None:
    keys = [row.key for row in study.rows(1.0)]
    assert keys[:3] == ["resnet18-seed0", "resnet18-seed1", "resnet18-seed2"]
    assert keys[3:6] == ["control-trained_on", "control-pruned_shape", "control-narrower"]


def test_what_is_expected_can_be_measured(study: ModuleType) -> None:
    folder = catalog.studies()["compression"]
    names = {entry["name"] for entry in json.loads((folder / "expected.json").read_text(encoding="utf-8"))}
    measured = study.measurements(everything(study))
    assert names == set(measured)
    assert measured["resnet18: times smaller, least of 3 seeds"] == 8
    assert measured["resnet18: times faster, least of 3 seeds"] == 8
    assert measured["lightdefectnet, half of the macs: validation accuracy lost"] == pytest.approx(0.002)
    assert measured["resnet18, half of the macs: latency left"] == pytest.approx(0.6)
    assert {row[3] for row in compare(folder, measured).cells} == {"met"}


def test_a_claim_waits_for_all_seeds(study: ModuleType) -> None:
    found = study.measurements({"resnet18-seed0": compressed()})
    assert set(found) == {
        "resnet18, half of the macs: validation accuracy lost",
        "resnet18, half of the macs: latency left",
    }


def test_half_of_the_macs_that_are_not_reached_are_not_measured(study: ModuleType) -> None:
    row = compressed()
    del row["steps"][2]
    assert study.measurements({"resnet18-seed0": row}) == {}
    half = study.tables({"resnet18-seed0": row}, 1.0)[1]
    assert half.cells[0][1] == "not reached"


def test_tables(study: ModuleType) -> None:
    assert all("unfinished" in table.markdown() for table in study.tables({}, 1.0))
    gains, half, controls, steps, means, labels, tiles = study.tables(everything(study), 1.0)
    assert "unfinished" not in gains.markdown()
    assert gains.cells[0][1:5] == ["99.00 (98.00–100.00)"] * 2 + ["3.91 KiB → 500 B (8.0×)", "2.000 → 0.250 (8.0×)"]
    assert half.cells[0][1:3] == ["+0.20", "0.60×"]
    assert [row[0] for row in controls.cells] == ["the compressed one", *study.CONTROLS.values()]
    assert [row[1] for row in steps.cells if row[0] == "resnet18-seed0"][-1] == "**int8**"
    assert [row[1] for row in labels.cells[:3]] == ["*the 5 teachers together*", "alone", "plain KD"]
    assert "85.00 (70.00–90.00)" in next(row for row in labels.cells if row[1] == "attention KD and unlabelled images")
    assert ["30", "plain KD and unlabelled images", "83.00 ± 0.00", "3"] in means.cells
    assert sum("privileged" in row[1] for row in labels.cells) == 2 * 2 * 3
    assert [row[1] for row in tiles.cells][-1] == "53.00 (40.00–70.00)"


@pytest.mark.parametrize("missing", ["neu_det", "magnetic_tile"])
def test_both_datasets_must_be_there(study: ModuleType, data: Path, missing: str) -> None:
    study.check(str(data))
    (data / missing).rmdir()
    with pytest.raises(DataError, match=f"got {data} without {missing}"):
        study.check(str(data))


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory, parts: Path) -> str:
    """The run of a tiny model."""
    folder = tmp_path_factory.mktemp("small")
    split = folder / "split.json"
    api.data_split(str(parts), out=str(split))
    shares = json.loads(split.read_text())
    shares["val"], shares["train"] = shares["train"][::2], shares["train"][1::2]
    split.write_text(json.dumps(shares))
    api.train("timm:test_resnet", data=str(parts), split=str(split), input=32, run_dir=folder / "base", **TINY)
    return str(folder / "base")


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory, base: str) -> dict[str, Any]:
    """A row of that model, pruned, whatever it costs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Drop, "reasons", ())
        folder = tmp_path_factory.mktemp("smaller") / "run"
        made = api.compress(base, to_macs="0.7", steps="prune", run_dir=folder, **TINY)
    return {**made, "base": base}


def _int8_is_faster(*_: Any) -> dict[str, float]:
    return {precision.FP32: 2.0, **{flavour.name: 1.0 for flavour in FLAVOURS}}


@pytest.mark.long
@pytest.mark.parametrize("kind", ["trained_on", "pruned_shape", "narrower"])
def test_a_control_has_the_same_passes_and_is_quantized_alike(
    study: ModuleType, small: dict[str, Any], kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "_timed", _int8_is_faster)
    monkeypatch.setattr(study, "TIMED_S", 0.01)
    row = next(row for row in study.rows(1.0) if row.key == f"control-{kind}")
    with pytest.raises(DataError, match="compared with a row that has no result"):
        row.measure(Context(tmp_path, None, {}))
    found = row.measure(Context(tmp_path, None, {"resnet18-seed0": small}))
    first, last = small["steps"][0], small["steps"][-1]
    assert found["epochs"] == (1 if kind == "trained_on" else 2)
    assert found["macs"] <= (first if kind == "trained_on" else last)["macs"]
    assert (found["macs"] == last["macs"]) == (kind == "pruned_shape")
    assert set(found["latency_ms"]) == {"base", "compressed", "control", "control in float"}
    assert 0 <= found["shipped"]["test"]["accuracy"] <= 1
    assert json.loads(json.dumps(found))


def test_nothing_is_compared_with_what_was_not_pruned(study: ModuleType, base: str) -> None:
    with pytest.raises(DataError, match="nothing of the model was pruned"):
        study._Pair.of(base, base, [step("pruned to 500 macs")])


def test_a_compressed_row_trains_its_base_once(
    study: ModuleType, base: str, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    def train(model: str, **options: Any) -> dict[str, Any]:
        asked.append((model, options))
        return {"run": base}

    monkeypatch.setattr(api, "train", train)
    monkeypatch.setattr(api, "compress", lambda *_, **__: {**compressed(), "run": base})
    row = next(row for row in study.rows(0.1) if row.key == "resnet18-seed1")
    context = Context(tmp_path / "run", str(data), {})
    (context.folder / "runs").mkdir(parents=True)
    first, again = row.measure(context), row.measure(context)
    assert first == again
    ((model, options),) = asked
    assert (model, options["data"], options["input"]) == ("timm:resnet18", str(data / "neu_det"), 128)
    assert (options["epochs"], options["seed"]) == (8, 1)
    assert first["commands"][0].startswith("compressdefect train timm:test_resnet")
    assert first["base"] == first["run"] == base


def test_a_searchs_winner_is_compressed_as_it_is(
    study: ModuleType, base: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(api, "compress", lambda run, **_: asked.append(run) or {**compressed(), "run": base})
    row = next(row for row in study.rows(1.0) if row.key.startswith("winner"))
    with pytest.raises(DataError, match="give its run folder with --winner"):
        row.measure(Context(tmp_path, None, {}))
    row.measure(Context(tmp_path, None, {}, winner=base))
    assert asked == [base]


@pytest.fixture
def few(study: ModuleType, base: str, parts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Context:
    """A run of the study on tiny steel, whose base is trained."""
    (tmp_path / "neu_det").symlink_to(parts)
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "lightdefectnet-seed0-base.json").write_text(json.dumps({"run": base}))
    monkeypatch.setattr(study, "LABELS", (4,))
    return Context(tmp_path, str(tmp_path), {})


def test_few_labels_are_drawn_and_the_others_have_none(study: ModuleType, few: Context, base: str) -> None:
    drawn = study._Draw(4, 0).of(few, 1.0)
    whole = json.loads((Path(base) / "split.json").read_text())
    split = json.loads(Path(drawn["split"]).read_text())
    assert {name: len(split[name]) for name in ("train", "val")} == {"train": 8, "val": 4}
    assert set(split["train"]) < set(whole["train"])
    assert set(split["val"]) < set(whole["val"])
    assert sorted(split["test"]) == sorted(whole["test"])
    assert sum(len(split[name]) for name in ("train", "val", "test", "left_out")) == 40
    shown = sorted(path.name for path in Path(drawn["unlabelled"]).iterdir())
    assert len(shown) == drawn["images"]["unlabelled"] == len(whole["train"]) - 8
    assert shown[0] == "0000.png"
    assert drawn["epochs"] == study.STEPS  # one step shows all eight


@pytest.mark.parametrize("way", ["alone", "answers", "attention", "privileged"])
@pytest.mark.parametrize("sees_unlabelled", [False, True])
def test_each_setting_is_tried_and_validation_chooses(
    study: ModuleType, few: Context, base: str, way: str, sees_unlabelled: bool, monkeypatch: Any
) -> None:
    asked: list[dict[str, Any]] = []

    def learned(*_: Any, **options: Any) -> dict[str, Any]:
        asked.append(options)
        accuracy = {1: 0.5, 2: 0.9}.get(len(asked), 0.6)
        return {"run": base, "val": {"accuracy": accuracy}, "test": {"accuracy": len(asked)}}

    monkeypatch.setattr(api, "train", learned)
    monkeypatch.setattr(api, "distill", learned)
    monkeypatch.setattr(study._Draw, "teachers", lambda *_: [{"run": base}] * 2)
    found = study._Taught(study._Draw(4, 0), way, sees_unlabelled and way != "alone", 1.0)(few)
    settings = study.SETTINGS.get(way, study.SETTINGS["answers"][:1])
    assert len(asked) == len(settings)
    assert [given for given, _ in found["tried"]] == list(settings)
    assert found["test"]["accuracy"] == (1 if way == "privileged" else 2)
    known = {field.name for field in fields(DistillOptions)} | {"run_dir"}
    assert all(set(options) <= known for options in asked)
    assert ("unlabelled_images" in asked[0]) == (sees_unlabelled and way != "alone")
    assert asked[0].get("method") == ("attention" if way == "attention" else None)
    assert len({options["epochs"] for options in asked}) == 1


def test_an_ensemble_answers_with_the_mean_of_its_teachers(
    study: ModuleType, few: Context, base: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def train(*_: Any, **options: Any) -> dict[str, Any]:
        asked.append(options["seed"])
        return {"run": base, "val": {}, "test": {"accuracy": 0.5}}

    monkeypatch.setattr(api, "train", train)
    found = study._Ensemble(study._Draw(4, 0), 1.0)(few)
    kept = json.loads((Path(base) / "best" / "predictions.json").read_text())
    hits = np.argmax(kept["probabilities"], axis=1) == kept["labels"]
    assert found["test"]["accuracy"] == pytest.approx(hits.mean())
    assert found["test"]["interval"][0] <= hits.mean() <= found["test"]["interval"][1]
    assert len(set(asked)) == len(found["each"]) == study.TEACHERS


def test_segmenters_of_tiles_share_the_teachers_split(
    study: ModuleType, base: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, dict[str, Any]] = {}

    def learned(*words: str, **options: Any) -> dict[str, Any]:
        asked[options["run_dir"].name.removesuffix("-1")] = {"words": words, **options}
        return {"run": base, "val": {}, "test": {}}

    monkeypatch.setattr(api, "train", learned)
    monkeypatch.setattr(api, "distill", learned)
    for row in study._tiles(0.5):
        row(Context(tmp_path, "folder", {}))
    assert list(asked) == ["tiles-teacher", "tiles-alone", "tiles-answers", "tiles-feature", "tiles-attention"]
    assert {options["epochs"] for options in asked.values()} == {16}
    students = [options for key, options in asked.items() if key != "tiles-teacher"]
    assert {options["split"] for options in students} == {f"{base}/split.json"}
    assert all("lw-seg@0.35" in options["words"] for options in students)
    known = {field.name for field in fields(DistillOptions)} | {"run_dir", "words"}
    assert all(set(options) <= known for options in students)
