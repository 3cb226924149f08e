"""Parts under a fixed camera are told apart, photographs of one part stay together."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from compressdefect.data.duplicates import look_of
from compressdefect.data.groups import groups_by_look
from compressdefect.data.load import load_images
from compressdefect.data.split import make_split
from tests.data.fixture import Fixture, photographs, smooth, write

Pictures = list[np.ndarray]


def _groups(images: Pictures) -> np.ndarray:
    looks = [look_of(Image.fromarray(image)) for image in images]
    return groups_by_look(looks, [str(i) for i in range(len(images))]).numbers


def _torn(groups: np.ndarray, parts: np.ndarray) -> int:
    """How many parts have photographs in several groups."""
    return sum(len(np.unique(groups[parts == part])) > 1 for part in np.unique(parts))


def test_eighty_parts_in_one_view_can_be_split(tmp_path: Path) -> None:
    images = load_images(write(tmp_path, photographs(Fixture(), 80)), input=32)
    split = make_split(images)
    assert images.remarks == (
        "80 images look alike, as different parts in one fixed view do, and are grouped by what differs; if one part"
        " has more than 25 of them, name the parts: --group REGEX",
    )
    assert len(np.unique(images.groups)) >= 70
    assert 22 <= len(split.test) <= 26  # 30 %
    assert np.bincount(images.labels[split.test]).min() >= 10


@pytest.mark.parametrize("seed", range(3))
def test_parts_that_differ_in_noise_alone_are_different(seed: int) -> None:
    fixture = Fixture(seed)
    assert len(np.unique(_groups([fixture.photograph(fixture.part(False, texture=0)) for _ in range(80)]))) >= 70


@pytest.mark.parametrize("moves", [{}, {"shift": 1, "slope": 0.03}, {"light": 0.2}])
def test_photographs_of_one_part_stay_together_in_the_view(moves: dict[str, float]) -> None:
    groups = _groups(photographs(Fixture(**moves), 30, each=3))
    assert _torn(groups, np.repeat(np.arange(30), 3)) <= 1
    assert len(np.unique(groups)) >= 27


def test_two_kinds_of_parts_in_one_view() -> None:
    """What all parts of a kind have in common hides what differs between them until it is taken away too."""
    fixture = Fixture()
    mark = np.zeros((96, 96))
    mark[30:60, 40:60] = 40
    images = [fixture.photograph(fixture.part(False) + mark * (n % 2)) for n in range(80)]
    assert len(np.unique(_groups(images))) >= 70


def test_six_views_of_thirty_parts() -> None:
    groups = _groups([image for seed in range(6) for image in photographs(Fixture(seed), 30)])
    assert len(np.unique(groups)) >= 150


def test_exposures_of_one_part_are_no_view() -> None:
    """Six of each of 4 parts are a quarter of the data, and still as many as one part is photographed."""
    rng, images = np.random.default_rng(0), []
    for _ in range(4):
        part = 125 + smooth(rng, 8, 95)
        images += [np.clip(part * gain, 0, 255).astype(np.uint8) for gain in (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)]
    assert _groups(images).tolist() == np.repeat(range(4), 6).tolist()
