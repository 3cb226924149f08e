"""Segmentation from a folder of masks to a bundle, and which task a command takes up."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from compressdefect import api
from compressdefect.data.load import load_images
from compressdefect.data.marks.shapes import Box
from compressdefect.data.sample import Listing, Region, Sample
from compressdefect.deploy.bundle import Bundle
from compressdefect.errors import DataError, ModelError
from compressdefect.flow import prepare
from compressdefect.flow.prepare import choose_task
from compressdefect.flow.request import Request
from compressdefect.options import DataOptions, SearchOptions
from compressdefect.train.segment import Segment
from tests.scratched import Place, write_scratched

TINY: dict[str, Any] = {"input": 32, "epochs": 1, "peers": "none"}
BOTH = ("classify", "segment")


@pytest.fixture(scope="module")
def plates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 grey images of 32 × 32 pixels with masks beside them; every second has a bright scratch."""

    def scratch(rng: np.random.Generator) -> Place:
        row = rng.integers(4, 28)
        return slice(row, row + 2), slice(4, 28)

    return write_scratched(tmp_path_factory.mktemp("data") / "plates", 40, (32, 32), scratch)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, plates: Path) -> dict[str, Any]:
    """Two steps of a small design."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    return api.train("lw-seg@0.35", data=str(plates), run_dir=folder, loss="bce+dice", batch_size=14, **TINY)


def test_a_training_leaves_a_segmenting_bundle(trained: dict[str, Any]) -> None:
    assert trained["task"] == "segment"
    keys = {"n", "dice", "iou", "macc", "tpr", "tnr", "accuracy", "interval", "threshold", "escape", "overkill"}
    assert keys <= set(trained["test"])
    run = Path(trained["run"])
    manifest = Bundle.open(run / "best").manifest
    assert (manifest.task, manifest.classes, manifest.good) == ("segment", ("good", "defect"), 0)
    assert manifest.shipped.parity is not None
    assert manifest.shipped.parity.max_difference < 1e-4
    assert json.loads((run / "manifest.json").read_text())["metric"] == "dice"
    card = (run / "best" / "card.md").read_text()
    assert "float32 (N, K, H, W)" in card
    assert "| mAcc |" in card
    answers = json.loads((run / "best" / "predictions.json").read_text())
    assert len(answers["groups"]) == len(answers["names"]) == trained["test"]["n"]
    page = (run / "report.html").read_text()
    assert "Dice" in page


def test_the_bundle_predicts_as_the_run_reports(trained: dict[str, Any], plates: Path) -> None:
    """The shipped graph alone, on the test images found again by hash, gives the figures that were printed."""
    best = Path(trained["run"]) / "best"
    images = load_images(plates, input=32, masks=True)
    assert images.masks is not None
    test = [images.hashes.index(digest) for digest in json.loads((best / "split.json").read_text())["test"]]
    session = onnxruntime.InferenceSession(best / "fp32.onnx")
    (found,) = session.run(None, {"pixels": np.ascontiguousarray(images.pixels[test])})
    assert found.shape == (len(test), 2, 32, 32)
    truth, called = images.masks[test] > 0, found.argmax(axis=1) > 0
    dice = 2 * (truth & called).sum() / (truth.sum() + called.sum())
    assert float(dice) == pytest.approx(trained["test"]["dice"])
    scores, is_good = (1 - found[:, 0].astype(float)).max(axis=(1, 2)), ~truth.any(axis=(1, 2))
    rejected = scores > Bundle.open(best).manifest.threshold
    assert float((~rejected[~is_good]).mean()) == pytest.approx(trained["test"]["escape"])
    assert float(rejected[is_good].mean()) == pytest.approx(trained["test"]["overkill"])


def test_evaluate_advises_no_option_that_it_lacks(trained: dict[str, Any], plates: Path, tmp_path: Path) -> None:
    unmarked = tmp_path / "plates"
    unmarked.mkdir()
    for image in plates.rglob("*.png"):
        if "mask" not in image.name:
            (unmarked / image.parent.name).mkdir(exist_ok=True)
            shutil.copy(image, unmarked / image.parent.name)
    with pytest.raises(DataError, match="add masks") as error:
        api.evaluate(trained["run"], data=str(unmarked))
    assert "--task" not in str(error.value)


def test_evaluate_finds_the_test_images_again(trained: dict[str, Any], plates: Path) -> None:
    again = api.evaluate(trained["run"], data=str(plates))
    assert again["task"] == "segment"
    for key in ("n", "dice", "iou", "macc", "threshold", "escape", "overkill"):
        assert again["test"][key] == pytest.approx(trained["test"][key]), key


def test_a_task_that_does_not_say_where_is_reported_without_outlines(
    trained: dict[str, Any], plates: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Masks may be needed to train by alone."""
    monkeypatch.setattr(Segment, "marks", lambda self, answers, threshold: None)
    page = Path(api.report(trained["run"], data=str(plates))["report"]).read_text()
    assert "The test images, undistorted." in page
    assert "outlines" not in page


