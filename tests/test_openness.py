"""A task and a family from outside go through every command, with one entry each and no line of the package changed.

The task needs boxes, which it reads from a Pascal VOC folder, answers by two named outputs and has a metric of its own
(`toys/locate.py`); the networks of the family have two branches that join over three scales (`toys/family.py`).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from compressdefect import api
from compressdefect.data.load import load_images
from compressdefect.deploy.bundle import Bundle
from compressdefect.errors import DataError, ModelError
from compressdefect.models.templates import TEMPLATES
from compressdefect.train.tasks import TASKS
from tests.toys.family import Toy
from tests.toys.locate import Locate
from tests.toys.pictures import write_voc

SPACE = """
[space]
name = "toy"
template = "toy"
summary = "Two branches that join over three scales."
tasks = ["locate"]
stages = 1
input = 32

[parameters]
width = { per = "net", type = "int", low = 4, high = 8, step = 4, role = "width" }
kernel = { per = "net", type = "choice", values = [3, 5] }
depth = { per = "stage", type = "int", low = 1, high = 3 }

[designs.toy]
net = { width = 8, kernel = 3 }
stages = [{ depth = 1 }]
"""
QUICK: dict[str, Any] = {"epochs": 1, "input": 32, "group": "none"}


@pytest.fixture(autouse=True)
def entries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TASKS, Locate.name, Locate)
    monkeypatch.setitem(TEMPLATES, Toy.name, Toy())


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder of a user: pictures, and a space beside them."""
    write_voc(tmp_path / "pictures")
    (tmp_path / "search_spaces").mkdir()
    (tmp_path / "search_spaces" / "toy.toml").write_text(SPACE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_they_are_searched_by_worker_processes_and_shipped(folder: Path) -> None:
    found = api.search(
        "toy", data="pictures", trials=2, workers=2, threads_per_trial=1, run_dir=folder / "run", **QUICK
    )
    assert (found["task"], found["trained"]) == ("locate", 2)
    best = found["best"]
    assert set(best["test"]) >= {"n", "located", "interval", "escape", "overkill"}
    _check_bundle(folder / "run" / "best", folder / "pictures")
    again = api.evaluate(found["run"], data="pictures")
    assert again["test"]["located"] == best["test"]["located"]


def test_a_design_is_trained_and_reported_in_the_words_of_its_task(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done = api.train("toy", data="pictures", run_dir=folder / "run", **QUICK)
    assert "timm:efficientnet_b0, which cannot locate; name others with --peers" in capsys.readouterr().err
    assert done["task"] == "locate"
    _check_bundle(folder / "run" / "best", folder / "pictures")
    card = (folder / "run" / "best" / "card.md").read_text()
    assert "| located |" in card.replace("| | located", "| located")
    assert "`scores`, float32 (N, K)" in card
    assert "`boxes`, float32 (N, 4)" in card
    page = (folder / "run" / "report.html").read_text()
    assert "Located" in page
    assert "by an overlap of half" in page


def test_a_trained_model_is_priced_with_its_own_heads(folder: Path) -> None:
    data = write_voc(folder / "more", count=48, kinds=("spot", "bar", "dent"))
    done = api.train("toy", data=str(data), run_dir=folder / "run", **QUICK)
    (priced,) = api.cost([done["run"]])["models"]
    manifest = Bundle.open(folder / "run" / "best").manifest
    assert [len(outputs) for outputs in manifest.heads.values()] == [3, 4]
    assert (priced["params"], priced["macs"]) == (manifest.cost.params, manifest.cost.macs)


def test_a_loss_that_the_task_does_not_have_is_refused(folder: Path) -> None:
    with pytest.raises(DataError, match="the task has one loss only: got dice"):
        api.train("toy", data="pictures", run_dir=folder / "run", loss="dice", **QUICK)


def test_a_peer_that_is_named_has_to_fit_the_task(folder: Path) -> None:
    with pytest.raises(ModelError, match=r"timm:efficientnet_b0 cannot locate, .*; designs to locate: toy$"):
        api.train("toy", data="pictures", run_dir=folder / "run", peers="timm:efficientnet_b0", **QUICK)
    assert not (folder / "run").exists()


def _check_bundle(best: Path, data: Path) -> None:
    """The graph that ships gives both answers, and what it gives are those that were judged."""
    bundle = Bundle.open(best)
    assert bundle.manifest.shipped.parity is not None
    assert bundle.manifest.shipped.parity.max_difference < 1e-4
    images = load_images(data, input=32, boxes=True, group="none")
    test = [images.hashes.index(digest) for digest in json.loads((best / "split.json").read_text())["test"]]
    session = onnxruntime.InferenceSession(best / "fp32.onnx")
    scores, boxes = session.run(["scores", "boxes"], {"pixels": images.pixels[test]})
    assert (scores.shape, boxes.shape) == ((len(test), 2), (len(test), 4))
    answers = json.loads((best / "predictions.json").read_text())
    judged = dict(zip(answers["names"], answers["probabilities"], strict=True))
    expected = np.array([judged[images.names[index]][1:] for index in test])
    np.testing.assert_allclose(scores, expected, atol=1e-4)
