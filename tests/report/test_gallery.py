from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from compressdefect.errors import ModelError
from compressdefect.report import gallery
from compressdefect.report.evidence import read_evidence
from compressdefect.report.gallery import Explanation, Layer, Part
from compressdefect.report.originals import Box, Extent
from compressdefect.report.verdicts import CONFUSION, ESCAPE, NEAR_ESCAPE, NEAR_OVERKILL, OVERKILL, Mistake
from tests.report.fake_run import FakeImages, explain, make_run


def _open(pane: gallery.Pane) -> np.ndarray:
    head, _, body = pane.address.partition(",")
    assert head == "data:image/jpeg;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(body)))).astype(int)


@pytest.fixture(scope="module", params=[1, 3], ids=["grey", "rgb"])
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, FakeImages]:
    path = tmp_path_factory.mktemp("gallery") / "run"
    classes = ("scratch", "good", "spot")
    return path, make_run(path, classes=classes, good=1, channels=request.param, trials=0, side=24, per_class=200)


def test_escapes_come_first_and_near_misses_by_themselves(run: tuple[Path, FakeImages]) -> None:
    shown = gallery.compute(read_evidence(run[0]), run[1], explain(run[1]))
    assert [group.kind for group in shown.mistakes] == [ESCAPE, OVERKILL, CONFUSION]
    assert [(group.kind, len(group.cards)) for group in shown.near] == [(NEAR_ESCAPE, 8), (NEAR_OVERKILL, 8)]


def test_the_cap_is_per_kind_and_states_what_is_left_out(run: tuple[Path, FakeImages]) -> None:
    evidence = read_evidence(run[0])
    whole = {g.kind: len(g.cards) for g in gallery.compute(evidence, per_kind=10_000).mistakes}
    groups = gallery.compute(evidence, per_kind=1).mistakes
    assert {g.kind: len(g.cards) + g.left_out for g in groups} == whole
    assert all(len(g.cards) == 1 for g in groups)
    assert f"{groups[0].left_out} more of this kind are in the list" in gallery.draw(evidence, groups)


def test_pictures_are_the_images_they_name(run: tuple[Path, FakeImages]) -> None:
    path, images = run
    plain, over = gallery.compute(read_evidence(path), images, explain(images)).mistakes[0].cards[0].panes
    name = gallery.compute(read_evidence(path)).mistakes[0].cards[0].mistake.name
    pixels = images.picture(name).astype(int)
    wanted = (pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0)).repeat(13, axis=0).repeat(13, axis=1)
    assert _open(plain).shape == wanted.shape  # enlarged, each pixel to a square
    assert abs(_open(plain) - wanted).mean() < 6  # but for the compression
    assert _open(over).shape[2] == 3
    assert (plain.said, over.said) == (name, f"{name}, with map of {name.partition('/')[0]}")


def test_pictures_are_images_that_print(run: tuple[Path, FakeImages]) -> None:
    """A background would be left out on paper."""
    evidence = read_evidence(run[0])
    shown = gallery.compute(evidence, run[1], explain(run[1]))
    markup = gallery.draw(evidence, shown.mistakes)
    cards = sum(len(group.cards) for group in shown.mistakes)
    assert markup.count('<img src="data:image/jpeg') == 2 * cards
    assert "url(" not in markup
    assert "lazy" not in markup


def test_maps_are_asked_for_the_class_that_explains_the_verdict(run: tuple[Path, FakeImages]) -> None:
    asked: list[tuple[str, int]] = []
    shown = gallery.compute(read_evidence(run[0]), run[1], explain(run[1], asked))
    cards = [card for group in (*shown.mistakes, *shown.near) for card in group.cards]
    assert sorted(asked) == sorted((c.mistake.name, gallery.evidence_class(c.mistake)) for c in cards)
    mistaken = {card.mistake.name for group in shown.mistakes for card in group.cards}
    assert all(target != 1 for name, target in asked if name in mistaken)  # good has no place in a picture