def test_a_timm_encoder_gets_the_decoder(plates: Path, tmp_path: Path) -> None:
    """Nothing says how the images are to be classified, so the model is built to segment, and found again so."""
    run = tmp_path / "run"
    done = api.train("timm:mobilenetv3_small_100", data=str(plates), run_dir=run, val_share=0, **TINY)
    assert done["task"] == "segment"
    network = Bundle.open(run / "best").network()
    assert type(network.network).__name__ == "PretrainedSegmenter"


def test_a_search_to_segment(plates: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    done = api.search(
        "lw_cnn", data=str(plates), task="segment", run_dir=run, trials=2, threads_per_trial=1, metric="iou", **TINY
    )
    assert done["trained"] == 2
    assert json.loads((run / "manifest.json").read_text())["metric"] == "iou"
    assert json.loads((run / "best" / "bundle.json").read_text())["design"]["genotype"]["net"]["task"] == "segment"
    assert (run / "report.html").is_file()


@pytest.mark.parametrize(
    ("data", "expected"), [("parts", "classify"), ("plates", "segment"), ("synthetic", "classify")]
)
def test_the_annotations_decide_what_the_model_leaves_open(
    request: pytest.FixtureRequest, data: str, expected: str
) -> None:
    folder = data if data == "synthetic" else str(request.getfixturevalue(data))
    assert choose_task(DataOptions(data=folder), BOTH) == expected
    assert choose_task(DataOptions(data=folder, task="segment"), BOTH) == "segment"
    assert choose_task(DataOptions(data=folder), ("classify",)) == "classify"


@pytest.mark.parametrize(("marked", "expected"), [((), "classify"), ((Region("dent", Box(0, 0, 2, 2)),), "segment")])
def test_an_image_without_a_class_decides_only_by_what_is_marked_in_it(
    monkeypatch: pytest.MonkeyPatch, marked: tuple[Region, ...], expected: str
) -> None:
    samples = Sample(Path("a.png"), "good"), Sample(Path("b.png"), None, regions=marked)
    monkeypatch.setattr(prepare, "read_all", lambda *_: Listing("x", Path(), samples, ("good",)))
    assert choose_task(DataOptions(data="x"), BOTH) == expected


def test_the_space_follows_the_task(parts: Path, plates: Path) -> None:
    assert Request.make(SearchOptions(data=str(parts), peers="none")).space.name == "lightdefectnet"
    request = Request.make(SearchOptions(data=str(plates), peers="none"))
    assert (request.space.name, request.task) == ("lw_cnn", "segment")
    assert all(design.net["task"] == "segment" for design in request.space.designs.values())


def test_tasks_that_are_not_to_be_had_are_refused(parts: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such task: got paint; known: classify, segment"):
        api.train("lw-seg@0.35", data=str(parts), task="paint", run_dir=tmp_path / "r", **TINY)
    with pytest.raises(ModelError, match="lightdefectnet cannot segment, it is made to classify; designs to segment"):
        api.train("lightdefectnet", data=str(parts), task="segment", run_dir=tmp_path / "r", **TINY)
    with pytest.raises(DataError, match="unknown metric: got accuracy; known: dice"):
        api.search("lw_cnn", data=str(parts), task="segment", metric="accuracy", run_dir=tmp_path / "r", **TINY)
    with pytest.raises(DataError, match="unknown loss: got beauty"):
        api.train("lw-seg@0.35", data=str(parts), loss="beauty", run_dir=tmp_path / "r", **TINY)
    with pytest.raises(DataError, match="add masks, or classify them instead"):
        api.train("lw-seg@0.35", data=str(parts), run_dir=tmp_path / "r", **TINY)
    assert not (tmp_path / "r").exists()
