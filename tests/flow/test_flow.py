"""Whole commands on tiny images: what they leave behind, and what a second command finds again."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime
import optuna
import pytest
from PIL import Image

from compressdefect import api
from compressdefect.catalog import shipped_root
from compressdefect.data.load import load_images
from compressdefect.deploy.bundle import Bundle
from compressdefect.errors import CompressDefectError, DataError, RunError
from compressdefect.flow.prepare import needs_of, prepare
from compressdefect.flow.request import LEAST_STEPS, Request
from compressdefect.flow.search import _gate
from compressdefect.flow.voice import Voice
from compressdefect.options import JobOptions, SearchOptions, SplitOptions, TrainOptions
from compressdefect.search.config import SearchOutcome
from compressdefect.search.driver import search
from compressdefect.search.evaluate import TrainingEvaluator
from compressdefect.search.held_out import AUC, held_out_path, read_held_out
from compressdefect.search.ladder import Ladder
from compressdefect.search.rungs import Rung
from compressdefect.train.classify import Classify
from compressdefect.train.config import FitConfig
from compressdefect.train.segment import Segment
from compressdefect.train.validate import Validation, validate

TINY: dict[str, Any] = {"input": 32, "epochs": 1, "peers": "none"}


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory, parts: Path) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("runs") / "run"
    return api.search(data=str(parts), run_dir=folder, trials=3, budget_flops="2M", **TINY)


def test_a_search_leaves_its_evidence(searched: dict[str, Any]) -> None:
    run = Path(searched["run"])
    names = {"manifest.json", "split.json", "study.db", "trials.csv", "pareto.csv", "report.html", "mistakes.csv"}
    names |= {"best"}
    assert names <= {path.name for path in run.iterdir()}
    best = {"fp32.onnx", "bundle.json", "card.md", "genotype.json", "weights.safetensors", "split.json"}
    best |= {"predictions.json"}
    assert best <= {path.name for path in (run / "best").iterdir()}
    manifest = json.loads((run / "manifest.json").read_text())
    assert manifest["status"] == "complete"
    assert manifest["budgets"] == {"flops": 2_000_000}
    with (run / "trials.csv").open() as file:
        rows = list(csv.DictReader(file))
    trained = [row for row in rows if row["number"]]
    assert len(trained) == searched["trained"] == 3
    assert all(int(row["flops"]) <= 2_000_000 for row in trained)


def test_the_example_of_the_readme_decides_as_the_run_did(searched: dict[str, Any], parts: Path) -> None:
    text = (Path(__file__).resolve().parents[2] / "README.md").read_text(encoding="utf-8")
    best = Path(searched["run"]) / "best"
    answers = json.loads((best / "predictions.json").read_text())
    (example,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    for name, row in zip(answers["names"], answers["probabilities"], strict=True):
        found: dict[str, Any] = {}
        exec(example.replace("runs/…", searched["run"]).replace("part.png", str(parts / name)), found)
        np.testing.assert_allclose(found["probabilities"][0], row, atol=1e-5)
        assert found["rejected"] == (1 - row[found["bundle"]["good"]] > answers["threshold"])


def test_a_latency_budget_is_measured_of_each_design(
    parts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By graphs exported from the space's own template, whatever trains them."""
    measured: list[tuple[tuple[int, ...], int]] = []

    def measure(path: Path, *, batch: int, threads: int) -> float:
        session = onnxruntime.InferenceSession(path)
        measured.append((session.run(None, {"pixels": np.zeros((1, 1, 32, 32), np.uint8)})[0].shape, threads))
        return 0.25

    monkeypatch.setattr("compressdefect.search.latency.latency_ms", measure)
    monkeypatch.setattr(TrainingEvaluator, "build", lambda self, genotype, images: pytest.fail("asked of the trainer"))
    request = Request.make(SearchOptions(data=str(parts), trials=1, budget_latency="1ms", peers="none"))
    gate = _gate(request, prepare(request.options, input=32, task="classify", voice=Voice()))
    verdict = gate.check(next(iter(request.space.designs.values())))
    assert verdict.feasible
    assert (verdict.latency_ms, measured) == (0.25, [((1, 2), 1)])


