"""Large images in tiles, from a folder to a bundle: trained on tile by tile, judged image by image."""

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
from compressdefect.errors import DataError
from compressdefect.flow.finish import _outlines
from compressdefect.report.gallery import WHOLE
from compressdefect.report.outlines import TRUE
from compressdefect.report.pictures import SIDE
from tests.scratched import Place, write_scratched

TINY: dict[str, Any] = {"input": 32, "epochs": 1, "peers": "none"}
FIGURES = ("n", "dice", "iou", "macc", "accuracy", "threshold", "escape", "overkill")


@pytest.fixture(scope="module")
def webs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 grey webs of 40 × 120 pixels with masks beside them; every second has a bright scratch."""

    def scratch(rng: np.random.Generator) -> Place:
        row, column = rng.integers(4, 35), rng.integers(0, 90)
        return slice(row, row + 3), slice(column, column + 30)

    return write_scratched(tmp_path_factory.mktemp("data") / "webs", 24, (40, 120), scratch)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, webs: Path) -> dict[str, Any]:
    """A small design, trained with gradual training and a threshold out of fold."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    return api.train("lw-seg@0.35", data=str(webs), run_dir=folder, tile=48, gradual="on", **TINY)


def test_every_figure_is_of_whole_images(trained: dict[str, Any]) -> None:
    run = Path(trained["run"])
    split = json.loads((run / "split.json").read_text())
    assert trained["test"]["n"] == len(split["test"]) == 8
    assert trained["val"]["n"] == len(split["train"]) == 16
    answers = json.loads((run / "best" / "predictions.json").read_text())
    assert len(set(answers["names"])) == len(answers["labels"]) == len(answers["probabilities"]) == 8


def test_the_bundle_and_the_pages_say_that_it_takes_tiles(trained: dict[str, Any]) -> None:
    run = Path(trained["run"])
    manifest = Bundle.open(run / "best").manifest
    assert (manifest.preprocessing.tile, manifest.input) == (48, (1, 32, 32))
    assert (manifest.data["tile"], manifest.data["n"], manifest.data["tiles"]) == (48, 24, 24 * 3)
    card = (run / "best" / "card.md").read_text()
    assert "Takes grey tiles at 32×32, which overlap and show 48×48 pixels of an image" in card
    assert "median per tile" in card
    page = (run / "report.html").read_text()
    assert "Latency per tile" in page
    assert "72, of 48 pixels" in page


def test_evaluate_cuts_the_images_again(trained: dict[str, Any], webs: Path) -> None:
    for model in (trained["run"], f"{trained['run']}/best"):
        again = api.evaluate(model, data=str(webs))["test"]
        assert {key: again[key] for key in FIGURES} == {
            key: pytest.approx(trained["test"][key], nan_ok=True) for key in FIGURES
        }


def test_the_shipped_graph_and_the_manifest_are_enough_to_decide_alike(trained: dict[str, Any], webs: Path) -> None:
    best = Bundle.open(Path(trained["run"]) / "best")
    images = load_images(webs, input=32, masks=True, tile=best.manifest.preprocessing.tile)
    session = onnxruntime.InferenceSession(best.file("fp32.onnx"))
    answers = json.loads(best.read("predictions.json"))
    for name, row in zip(answers["names"], answers["probabilities"], strict=True):
        index = images.names.index(name)
        tiles = np.ascontiguousarray(images.pixels[images.rows(np.array([index]))])
        joined = images.join(index, session.run(None, {"pixels": tiles})[0])
        assert joined[0].min() == pytest.approx(row[0], abs=1e-4)
        assert joined[1].max() == pytest.approx(row[1], abs=1e-4)


def test_the_mistakes_are_shown_as_whole_images(trained: dict[str, Any], webs: Path) -> None:
    best = Bundle.open(Path(trained["run"]) / "best")
    images = load_images(webs, input=32, masks=True, tile=48)
    explanation = _outlines(best.network(), best.manifest.threshold, best.task(), images)
    (layer,) = explanation.layers([(images.names[1], 1)])
    assert layer is not None
    drawn, (height, width) = layer.draw(WHOLE), images.picture(1).shape[1:]
    assert drawn.shape == (4, SIDE // width * height, SIDE // width * width) == (4, 4 * 27, 4 * 80)
    assert (drawn[:3] == np.array(TRUE)[:, None, None]).all(axis=0).any()


def test_a_split_lists_each_file_once(trained: dict[str, Any], webs: Path) -> None:
    split = json.loads((Path(trained["run"]) / "split.json").read_text())
    listed = [digest for part in ("train", "val", "test", "left_out") for digest in split[part]]
    assert sorted(listed) == sorted(load_images(webs, input=32, masks=True).hashes)


@pytest.mark.long
def test_a_search_in_tiles(webs: Path, tmp_path: Path) -> None:
    done = api.search(
        "lw_cnn",
        data=str(webs),
        task="segment",
        run_dir=tmp_path / "run",
        trials=1,
        threads_per_trial=1,
        tile=48,
        **TINY,
    )
    assert done["best"]["test"]["n"] == 8
    assert json.loads((tmp_path / "run" / "manifest.json").read_text())["options"]["tile"] == 48


def test_a_trained_model_is_trained_again_on_the_tiles_it_knows(
    trained: dict[str, Any], webs: Path, tmp_path: Path
) -> None:
    again = api.train(trained["run"], data=str(webs), run_dir=tmp_path / "run", **TINY)
    assert Bundle.open(Path(again["run"]) / "best").manifest.preprocessing.tile == 48
    assert json.loads((tmp_path / "run" / "manifest.json").read_text())["options"]["tile"] == 48


def test_tiles_larger_than_every_image_are_refused(webs: Path, tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"--tile is larger than every image: got 4096, of which .* fill 1 / 32; give a"
    ):
        api.train("lw-seg@0.35", data=str(webs), tile=4096, run_dir=tmp_path / "r", **TINY)
    assert not (tmp_path / "r").exists()


def test_classes_of_images_are_not_those_of_tiles(webs: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"--tile needs a model that segments: .* got --task classify; use --task seg"):
        api.train("lightdefectnet", data=str(webs), tile=48, run_dir=tmp_path / "r", **TINY)
    assert not (tmp_path / "r").exists()
