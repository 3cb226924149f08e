"""``search --compress``: what ships is chosen, taught, pruned and quantized, and a killed run goes on."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from compressdefect import api, console
from compressdefect.catalog import find_space
from compressdefect.compress import pipeline, precision
from compressdefect.compress.drop import Drop
from compressdefect.compress.quantize import FLAVOURS
from compressdefect.deploy.bundle import Bundle
from compressdefect.errors import CompressDefectError, RunError
from compressdefect.flow import ship
from compressdefect.flow.voice import Voice
from compressdefect.models.templates import TEMPLATES
from compressdefect.report.repeat import command
from compressdefect.search.config import SearchConfig
from compressdefect.search.constraints import Budgets
from compressdefect.search.gate import Gate
from compressdefect.search.identity import difference, space_identity

TINY: dict[str, Any] = {"input": 32, "epochs": 1, "peers": "none", "trials": 2, "budget_flops": "2M", "ladder": "off"}


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory, parts: Path) -> Path:
    """One with a validation part, though there are few images."""
    path = tmp_path_factory.mktemp("split") / "split.json"
    api.data_split(str(parts), out=str(path))
    shares = json.loads(path.read_text())
    shares["val"], shares["train"] = shares["train"][::2], shares["train"][1::2]
    path.write_text(json.dumps(shares))
    return path


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Int8 is the faster one and kept, no flavour is timed, a handful of images will do, pruning has one round."""
    monkeypatch.setattr(pipeline, "FEWEST", 8)
    monkeypatch.setattr(ship, "PRUNED", 0.8)
    monkeypatch.setattr(Drop, "reasons", ())
    times = {precision.FP32: 2.0, **{flavour.name: 1.0 for flavour in FLAVOURS}}
    monkeypatch.setattr(precision, "_timed", lambda *_: times)


def searched(run: Path, parts: Path, split: Path, **options: Any) -> dict[str, Any]:
    return api.search(data=str(parts), split=str(split), compress=True, run_dir=run, **{**TINY, **options})