def test_a_small_defect_is_cropped_from_the_original(run: tuple[Path, FakeImages]) -> None:
    """A web of 1200 × 300 pixels keeps its shape, and its scratch of 20 is seen."""
    evidence = read_evidence(run[0])
    name = gallery.compute(evidence).mistakes[0].cards[0].mistake.name
    web = np.full((1, 1, 300, 1200), 90, dtype=np.uint8)
    web[..., 200:204, 1000:1020] = 250
    images = FakeImages(web, (name,), {name: Extent(80, Box(200, 1000, 204, 1020))})
    card = gallery.compute(evidence, images, explain(images)).mistakes[0].cards[0]
    assert card.mistake.name == name
    assert card.whole is not None
    assert _open(card.whole).shape[:2] == (80, 320)
    crop = _open(card.panes[0])
    assert crop.shape == (320, 320)  # 64 × 64 pixels, enlarged five times
    assert (crop > 200).sum() == pytest.approx(80 * 25, rel=0.1)
    assert card.panes[1].said.startswith("the framed part of")


def test_a_large_defect_needs_no_crop(run: tuple[Path, FakeImages]) -> None:
    evidence = read_evidence(run[0])
    name = gallery.compute(evidence).mistakes[0].cards[0].mistake.name
    images = FakeImages(np.zeros((1, 1, 100, 100), np.uint8), (name,), {name: Extent(900, Box(10, 10, 60, 60))})
    assert gallery.compute(evidence, images).mistakes[0].cards[0].whole is None


def test_where_nothing_is_marked_the_crop_is_what_the_layer_points_to(run: tuple[Path, FakeImages]) -> None:
    evidence = read_evidence(run[0])
    name = next(m.name for m in (c.mistake for c in gallery.compute(evidence).mistakes[1].cards))
    images, asked = FakeImages(np.zeros((1, 1, 400, 800), np.uint8), (name,)), []

    def draw(part: Part) -> np.ndarray:
        asked.append(part)
        return np.zeros((4, 5, 5), np.uint8)

    layer = Layer(draw, Part(0.5, 0.5, 0.6, 0.55))
    card = gallery.compute(evidence, images, Explanation("", "outlines", lambda _: [layer])).mistakes[1].cards[0]
    assert card.whole is not None
    assert asked == [Part.of(Box(180, 380, 260, 460), 400, 800)]


def test_without_images_names_and_scores_remain(run: tuple[Path, FakeImages]) -> None:
    evidence = read_evidence(run[0])
    shown = gallery.compute(evidence)
    page = gallery.draw(evidence, shown.mistakes)
    assert "not at hand" in shown.note
    assert "data:image" not in page
    assert shown.mistakes[0].cards[0].mistake.name in page


def test_an_image_that_is_gone_leaves_its_card(run: tuple[Path, FakeImages]) -> None:
    evidence = read_evidence(run[0])
    shown = gallery.compute(evidence, FakeImages(run[1].pixels[:0], ()), explain(run[1]))
    assert shown.mistakes[0].cards
    assert shown.mistakes[0].cards[0].panes == ()


def test_a_model_without_maps_leaves_the_pictures(run: tuple[Path, FakeImages]) -> None:
    def refuse(asked: object) -> list[Layer]:
        raise ModelError("the network's features are no maps (N, C, h, w)", got=(1, 5, 8))

    shown = gallery.compute(read_evidence(run[0]), run[1], Explanation("Maps.", "map of {}", refuse))
    cards = [card for group in (*shown.mistakes, *shown.near) for card in group.cards]
    assert cards
    assert all(len(card.panes) == 1 for card in cards)
    assert shown.note.startswith("The test images, undistorted.")
    assert shown.note.endswith("Where the model looked is not shown: the network's features are no maps (N, C, h, w).")


def test_a_confusion_shows_the_wrong_answer() -> None:
    assert gallery.evidence_class(Mistake(CONFUSION, 0, "a", label=1, answer=2, score=0.9)) == 2
