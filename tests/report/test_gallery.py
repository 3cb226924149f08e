from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from compressdefect.report import gallery
from compressdefect.report.evidence import read_evidence
from compressdefect.report.verdicts import CONFUSION, ESCAPE, OVERKILL, Mistake
from tests.report.fake_run import FakeImages, fake_cam, make_run


def _open(address: str) -> Image.Image:
    head, _, body = address.partition(",")
    assert head == "data:image/png;base64"
    return Image.open(io.BytesIO(base64.b64decode(body)))


@pytest.fixture(scope="module", params=[1, 3], ids=["grey", "rgb"])
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, FakeImages]:
    path = tmp_path_factory.mktemp("gallery") / "run"
    classes = ("scratch", "good", "spot")
    return path, make_run(path, classes=classes, good=1, channels=request.param, trials=0, side=24, per_class=200)


def test_escapes_come_first(run: tuple[Path, FakeImages]) -> None:
    groups = gallery.compute(read_evidence(run[0]), run[1], fake_cam)
    assert [group.kind for group in groups] == [ESCAPE, OVERKILL, CONFUSION]


def test_the_cap_is_per_kind_and_states_what_is_left_out(run: tuple[Path, FakeImages]) -> None:
    evidence = read_evidence(run[0])
    whole = {g.kind: len(g.cards) for g in gallery.compute(evidence, per_kind=10_000)}
    groups = gallery.compute(evidence, per_kind=1)
    assert {g.kind: len(g.cards) + g.left_out for g in groups} == whole
    assert all(len(g.cards) == 1 for g in groups)
    assert f"{groups[0].left_out} more of this kind are not shown" in gallery.draw(evidence, groups)


def test_pictures_are_the_images_they_name(run: tuple[Path, FakeImages]) -> None:
    path, images = run
    card = gallery.compute(read_evidence(path), images, fake_cam)[0].cards[0]
    shown = np.asarray(_open(card.picture))
    wanted = images.pixels[images.names.index(card.mistake.name)]
    assert np.array_equal(shown, wanted[0] if len(wanted) == 1 else wanted.transpose(1, 2, 0))
    assert _open(card.layer).mode == "RGBA"


def test_maps_are_asked_for_the_class_that_explains_the_mistake(run: tuple[Path, FakeImages]) -> None:
    asked: list[tuple[int, int]] = []

    def cam(pixels: NDArray[np.uint8], target: int) -> NDArray[np.float64]:
        asked.append((len(pixels), target))
        return fake_cam(pixels, target)

    groups = gallery.compute(read_evidence(run[0]), run[1], cam)
    assert 1 not in {target for _, target in asked}  # never the good class: it has no place in a picture
    assert sum(n for n, _ in asked) == sum(len(g.cards) for g in groups)
    for group in groups:
        for card in group.cards:
            wanted = card.mistake.label if group.kind == ESCAPE else card.mistake.answer
            assert card.shown == gallery.evidence_class(card.mistake) == wanted


def test_without_images_names_and_scores_remain(run: tuple[Path, FakeImages]) -> None:
    evidence = read_evidence(run[0])
    groups = gallery.compute(evidence)
    page = gallery.draw(evidence, groups)
    assert "not at hand" in page
    assert "data:image" not in page
    assert groups[0].cards[0].mistake.name in page


def test_an_image_that_is_gone_leaves_its_card(run: tuple[Path, FakeImages]) -> None:
    evidence = read_evidence(run[0])
    cards = gallery.compute(evidence, FakeImages(run[1].pixels[:0], ()), fake_cam)[0].cards
    assert cards
    assert cards[0].picture is None


def test_large_images_are_scaled_down() -> None:
    assert max(_open(gallery.png(np.zeros((1, 700, 500), np.uint8))).size) == gallery.PICTURE_SIDE


def test_heat_is_clear_where_cold_and_red_where_hot() -> None:
    heat = np.zeros((64, 64))
    heat[32:, :] = 1.0
    pixels = np.asarray(_open(gallery.heat_png(heat)))
    assert pixels[0, 0, 3] == 0
    assert tuple(pixels[-1, 0]) == (255, 0, 30, 190)


def test_a_confusion_shows_the_wrong_answer() -> None:
    assert gallery.evidence_class(Mistake(CONFUSION, 0, "a", label=1, answer=2, score=0.9)) == 2
