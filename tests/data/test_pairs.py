"""Which files beside each other are images and which are their masks."""

from __future__ import annotations

from pathlib import Path

import pytest

from compressdefect.data.formats.files import relative_name
from compressdefect.data.formats.masks import Pairs, pair
from compressdefect.data.read import read_all
from tests.data.layouts import SPOT, filled, mask_picture, picture


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (
            ["bottle_label.png", "bottle_label_mask.png"],
            Pairs({"bottle_label.png": "bottle_label_mask.png"}, [], []),
        ),
        (  # one of the images shows nothing and has no mask
            ["bottle_label.png", "bottle_label_mask.png", "jar_label.png", "jar_label_mask.png", "can_label.png"],
            Pairs(
                {"bottle_label.png": "bottle_label_mask.png", "jar_label.png": "jar_label_mask.png"},
                [],
                [],
            ),
        ),
        (["a.png", "a_label.png", "b_label.png"], Pairs({"a.png": "a_label.png"}, ["b_label.png"], [])),
        (["a.png", "a_label.png", "a_label_mask.png"], Pairs({"a.png": "a_label.png"}, [], ["a_label_mask.png"])),
        (["a.jp2", "a.png"], Pairs({"a.jp2": "a.png"}, [], [])),
        (["a.jfif", "a.png"], Pairs({"a.jfif": "a.png"}, [], [])),
    ],
)
def test_names_that_end_like_masks(names: list[str], expected: Pairs) -> None:
    assert pair(names) == expected


def test_an_image_that_is_named_like_a_mask_keeps_its_mask(tmp_path: Path) -> None:
    for name in ("bottle_label", "jar_label", "can_label"):
        picture(tmp_path / f"{name}.png")
    for name in ("bottle_label_mask", "jar_label_mask"):
        mask_picture(tmp_path / f"{name}.png", filled(SPOT))
    listing = read_all(tmp_path)
    assert listing.format == "masks"
    assert not listing.findings
    marked = {relative_name(sample.path, tmp_path): bool(sample.regions) for sample in listing.samples}
    assert marked == {"bottle_label.png": True, "can_label.png": False, "jar_label.png": True}


def test_of_two_masks_in_mvtec_one_is_used_and_the_other_named(tmp_path: Path) -> None:
    for folder in ("train/good", "test/hole"):
        picture(tmp_path / folder / "000.png")
    for name in ("000_mask.png", "000.png"):
        mask_picture(tmp_path / "ground_truth" / "hole" / name, filled(SPOT))
    listing = read_all(tmp_path)
    (region,) = next(sample.regions for sample in listing.samples if sample.regions)
    assert region.shape.path.name == "000_mask.png"  # type: ignore[union-attr]
    assert [(f.kind, f.files, f.message) for f in listing.findings] == [
        ("unexpected-mask", ("ground_truth/hole/000.png",), "another mask of its image is used")
    ]
