"""The report of a run that segments: Dice beside escape and overkill, and outlines over the mistakes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from compressdefect.data.truth import Truth
from compressdefect.deploy.manifest import Reading
from compressdefect.report import gallery, headline, tables
from compressdefect.report.evidence import read_evidence
from compressdefect.report.gallery import Explanation, Layer
from compressdefect.report.html import write_report
from compressdefect.report.outlines import ANSWER, TRUE, outlines
from compressdefect.runs import RunFolder
from compressdefect.train.segment import Segment
from tests.report.fake_run import FakeImages, make_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, FakeImages]:
    """A classification's run whose model, it is said, segments: 2 × 2 pixels, half of the defect found."""
    path, classes = tmp_path_factory.mktemp("segment") / "run", ("background", "scratch")
    images = make_run(path, classes=classes, good=0, trials=0, side=24, per_class=40)
    folder, task = RunFolder(path), Segment(classes)
    truth = torch.tensor([[[0, 0], [0, 0]], [[1, 1], [0, 0]]]).repeat_interleave(40, dim=0)
    found = torch.nn.functional.one_hot(truth * torch.tensor([[1, 0], [0, 0]]), 2).permute(0, 3, 1, 2).float()
    bundle = json.loads((folder.best / "bundle.json").read_text())
    records = task.record({"probabilities": found}, Truth(truth[:, 0, 0], truth))
    figures = task.metrics(records, np.repeat([0, 1], 40), threshold=0.5)
    reading = {"task": "segment", "heads": dict(task.heads), "classes": task.classes}
    reading["reading"] = Reading.of(task).model_dump()
    (folder.best / "bundle.json").write_text(
        json.dumps({**bundle, **reading, "metrics": {"test": {**bundle["metrics"]["test"], **figures}}})
    )
    folder.update_manifest(task="segment", metric="dice")
    return path, images


def test_dice_stands_beside_escape_and_overkill(run: tuple[Path, FakeImages]) -> None:
    evidence = read_evidence(run[0])
    assert [tile.title for tile in headline.quality(evidence)] == ["Escape rate", "Overkill", "Dice"]
    assert headline.quality(evidence)[2].value == "66.7 %"
    assert evidence.classes == ("good", "scratch")
    assert evidence.metric_title == "Dice"
    table = tables.overlap(evidence)
    assert table is not None
    assert [row.cells[0] for row in table.rows] == ["background", "scratch"]
    assert tables.overlap(evidence).markup().count("66.7 %") == 1  # type: ignore[union-attr]


def test_outlines_are_named_as_such(run: tuple[Path, FakeImages]) -> None:
    path, images = run
    layer = Layer(lambda part: np.zeros((4, 24, 24), dtype=np.uint8))
    explanation = Explanation("Blue around what is there.", "outlines", lambda asked: [layer] * len(asked))
    shown = gallery.compute(read_evidence(path), images, explanation)
    cards = [card for group in shown.mistakes for card in group.cards]
    assert cards
    assert all(card.panes[1].said == f"{card.mistake.name}, with outlines" for card in cards)
    page = write_report(path, images=images, explanation=explanation).read_text()
    assert "Blue around what is there." in page
    assert "map of" not in page


def test_without_an_operating_point_the_pixels_speak(run: tuple[Path, FakeImages], tmp_path: Path) -> None:
    import shutil

    shutil.copytree(run[0], tmp_path / "run")
    bundle = json.loads((tmp_path / "run/best/bundle.json").read_text())
    bundle["metrics"]["test"] |= {"escape": None, "overkill": None}
    (tmp_path / "run/best/bundle.json").write_text(json.dumps(bundle))
    evidence = read_evidence(tmp_path / "run")
    assert [tile.title for tile in headline.quality(evidence)] == ["Dice", "IoU"]
    assert "finds defects with a Dice of 66.7 %" in headline.sentence(evidence)


def test_both_outlines_are_seen_where_the_masks_agree() -> None:
    mask = np.zeros((320, 320), dtype=bool)
    mask[100:200, 100:200] = True
    layer = outlines(mask, mask, 320)
    true, found = (np.all(layer[:3] == np.array(color)[:, None, None], axis=0) for color in (TRUE, ANSWER))
    assert found.sum() == 100**2 - 96**2  # two pixels inside the mask's own border
    assert (found & mask).sum() == found.sum()
    assert true.sum() == 2 * 4 * 100 + 4  # two pixels outside it, the corners cut
    assert not (true & mask).any()
    assert (layer[3] == 255).sum() == true.sum() + found.sum()


def test_a_single_pixel_has_an_outline_that_scaling_keeps() -> None:
    mask = np.zeros((1280, 64), dtype=bool)
    mask[100, 30] = True
    layer = outlines(mask, np.zeros_like(mask), 320)
    rows, _ = np.nonzero(layer[3])
    assert (rows.min(), rows.max()) == (94, 106)  # six pixels each way, for a picture four times smaller


def test_the_outlines_of_a_small_crop_are_fine_lines() -> None:
    mask = np.zeros((20, 16), dtype=bool)
    mask[5:10, 5:10] = True
    layer = outlines(mask, mask, 320)
    assert layer.shape == (4, 320, 256)
    assert np.nonzero(layer[3])[0].min() == 5 * 16 - 2