def test_the_bundle_predicts_as_the_run_reports(searched: dict[str, Any], parts: Path) -> None:
    """The shipped graph alone, on the test images found again by hash, gives the figures that were printed."""
    best = Path(searched["run"]) / "best"
    images = load_images(parts, input=32)
    test = [images.hashes.index(digest) for digest in json.loads((best / "split.json").read_text())["test"]]
    session = onnxruntime.InferenceSession(best / "fp32.onnx")
    (probabilities,) = session.run(None, {"pixels": np.ascontiguousarray(images.pixels[test])})
    accuracy = float((probabilities.argmax(axis=1) == images.labels[test]).mean())
    assert accuracy == pytest.approx(searched["best"]["test"]["accuracy"])
    good = images.classes.index("good")
    rejected = 1 - probabilities[:, good].astype(float) > Bundle.open(best).manifest.threshold
    defective = images.labels[test] != good
    assert float((~rejected[defective]).mean()) == pytest.approx(searched["best"]["test"]["escape"])


def test_few_images_get_their_threshold_from_the_final_recipe(
    parts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of trainings as long as the final one, however short the search's trials were."""
    from compressdefect.deploy import training as module

    made: list[tuple[FitConfig, Validation]] = []

    def spy(build: Any, images: Any, split: Any, task: Any, config: FitConfig, **options: Any) -> Validation:
        made.append((config, validate(build, images, split, task, config, **options)))
        return made[-1][1]

    monkeypatch.setattr(module, "validate", spy)
    done = api.search(data=str(parts), run_dir=tmp_path / "run", trials=1, budget_flops="2M", **TINY)
    ((config, folds),) = made
    trained = Bundle.open(tmp_path / "run" / "best").manifest.training
    assert {name: trained[name] for name in ("epochs", "seed")} == {"epochs": config.epochs, "seed": config.seed}
    assert len(folds.indices) == 28
    assert done["best"]["val"]["threshold"] == folds.metrics["threshold"]


def test_trials_of_few_images_make_enough_steps(parts: Path) -> None:
    """Of 28 training images each fold trains on 18: one step an epoch."""
    options = SearchOptions(data=str(parts), trials=1, peers="none")
    data = prepare(options, input=32, task="classify", voice=Voice())
    assert (data.shown, Request.make(options).config(data).least_epochs) == (28, LEAST_STEPS)


def test_evaluate_finds_the_test_images_again(searched: dict[str, Any], parts: Path) -> None:
    again = api.evaluate(searched["run"], data=str(parts))
    assert again["test"]["accuracy"] == pytest.approx(searched["best"]["test"]["accuracy"])
    assert again["test"]["n"] == searched["best"]["test"]["n"]


def test_a_trained_model_reuses_its_split(
    searched: dict[str, Any], parts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the run says where the model is, so that it can be repeated from any folder."""
    api.train(searched["run"], data=str(parts), run_dir=tmp_path / "again", seed=5, **TINY)
    before = json.loads((Path(searched["run"]) / "split.json").read_text())
    after = json.loads((tmp_path / "again" / "split.json").read_text())
    assert set(before["test"]) == set(after["test"])
    monkeypatch.chdir(tmp_path)
    api.train("again", data=str(parts), run_dir=tmp_path / "third", **TINY)
    assert json.loads((tmp_path / "third" / "manifest.json").read_text())["model"] == str(tmp_path / "again")


def test_a_share_for_the_test_does_not_go_with_a_split(searched: dict[str, Any], parts: Path, tmp_path: Path) -> None:
    """Neither with one that is given, nor with that of a model which is trained again."""
    split = str(Path(searched["run"]) / "split.json")
    with pytest.raises(DataError, match=r"which images are tested: got --test-share 0.5 beside .*split.json"):
        api.train("lightdefectnet", data=str(parts), split=split, test_share=0.5, run_dir=tmp_path / "r", **TINY)
    with pytest.raises(DataError, match="which images are tested"):
        api.search(data=str(parts), split=split, test_share=0.5, run_dir=tmp_path / "r", trials=1, **TINY)
    with pytest.raises(DataError, match="which images are tested"):
        api.train(searched["run"], data=str(parts), test_share=0.5, run_dir=tmp_path / "r", **TINY)
    assert not (tmp_path / "r").exists()


def test_the_delivered_design_won_by_what_the_trials_answered(searched: dict[str, Any], parts: Path) -> None:
    """The files of answers give every trial's metric again, and the winner's is at most a point below the best one."""
    run = Path(searched["run"])
    with (run / "trials.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["state"] == "complete"]
    images = load_images(parts, input=32)
    for row in rows:
        answers = read_held_out(held_out_path(run, row["fingerprint"]))
        assert answers is not None
        hits = answers.records.argmax(axis=1) == images.labels[answers.indices]
        assert float(hits.mean()) == pytest.approx(float(row["metric"]))
    manifest = json.loads((run / "manifest.json").read_text())
    winner, best = (
        next(row for row in rows if int(row["number"]) == manifest["choice"][name]) for name in ("winner", "best")
    )
    assert json.loads(winner["genotype"]) == json.loads((run / "best" / "genotype.json").read_text())
    assert set(manifest["choice"]["gaps"]) == {"accuracy", AUC}
    assert float(best["metric"]) == max(float(row["metric"]) for row in rows)
    assert float(best["metric"]) - float(winner["metric"]) <= 0.01
    assert (searched["best"]["passed_over"] is None) == (winner == best)


def test_a_finished_search_can_be_extended(
    searched: dict[str, Any], parts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its images may be named by another path than before."""
    run = tmp_path / "copy"
    shutil.copytree(searched["run"], run)
    monkeypatch.chdir(parts.parent)
    more = api.search(data=parts.name, run_dir=run, resume=True, trials=4)
    assert more["trained"] == 4


def test_a_winner_whose_answers_are_gone_does_not_lose_in_silence(
    parts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Other designs that still have theirs cannot be compared with it: the command and the card say so."""
    run = tmp_path / "run"
    before = api.search(data=str(parts), run_dir=run, trials=2, budget_flops="2M", **TINY)["best"]["design"]
    assert "missing" not in capsys.readouterr().err
    held_out_path(run, Bundle.open(run / "best").design().genotype.fingerprint).unlink()
    shutil.rmtree(run / "best")
    assert api.search(run_dir=run, resume=True)["best"]["design"] != before
    (number,) = json.loads((run / "manifest.json").read_text())["choice"]["left_out"]
    said = "finished designs that could be compared to win: 1 of 2; missing are the validation answers of "
    said += f"trial {number} ({before})"
    assert f"{said}: with their files back in validation/" in capsys.readouterr().err
    assert said in (run / "best" / "card.md").read_text()


def test_a_search_is_resumed_where_no_new_run_could_be_made(
    searched: dict[str, Any], parts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from compressdefect.flow import prepare as module

    run = tmp_path / "copy"
    shutil.copytree(searched["run"], run)
    monkeypatch.setattr(module, "os", SimpleNamespace(access=lambda path, mode: False, W_OK=os.W_OK))
    assert api.search(data=str(parts), run_dir=run, resume=True)["trained"] == 3


def test_a_search_that_ends_after_its_delivery_is_timed_beside_its_peers_later(
    parts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from compressdefect.flow import search

    def interrupt(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(search, "time_beside_peers", interrupt)
    options = {**TINY, "peers": "lightdefectnet"}
    with pytest.raises(KeyboardInterrupt):
        api.search(data=str(parts), run_dir=tmp_path / "run", trials=1, budget_flops="2M", **options)
    monkeypatch.undo()
    api.search(run_dir=tmp_path / "run", resume=True)
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert manifest["status"] == "complete"
    assert len(manifest["peers"]) == 2


def test_a_resumed_search_refuses_other_options(searched: dict[str, Any]) -> None:
    with pytest.raises(RunError, match=r"a resumed search keeps its --budget-flops: got 3M instead of 2M"):
        api.search(run_dir=searched["run"], resume=True, budget_flops="3M")


def test_a_study_that_cannot_be_shared_is_refused_before_there_is_a_run(parts: Path, tmp_path: Path) -> None:
    """Whoever made it, a search for something else or no search at all; one that has room for it is joined."""
    storage, run = f"sqlite:///{tmp_path / 'study.db'}", tmp_path / "run"
    options: dict[str, Any] = {"data": str(parts), "storage": storage, "trials": 1, **TINY}
    api.search(run_dir=tmp_path / "first", budget_flops="2M", **options)
    optuna.create_study(storage=storage, study_name="mine", directions=["minimize", "minimize"])
    with pytest.raises(RunError, match="differs in its budgets: got flops 3000000 instead of 2000000; choose another"):
        api.search(run_dir=run, budget_flops="3M", **options)
    with pytest.raises(RunError, match="the study mine in the storage was not made by a search like this one"):
        api.search(run_dir=run, budget_flops="2M", study="mine", **options)
    assert not run.exists()
    assert api.search(run_dir=run, budget_flops="2M", **options)["trained"] == 1


def test_a_resumed_search_may_not_even_go_back_to_a_default(searched: dict[str, Any]) -> None:
    with pytest.raises(RunError, match=r"a resumed search keeps its --epochs: got None instead of 1"):
        api.search(run_dir=searched["run"], resume=True, epochs=None)


def test_a_search_does_not_resume_in_a_space_that_was_edited(
    parts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line, and the run stays as it was."""
    space, run = tmp_path / "mine.toml", tmp_path / "run"
    text = (shipped_root() / "search_spaces" / "lightdefectnet.toml").read_text()
    space.write_text(text)
    api.search(str(space), data=str(parts), run_dir=run, trials=1, budget_flops="2M", **TINY)
    before = (run / "manifest.json").read_text()
    space.write_text(text.replace("net.stem_stride = 4", "net.stem_stride = 2"))
    with pytest.raises(RunError, match="must keep its fixed genes: got net stem_stride 2 instead of 4"):
        api.search(run_dir=run, resume=True, trials=2)
    assert (run / "manifest.json").read_text() == before


def test_a_stopped_training_says_so(parts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from compressdefect.flow import train

    def interrupt(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(train, "deliver", interrupt)
    with pytest.raises(KeyboardInterrupt):
        api.train("lightdefectnet", data=str(parts), run_dir=tmp_path / "run", **TINY)
    assert json.loads((tmp_path / "run" / "manifest.json").read_text())["status"] == "stopped"
    assert (tmp_path / "run" / "report.html").is_file()


def test_the_same_seed_gives_the_same_trials(searched: dict[str, Any], parts: Path, tmp_path: Path) -> None:
    api.search(data=str(parts), run_dir=tmp_path / "twin", trials=3, budget_flops="2M", **TINY)

    def trials(run: Path) -> list[tuple[str, str, str]]:
        with (run / "trials.csv").open() as file:
            return [(row["number"], row["fingerprint"], row["metric"]) for row in csv.DictReader(file)]

    assert trials(tmp_path / "twin") == trials(Path(searched["run"]))


def test_other_images_do_not_fit_a_split(searched: dict[str, Any]) -> None:
    with pytest.raises(DataError, match="the split was made for other images"):
        api.evaluate(searched["run"], data="synthetic")


def test_an_unknown_metric_is_refused(parts: Path, tmp_path: Path) -> None:
    with pytest.raises(CompressDefectError, match="unknown metric: got beauty"):
        api.search(data=str(parts), metric="beauty", run_dir=tmp_path / "r", **TINY)
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize(("val_share", "shown"), [(0.2, "1000%"), (0.0, "500%")])
def test_too_short_for_gradual_training_is_refused_before_there_is_a_run(
    parts: Path, tmp_path: Path, val_share: float, shown: str
) -> None:
    """Of the folds that give the threshold, where there are any, and else of the only training."""
    with pytest.raises(CompressDefectError, match=f"normal images from {shown} of the steps"):
        api.train(
            "lightdefectnet", data=str(parts), gradual="0,10", val_share=val_share, run_dir=tmp_path / "r", **TINY
        )
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize(
    ("scratched", "asked", "warned"),
    [
        (4, SearchOptions(), True),
        (4, SearchOptions(metric="accuracy"), False),
        (16, SearchOptions(), False),
        (4, TrainOptions(), False),
        (4, JobOptions(), False),
    ],
)
def test_one_large_class_is_pointed_out_where_a_metric_can_be_chosen(
    parts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], scratched: int, asked: JobOptions, warned: bool
) -> None:
    for label, count in (("good", 16), ("scratch", scratched)):
        (tmp_path / label).mkdir()
        for source in sorted((parts / label).iterdir())[:count]:
            shutil.copy(source, tmp_path / label)
    prepare(replace(asked, data=str(tmp_path)), input=32, task="classify", voice=Voice())
    told = (
        "80.0 % of the images are good: accuracy favours a model that answers nothing else" in capsys.readouterr().err
    )
    assert told == warned


def test_a_network_without_maps_is_reported_without_them(parts: Path, tmp_path: Path) -> None:
    """A transformer's features are tokens."""
    run = tmp_path / "run"
    api.train("timm:test_vit", data=str(parts), val_share=0, run_dir=run, epochs=1, peers="none")
    assert "Where the model looked is not shown" in (run / "report.html").read_text()


def test_a_task_that_says_where_needs_no_masks_to_be_reported(
    searched: dict[str, Any], parts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Classify, "marks", lambda self, answers, threshold: np.ones((1, 32, 32), dtype=np.bool_))
    page = Path(api.report(searched["run"], data=str(parts))["report"]).read_text()
    assert "outlines over it: orange around the pixels that the model would reject" in page


def test_where_nothing_is_decided_there_is_no_threshold(parts: Path, tmp_path: Path) -> None:
    """A fixed recipe on all training images: no validation figures, and none on test that a threshold would need."""
    done = api.train("lightdefectnet", data=str(parts), val_share=0, run_dir=tmp_path / "run", **TINY)
    assert done["val"] == {}
    assert 0 <= done["test"]["accuracy"] <= 1
    assert done["test"]["escape"] is None
    assert Bundle.open(tmp_path / "run" / "best").manifest.threshold is None


@pytest.fixture(scope="module")
def partly_marked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 images of 32 × 32 pixels, half with a scratch: 8 of these have a mask, 2 none and 2 a broken one."""
    root, rng = tmp_path_factory.mktemp("data") / "partly", np.random.default_rng(0)
    for label in ("good", "scratch"):
        (root / label).mkdir(parents=True)
        for number in range(12):
            pixels, mask = rng.integers(60, 120, (32, 32)).astype(np.uint8), np.zeros((32, 32), dtype=np.uint8)
            if label == "scratch":
                mask[rng.integers(4, 28), 4:28] = 255
                pixels[mask > 0] = 250
                if number < 8:
                    Image.fromarray(mask).save(root / label / f"{number:02}_mask.png")
                elif number < 10:
                    (root / label / f"{number:02}_mask.png").write_bytes(b"")
            Image.fromarray(pixels).save(root / label / f"{number:02}.png")
    return root


def test_gradual_training_classifies_the_same_images(partly_marked: Path, tmp_path: Path) -> None:
    """Masks that only tell where to zoom decide nothing: evaluated without them, the split is of the same images."""
    done = api.train(
        "lightdefectnet", data=str(partly_marked), task="classify", gradual="on", run_dir=tmp_path / "run", **TINY
    )
    images = load_images(partly_marked, input=32)
    split = json.loads((tmp_path / "run" / "split.json").read_text())
    assert len(images) == 24
    assert sorted(images.hashes) == sorted(split["train"] + split["val"] + split["test"])
    skipped = json.loads((tmp_path / "run" / "manifest.json").read_text())["skipped"]
    assert [name for name, _ in skipped] == ["the mask of scratch/08.png", "the mask of scratch/09.png"]
    again = api.evaluate(done["run"], data=str(partly_marked))["test"]
    assert (again["n"], again["accuracy"]) == (8, pytest.approx(done["test"]["accuracy"]))


def test_a_part_that_cannot_decide_is_refused_before_there_is_a_run(parts: Path, tmp_path: Path) -> None:
    """An official validation part of good images alone has no escapes to choose a design by."""
    data = tmp_path / "plates"
    for number, source in enumerate(sorted(parts.rglob("*.png"))):
        part = "test" if number % 4 == 0 else "val" if number % 4 == 1 and source.parent.name == "good" else "train"
        (data / part / source.parent.name).mkdir(parents=True, exist_ok=True)
        shutil.copy(source, data / part / source.parent.name)
    with pytest.raises(DataError, match="no defective image to count escapes of: got 5 good, 0 defective"):
        api.search(data=str(data), metric="escape@overkill", run_dir=tmp_path / "r", trials=1, group="none", **TINY)
    assert not (tmp_path / "r").exists()


def test_the_annotations_that_are_loaded_follow_from_the_task_and_the_options() -> None:
    assert needs_of(Classify, SplitOptions()) == needs_of(Classify, JobOptions()) == frozenset()
    assert needs_of(Classify, JobOptions(gradual="on")) == needs_of(Segment, SplitOptions()) == {"masks"}


def test_gradual_training_needs_to_know_where_defects_are(
    parts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which is found out before any image is loaded."""
    from compressdefect.flow import prepare as prepare_module

    for data in (str(parts), "synthetic"):
        monkeypatch.setattr(prepare_module, "load", lambda *_, **__: pytest.fail("the images are loaded"))
        with pytest.raises(DataError, match=r"gradual training zooms on defects, .*: got .*leave --gradual out"):
            api.train("lightdefectnet", data=data, gradual="on", run_dir=tmp_path / "r", **TINY)
    assert not (tmp_path / "r").exists()


@pytest.fixture
def low(monkeypatch: pytest.MonkeyPatch) -> None:
    """A ladder of a few steps, for which a few images are enough."""
    monkeypatch.setattr("compressdefect.search.rungs.BATCH", 4)
    monkeypatch.setattr("compressdefect.search.rungs.LEAST_SCORED", 2)
    monkeypatch.setattr("compressdefect.flow.request.LADDER", Ladder(Rung(2, 1.0, 0.3)))


LADDER: dict[str, Any] = {**TINY, "ladder": "on", "workers": 1, "trials": 5, "budget_flops": "2M", "epochs": 2}


@pytest.mark.usefixtures("low")
def test_what_won_on_a_ladder_ships_as_it_was_trained(
    parts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With a validation part nothing is trained twice."""
    from compressdefect.deploy import training as module

    monkeypatch.setattr("compressdefect.data.split.MIN_TRAINING_IMAGES_FOR_VAL", 10)
    fit = module.fit
    monkeypatch.setattr(module, "fit", None)
    done = api.search(data=str(parts), run_dir=tmp_path / "run", **LADDER)
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert manifest["search"]["ladder"] == "2 steps at 1 of the side"
    assert (done["trained"], done["compared"]) == (5, 5)
    assert done["finished"] == 4
    assert "designs compared: 5 of 5 asked, of which 4 climbed; finished: 4; as many" in capsys.readouterr().err
    kept = {path.stem for path in (tmp_path / "run" / "weights").iterdir()}
    with (tmp_path / "run" / "trials.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert kept == {row["fingerprint"] for row in rows if row["state"] == "complete"}
    winner = next(row for row in rows if int(row["number"] or -1) == manifest["choice"]["winner"])
    assert done["best"]["val"]["accuracy"] == pytest.approx(float(winner["metric"]))
    trained = Bundle.open(tmp_path / "run" / "best").manifest.training
    assert (trained["epochs"], trained["epochs_trained"]) == (2, 2)

    monkeypatch.setattr(module, "fit", fit)
    shutil.rmtree(tmp_path / "run" / "best")
    for path in (tmp_path / "run" / "weights").iterdir():
        path.write_bytes(path.read_bytes()[:-100])
    again = api.search(run_dir=tmp_path / "run", resume=True)
    assert "the weights that were trained before are missing or damaged" in capsys.readouterr().err
    assert again["best"]["design"] == done["best"]["design"]


@pytest.mark.usefixtures("low")
def test_few_images_on_a_ladder_have_their_threshold_from_its_top(
    parts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Designs are compared by the first fold; the winner's others follow when it has won, and are as long."""
    from compressdefect.deploy import training as module

    made: list[tuple[int, Validation]] = []

    def spy(build: Any, images: Any, split: Any, task: Any, config: FitConfig, **options: Any) -> Validation:
        made.append((config.epochs, validate(build, images, split, task, config, **options)))
        return made[-1][1]

    monkeypatch.setattr(module, "validate", spy)
    done = api.search(data=str(parts), run_dir=tmp_path / "run", **LADDER)
    ((epochs, others),) = made
    assert (epochs, {report.fold for report in others.history}) == (2, {1, 2})
    assert done["best"]["val"]["n"] == 28
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    answers = read_held_out(next(iter(sorted((tmp_path / "run" / "validation").iterdir()))))
    assert answers is not None
    assert len(answers.indices) + len(others.indices) == 28
    assert manifest["choice"]["competed"] == done["finished"]
    assert (
        f"by the first of 3 folds, on {len(answers.indices)} images"
        in (tmp_path / "run" / "best" / "card.md").read_text()
    )
    assert not (tmp_path / "run" / "weights").exists()


@pytest.mark.usefixtures("low")
def test_the_final_training_is_at_most_twice_as_long_as_that_of_its_threshold(
    parts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the winner's training was shortened, its other folds are as short."""
    from compressdefect.flow import search as module

    def shortened(*given: Any, **options: Any) -> SearchOutcome:
        outcome = search(*given, **options)
        return replace(outcome, trials=[replace(trial, epochs=1) for trial in outcome.trials])

    monkeypatch.setattr(module, "search", shortened)
    api.search(data=str(parts), run_dir=tmp_path / "run", **{**LADDER, "epochs": 5, "trials": 2})
    assert Bundle.open(tmp_path / "run" / "best").manifest.training["epochs_trained"] == 2
    assert "by the final one's recipe for 1 epochs" in (tmp_path / "run" / "best" / "card.md").read_text()


def test_images_that_a_ladder_cannot_use_are_searched_without(
    parts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    api.search(data=str(parts), run_dir=tmp_path / "run", **{**LADDER, "trials": 1, "epochs": 1})
    assert "without short trainings before: a short training needs 32 images" in capsys.readouterr().err


def test_an_unknown_ladder_is_refused(parts: Path, tmp_path: Path) -> None:
    with pytest.raises(CompressDefectError, match="--ladder is one of auto, on, off: got up"):
        api.search(data=str(parts), run_dir=tmp_path / "run", **{**LADDER, "ladder": "up"})