@pytest.mark.long
@pytest.mark.parametrize("trials", [1, 2])  # of one there is no other trial 0
def test_a_killed_compression_goes_on_and_trains_nothing_twice(
    trials: int,
    tmp_path: Path,
    parts: Path,
    split: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    trained: list[str] = []
    fit = pipeline.fit

    def counted(*args: Any, **kwargs: Any) -> Any:
        if len(trained) == 1:
            raise SystemExit("killed")
        trained.append("once")
        return fit(*args, **kwargs)

    monkeypatch.setattr(pipeline, "fit", counted)
    run = tmp_path / "run"
    with pytest.raises(SystemExit):
        searched(run, parts, split, trials=trials)
    (shelf,) = (run / ship.FOLDER).iterdir()
    kept = {path.name: path.read_bytes() for path in shelf.iterdir()}
    assert set(kept) == {"taught.json", "taught.safetensors"}
    chosen = json.loads((run / "manifest.json").read_text())[ship.FOLDER]
    trained.clear()
    monkeypatch.setattr(pipeline, "fit", lambda *args, **kwargs: (trained.append("once"), fit(*args, **kwargs))[1])
    found = api.search(run_dir=run, resume=True)
    again = json.loads((run / "manifest.json").read_text())[ship.FOLDER]
    assert (again["choice"], again["finalists"]) == (chosen["choice"], chosen["finalists"])
    assert {name: (shelf / name).read_bytes() for name in kept} == kept
    has_zero = again["choice"]["winner"] != 0
    assert ("zero" in again) == has_zero
    assert len(trained) == 1 + 2 * has_zero  # the winner's pruning; of trial 0 its lesson too
    _look(found, capsys)
    count = len(trained)
    assert api.search(run_dir=run, resume=True)["best"]["design"] == found["best"]["design"]
    assert len(trained) == count
    with pytest.raises(RunError, match="a resumed search keeps its --compress"):
        api.search(run_dir=run, resume=True, compress=False)


def _look(found: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    """What a finished run says of its compression, in every place."""
    run, best = Path(found["run"]), found["best"]
    manifest = Bundle.open(run / "best").manifest
    titles = [row["title"] for row in best["steps"]]
    assert titles[0] == "as it was found"
    assert titles[1].startswith("taught by trial ")
    assert titles[-1].startswith("int8, ")
    assert sum(row["ships"] for row in best["steps"]) == 1
    assert best["macs"] == manifest.cost.macs < best["steps"][0]["macs"]
    assert {"fp32.onnx", "int8.onnx"} == set(manifest.graphs)
    assert manifest.training["taught_by"] == titles[1].removeprefix("taught by ")
    assert "## Compression" in (run / "best" / "card.md").read_text()
    report = (run / "report.html").read_text()
    assert "Compression, step by step" in report
    assert ("Trial 0, treated alike" in report) == ("zero" in found["compression"])
    console.show("search", found)
    assert "compressed, on validation:" in capsys.readouterr().out
    stored = json.loads((run / "manifest.json").read_text())
    assert stored["search"]["compress"] is True
    assert " --compress" in str(command(stored))
    assert "--compress True" not in str(command(stored))


def test_a_finalist_that_breaks_a_budget_as_it_ships_gives_way(
    tmp_path: Path, parts: Path, split: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The estimate at the gate lets all pass; the true file of the first one does not."""
    sizes, true = iter([10**9, 10**9]), ship.Stage.bytes
    monkeypatch.setattr(ship.Stage, "bytes", property(lambda stage: next(sizes, None) or true.fget(stage)))  # type: ignore[attr-defined]

    def stop(*_: object) -> None:
        raise SystemExit("the choice is made")

    monkeypatch.setattr(ship.Shipping, "deliver", stop)
    with pytest.raises(SystemExit):
        searched(tmp_path / "run", parts, split, budget_size="50M")
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    first, second = manifest[ship.FOLDER]["finalists"]
    assert first["broken"].startswith("size ≤ 47.7 MiB (got 954 MiB)")
    assert manifest["choice"]["winner"] == manifest[ship.FOLDER]["choice"]["winner"] == second["trial"]
    assert (second["broken"], second["precision"]) == ("", "int8")


@pytest.mark.parametrize(("broken", "looked_at"), [((), [0, 2]), ((0,), [0, 2]), ((0, 2), [0, 2, 3]), ((2,), [0, 2])])
def test_designs_further_off_follow_where_none_near_the_best_keeps_the_budgets(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, broken: tuple[int, ...], looked_at: list[int]
) -> None:
    metrics = (0.99, 0.8, 0.985, 0.9)
    trials = [SimpleNamespace(number=number, metric=metric, netscore=1.0) for number, metric in enumerate(metrics)]
    monkeypatch.setattr(ship, "read_weights", lambda path: b"weights")
    monkeypatch.setattr(ship.Shipping, "_pool", trials)
    monkeypatch.setattr(ship.Shipping, "_weights_of", lambda shipping, trial: tmp_path)
    monkeypatch.setattr(ship.Shipping, "_is_time_to_choose", True)
    monkeypatch.setattr(
        ship.Shipping, "_finalist", lambda _, trial: ship.Finalist(trial, None, "size" * (trial.number in broken))
    )
    nothing: Any = None
    shipping = ship.Shipping(nothing, nothing, nothing, nothing, Voice(), nothing, tmp_path)
    assert [finalist.trial.number for finalist in shipping._finalists(shipping._order())] == looked_at


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"teacher": "lw@0.35"}, "a teacher is a trained model: got lw@0.35"),
        ({"teacher": "timm:test_resnet"}, "a teacher is a trained model: got .*; train it first, and give its run$"),
        ({"compress": False, "teacher": "lw@0.35"}, "--teacher is for what a search compresses"),
        ({"max_drop": -1.0}, "--max-drop must be at least 0"),
        ({"split": None}, "there is no validation part to say what compressing costs"),
    ],
)
def test_what_cannot_be_is_refused_before_there_is_a_run(
    tmp_path: Path, parts: Path, split: Path, options: dict[str, Any], message: str
) -> None:
    given = {**TINY, "split": str(split), "compress": True, **options}
    with pytest.raises(CompressDefectError, match=message):
        api.search(data=str(parts), run_dir=tmp_path / "run", **given)
    assert not (tmp_path / "run").exists()


def test_ranges_are_not_measured_on_a_handful_of_images(
    tmp_path: Path, parts: Path, split: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "FEWEST", 32)
    with pytest.raises(CompressDefectError, match="too few training images to measure the ranges of int8 on: got 14"):
        searched(tmp_path / "run", parts, split)
    assert not (tmp_path / "run").exists()


def test_without_it_a_study_is_the_one_it_was() -> None:
    """So that studies of before it was there are resumed, and one with it is another."""
    space = find_space("lightdefectnet")
    gate = Gate(space, TEMPLATES[space.template], Budgets(), input_shape=(1, 32, 32), heads={"image": ("good", "bad")})
    keys = {"objective", "sampler", "ladder", "seed", "budgets", "input", "heads", "study", "data", "recipe"}
    without = SearchConfig().identity(gate)
    assert set(without) == {*space_identity(space), *keys}
    assert difference(without, SearchConfig(compress=True).identity(gate)) == ("compress", "True instead of nothing")
