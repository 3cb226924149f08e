from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from compressdefect.data.images import Images
from compressdefect.data.split import Split
from compressdefect.data.synthetic.plates import plates
from compressdefect.search.rungs import (
    BATCH,
    LEAST_SIDE,
    Course,
    Rung,
    course,
    fitted,
    median_width,
    recipe,
    side_of,
    why_not,
)
from compressdefect.train.classify import Classify
from compressdefect.train.config import FitConfig

IMAGES = plates(60, 60, 64)
TASK = Classify(IMAGES.classes, 0)
NONE = np.empty(0, dtype=np.int64)
ALL = np.arange(120)


def rung(steps: int = 64, scale: float = 0.5) -> Rung:
    return Rung(steps, scale, until=0.5)


def names(track: Course, rows: NDArray[np.int64]) -> list[str]:
    return [track.images.names[row] for row in rows]


def test_a_rung_shows_smaller_images_of_the_same_parts() -> None:
    track = course(IMAGES, Split(ALL[::2], ALL[1::2], NONE), TASK, rung())
    assert track.images.shape == (1, 32, 32)
    assert names(track, track.train) == [IMAGES.names[i] for i in ALL[::2]]
    assert names(track, track.scored) == [IMAGES.names[i] for i in ALL[1::2]]


def test_without_a_validation_part_the_first_fold_is_scored() -> None:
    track = course(IMAGES, Split(ALL, NONE, NONE), TASK, rung())
    assert len(track.scored) == 40
    assert sorted([*names(track, track.train), *names(track, track.scored)]) == sorted(IMAGES.names)


def test_no_more_images_than_the_steps_can_show_and_every_class_in_proportion() -> None:
    rare = np.flatnonzero(IMAGES.labels == 1)[:6]
    train = np.sort(np.concatenate([np.flatnonzero(IMAGES.labels == 0), rare]))
    split = Split(train, np.setdiff1d(ALL, train), NONE)
    few = course(IMAGES, split, TASK, rung(steps=2))
    assert len(few.train) == 2 * BATCH
    assert (few.images.labels[few.train] == 1).sum() == 3  # 6 of 66, in 32
    again = course(IMAGES, split, TASK, rung(steps=2))
    assert names(again, again.train) == names(few, few.train)
    assert len(few.images) == len(few.train) + len(few.scored), "no image is shrunk for nothing"


@pytest.mark.parametrize(("shown", "epochs"), [(64, 16), (600, 2), (1024, 1), (5000, 1)])
def test_steps_are_rounded_to_whole_epochs(shown: int, epochs: int) -> None:
    short = recipe(FitConfig(epochs=100, learning_rate=0.01), rung(), shown)
    assert (short.epochs, short.batch_size, short.score_every) == (epochs, BATCH, epochs)
    assert short.learning_rate == 0.01


def test_good_parts_are_shown_from_the_start() -> None:
    assert recipe(FitConfig(epochs=100, gradual="on"), rung(), 600).gradual is None


def test_a_side_is_a_multiple_of_eight_and_not_too_small() -> None:
    assert side_of(plates(1, 1, 200), rung()) == 96
    assert side_of(plates(1, 1, 40), rung()) == LEAST_SIDE
    assert side_of(plates(1, 1, 40), rung(scale=1.0)) == 40
    assert side_of(plates(1, 1, 100), rung(scale=1.0)) == 100


def test_why_images_cannot_be_used() -> None:
    fine = Split(ALL[::2], ALL[1::2], NONE)
    assert why_not(IMAGES, fine, TASK) is None
    assert "short training needs" in str(why_not(IMAGES, Split(ALL[:20], ALL[100:], NONE), TASK))
    assert "is scored on shows one class" in str(why_not(IMAGES, Split(ALL[:100], ALL[100:], NONE), TASK))
    escapes = Classify(("good", "dent", "scratch"), 0, "escape@overkill")
    mixed = replace(IMAGES, labels=np.where(ALL < 60, 0, 1 + ALL % 2))
    assert why_not(mixed, fine, escapes) is None
    assert "too little: " in str(why_not(mixed, Split(ALL[:100], ALL[100:], NONE), escapes))
    tiled = replace(IMAGES, sizes=np.full((120, 2), 64), tile=32)
    assert "tiles" in str(why_not(tiled, fine, TASK))


def marked(*widths: int) -> Images:
    """An image for each width, with one stripe so wide."""
    masks = np.zeros((len(widths), 64, 64), dtype=np.uint8)
    for mask, width in zip(masks, widths, strict=True):
        mask[10:50, 20 : 20 + width] = 1
    return replace(plates(0, len(widths), 64), masks=masks)


def test_narrow_defects_are_compared_at_the_whole_side() -> None:
    for widths, scale in (((1, 5, 5), 1.0), ((7, 7, 1), 0.5), ((6, 6, 1), 0.5), ((4, 4, 9), 1.0), ((0, 0), 0.5)):
        images = marked(*widths)
        split = Split(np.arange(len(widths)), NONE, NONE)
        assert fitted(rung(), images, split).scale == scale
    assert fitted(rung(), replace(images, masks=None), split) == rung()


def test_a_width_is_that_of_the_median_defect_at_its_widest() -> None:
    assert median_width(marked(1, 3, 9), np.arange(3)) == 3
    assert [median_width(marked(width), np.arange(1)) for width in range(1, 9)] == [*range(1, 9)]
    assert median_width(marked(1, 3, 9), np.array([2])) == 9
    assert median_width(marked(0), np.arange(1)) is None


def test_no_more_images_are_measured_than_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("compressdefect.search.rungs._MEASURED", 2)
    assert median_width(marked(1, 9, 3), np.arange(3)) == 2, "the first and the third"
