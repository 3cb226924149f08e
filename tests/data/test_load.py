"""Loading a dataset into memory."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from compressdefect.data.images import Images
from compressdefect.data.load import load_images
from compressdefect.data.read import UNLABELLED, read_all
from compressdefect.data.split import make_split
from compressdefect.errors import DataError
from tests.conftest import SHARED_DATA
from tests.data import layouts
from tests.data.conftest import WriteImage


def test_grey_images_load_as_one_channel(good_and_defective: Path) -> None:
    images = load_images(good_and_defective, input=16)
    assert images.pixels.shape == (10, 1, 16, 16)
    assert images.pixels.dtype == np.uint8
    assert np.bincount(images.labels).tolist() == [4, 6]
    assert images.classes[images.good or 0] == "good"
    assert images.hashes[0] == hashlib.sha256((good_and_defective / images.names[0]).read_bytes()).hexdigest()


def test_jfif_and_jpeg_2000_are_read(good_and_defective: Path) -> None:
    for name, kind in (("new.jfif", "JPEG"), ("new.jp2", "JPEG2000")):
        with Image.open(good_and_defective / "good" / "0.png") as image:
            image.save(good_and_defective / "good" / name, format=kind)
    images = load_images(good_and_defective, input=16)
    assert len(images) == 12
    rows = [images.names.index(f"good/{name}") for name in ("0.png", "new.jfif", "new.jp2")]
    first, *others = images.pixels[rows].astype(int)
    assert all(np.abs(first - other).mean() < 3 for other in others)
    assert images.remarks == ()


def test_images_of_kinds_that_are_not_read_are_said(good_and_defective: Path) -> None:
    for name in ("good/a.heic", "defective/b.GIF"):
        (good_and_defective / name).touch()
    listing, images = read_all(good_and_defective), load_images(good_and_defective, input=16)
    assert [(f.kind, f.files, f.message) for f in listing.findings] == [
        ("unreadable", ("defective/b.GIF",), ".gif files are not read"),
        ("unreadable", ("good/a.heic",), ".heic files are not read"),
    ]
    assert images.remarks == ("2 images of kinds that are not read: .gif, .heic",)
    assert len(images) == 10


def test_a_folder_of_nothing_but_such_images_says_so(tmp_path: Path) -> None:
    (tmp_path / "good").mkdir()
    (tmp_path / "good" / "a.heic").touch()
    with pytest.raises(DataError, match=r"where good/a\.heic is of a kind that is not read"):
        load_images(tmp_path, input=16)


def test_one_colour_image_makes_all_rgb(good_and_defective: Path, write_image: WriteImage) -> None:
    grey = load_images(good_and_defective, input=16)
    write_image("good/colour.png", channels=3)
    images = load_images(good_and_defective, input=16)
    assert images.shape == (3, 16, 16)
    for before, name in zip(grey.pixels, grey.names, strict=True):
        np.testing.assert_array_equal(images.pixels[images.names.index(name)], np.repeat(before, 3, axis=0))


def test_progress_counts_every_image(good_and_defective: Path) -> None:
    seen: list[tuple[int, int]] = []
    load_images(good_and_defective, input=8, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(i, 10) for i in range(1, 11)]


def test_unreadable_images_are_named_and_skipped(good_and_defective: Path) -> None:
    (good_and_defective / "good" / "broken.png").write_bytes(b"nothing")
    (good_and_defective / "good" / "empty.png").write_bytes(b"")
    images = load_images(good_and_defective, input=8, max_unreadable_share=0.2)
    assert len(images) == 10
    assert [name for name, _ in images.skipped] == ["good/broken.png", "good/empty.png"]
    with pytest.raises(DataError, match=r"2 of 12 images .* good/broken\.png \(not an image, or damaged\) and others"):
        load_images(good_and_defective, input=8)


def test_class_without_a_readable_image(good_and_defective: Path) -> None:
    (good_and_defective / "dented").mkdir()
    (good_and_defective / "dented" / "0.png").write_bytes(b"nothing")
    with pytest.raises(DataError, match="no readable image: got dented"):
        load_images(good_and_defective, input=8, max_unreadable_share=0.5)


def test_copies_share_a_group_unless_told_otherwise(good_and_defective: Path) -> None:
    (good_and_defective / "good" / "copy.png").write_bytes((good_and_defective / "good" / "0.png").read_bytes())
    images = load_images(good_and_defective, input=32)
    same = [images.names.index(f"good/{name}.png") for name in ("0", "copy")]
    assert images.groups[same[0]] == images.groups[same[1]]
    assert len(set(images.groups.tolist())) == 10
    assert len(set(load_images(good_and_defective, input=32, group="none").groups.tolist())) == 11
    by_class = load_images(good_and_defective, input=32, group="^(\\w+)/")
    assert len(set(by_class.groups.tolist())) == 2


def test_saved_images_come_back(good_and_defective: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    images = load_images(good_and_defective, input=8)
    folder = tmp_path_factory.mktemp("cache") / "images"
    images.save(folder)
    loaded = Images.load(folder)
    assert isinstance(loaded.pixels, np.memmap)
    assert loaded.fingerprint == images.fingerprint
    for key, value in vars(images).items():
        np.testing.assert_array_equal(getattr(loaded, key), value, err_msg=key)


def test_fingerprint_follows_files_and_labels_only(good_and_defective: Path) -> None:
    images = load_images(good_and_defective, input=8)
    assert load_images(good_and_defective, input=16).fingerprint == images.fingerprint
    assert images.subset(np.arange(10)[::-1]).fingerprint == images.fingerprint
    assert images.subset(np.arange(9)).fingerprint != images.fingerprint
    (good_and_defective / "good" / "0.png").rename(good_and_defective / "defective" / "moved.png")
    assert load_images(good_and_defective, input=8).fingerprint != images.fingerprint


def test_masks_are_part_of_the_fingerprint_at_the_size_they_were_drawn(tmp_path: Path) -> None:
    def fingerprint(**options: Any) -> str:
        return load_images(tmp_path, group="none", **{"input": 16, "masks": True, **options}).fingerprint

    layouts.masks_in_class_folders(tmp_path)
    marked, classes = fingerprint(), fingerprint(masks=False)
    assert marked == fingerprint(input=8) != classes
    images = load_images(tmp_path, input=16, group="none", masks=True)
    assert images.subset(np.arange(len(images))[::-1]).fingerprint == marked
    assert fingerprint(labels="binary") != marked
    mask = layouts.filled(layouts.SPOT)
    mask[0, 0] = ~mask[0, 0]
    layouts.mask_picture(tmp_path / "MT_Crack" / "Imgs" / "0.png", mask)
    assert fingerprint() != marked
    assert fingerprint(masks=False) == classes


def test_masks_are_loaded_when_asked(tmp_path: Path) -> None:
    layouts.masks_in_class_folders(tmp_path)
    assert load_images(tmp_path, input=16, group="none").masks is None
    images = load_images(tmp_path, input=16, group="none", masks=True)
    assert images.masks is not None
    assert (images.masks.dtype, images.masks.shape, images.regions) == (np.uint8, (6, 16, 16), ("MT_Crack", "MT_Fray"))
    for label, value in (("MT_Crack", 1), ("MT_Fray", 2), ("MT_Free", 0)):
        of_class = images.masks[images.labels == images.classes.index(label)]
        assert set(of_class.ravel().tolist()) == {0, value}
    binary = load_images(tmp_path, input=16, group="none", masks=True, labels="binary")
    assert (binary.classes, binary.regions) == (("MT_Free", "defect"), ("defect",))


def test_images_without_a_class_are_good_if_nothing_is_marked(tmp_path: Path) -> None:
    layouts.masks_in_item_folders(tmp_path)
    for masks in (False, True):
        images = load_images(tmp_path, input=16, group="none", masks=masks)
        assert (images.classes, images.good) == (("good", "defect"), 0)
        assert images.labels.tolist() == [0, 1] * 3


def test_defects_only_need_masks(tmp_path: Path) -> None:
    layouts.crackforest(tmp_path)
    images = load_images(tmp_path, input=16, masks=True)
    assert (images.classes, images.good, len(images)) == (("defect",), None, 1)
    assert images.skipped == (("image/002.jpg", UNLABELLED),)
    with pytest.raises(DataError, match="at least two classes: got defect"):
        load_images(tmp_path, input=16)


def test_unmarked_defects_are_left_out_with_masks_only(tmp_path: Path) -> None:
    layouts.masks_of_some_good(tmp_path)
    assert len(load_images(tmp_path, input=16)) == 5
    images = load_images(tmp_path, input=16, masks=True)
    assert images.skipped == (("scratch/unmarked.bmp", "nobody marked its defects"),)
    assert (len(images), images.regions) == (4, ("scratch",))


def test_masks_need_not_decide_which_images_there_are(tmp_path: Path) -> None:
    layouts.masks_of_some_good(tmp_path)
    (tmp_path / "scratch" / "0_mask.png").write_bytes(b"")
    plain, images = (load_images(tmp_path, input=16, masks=masks, only_marked=False) for masks in (False, True))
    assert (images.names, images.classes, images.good) == (plain.names, plain.classes, plain.good)
    assert images.marked.tolist() == [name == "scratch/1.bmp" for name in images.names]
    assert images.skipped == (("the mask of scratch/0.bmp", "not an image, or damaged"),)


def test_data_without_masks_cannot_be_segmented(good_and_defective: Path) -> None:
    with pytest.raises(DataError, match="no image has its defects marked"):
        load_images(good_and_defective, input=16, masks=True)
    images = load_images(good_and_defective, input=16, masks=True, only_marked=False)
    assert not images.marked.any()


def test_the_class_without_marks_is_the_good_one(tmp_path: Path) -> None:
    for label, mask in (("a", layouts.EMPTY), ("b", layouts.filled(layouts.SPOT))):
        for i in range(2):
            layouts.picture(tmp_path / label / f"{i}.jpg")
            layouts.mask_picture(tmp_path / label / f"{i}.png", mask)
    assert load_images(tmp_path, input=16, group="none").good == 0
    assert load_images(tmp_path, input=16, group="none", masks=True).regions == ("b",)
    assert load_images(tmp_path, input=16, group="none", good="b").good == 1


def test_masks_of_another_size_and_broken_ones_are_named(tmp_path: Path) -> None:
    layouts.masks_in_class_folders(tmp_path)
    home = tmp_path / "MT_Crack" / "Imgs"
    layouts.mask_picture(home / "0.png", np.ones((30, 20), dtype=np.bool_))
    (home / "1.png").write_bytes(b"")
    with pytest.raises(DataError, match="2 of 6 images"):
        load_images(tmp_path, input=16, masks=True)
    reasons = dict(load_images(tmp_path, input=16, masks=True, max_unreadable_share=0.5).skipped)
    assert "another size than its image: 20 × 30 for an image of 30 × 20, perhaps" in reasons["MT_Crack/Imgs/0.jpg"]
    assert "not an image" in reasons["MT_Crack/Imgs/1.jpg"]
    assert len(load_images(tmp_path, input=16)) == 6  # the classes alone need no masks


def test_official_parts_come_with_the_images(tmp_path: Path) -> None:
    layouts.yolo(tmp_path)
    images = load_images(tmp_path, input=16, group="none", masks=True)
    assert images.splits is not None
    split = make_split(images)
    assert {images.splits[i] for i in split.train} == {"train"}
    assert {images.splits[i] for i in split.test} == {"val"}
    assert images.regions == ("bar", "spot")


def test_the_same_images_are_tested_at_every_input_size(tmp_path: Path) -> None:
    """Two photographs of each of 40 parts, so noisy that the smaller they are shown the more alike they look."""
    rng = np.random.default_rng(0)
    for number in range(40):
        coarse = Image.fromarray(rng.integers(0, 256, (12, 12), dtype=np.uint8))
        part = np.asarray(coarse.resize((96, 96), Image.Resampling.BICUBIC)).astype(float)
        for exposure, gain in enumerate((1.0, 0.6)):
            pixels = part * gain + rng.normal(0, 60 * gain, part.shape)
            path = tmp_path / ("good", "dent")[number % 2] / f"{number:02}_{exposure}.png"
            path.parent.mkdir(exist_ok=True)
            Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(path)
    loaded = [load_images(tmp_path, input=side) for side in (16, 64, 224)]
    groups = [images.groups.tolist() for images in loaded]
    assert groups[0] == groups[1] == groups[2]
    assert 40 <= len(set(groups[0])) < 80
    tests = [[images.names[i] for i in make_split(images, seed=3).test] for images in loaded]
    assert tests[0] == tests[1] == tests[2]


@pytest.mark.skipif(SHARED_DATA is None, reason="shared data not present")
def test_no_mask_of_the_magnetic_tiles_is_lost() -> None:
    assert SHARED_DATA is not None
    images = load_images(SHARED_DATA / "magnetic_tile", input=32, group="none", masks=True)
    assert images.masks is not None
    marked = images.masks.any(axis=(1, 2))
    assert marked.sum() == 392 - 4  # four masks of MT_Uneven are empty
    assert not marked[images.labels == images.good].any()


def test_neu_is_grey_with_its_known_duplicate(neu: Images) -> None:
    assert neu.pixels.shape == (1800, 1, 64, 64)  # RGB files with grey content
    twins = [neu.names.index(f"IMAGES/patches_{number}.jpg") for number in (101, 105)]
    assert neu.groups[twins[0]] == neu.groups[twins[1]]
    assert len(set(neu.groups.tolist())) >= 1790


@pytest.mark.long
@pytest.mark.skipif(SHARED_DATA is None, reason="shared data not present")
def test_neu_loads_in_fifteen_seconds() -> None:
    assert SHARED_DATA is not None
    started = time.process_time()
    load_images(SHARED_DATA / "neu_det")
    assert time.process_time() - started < 15


def test_an_image_that_memory_does_not_hold_at_its_size_is_said_so(
    good_and_defective: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr("compressdefect.data.load.resize", fail)
    with pytest.raises(
        DataError, match=r"do not fit into memory: got defective/0\.png at 16 × 16 pixels; give a larger"
    ):
        load_images(good_and_defective, input=16)


def test_boxes_are_loaded_at_the_size_of_the_input(tmp_path: Path) -> None:
    layouts.voc(tmp_path)
    images = load_images(tmp_path, input=30, boxes=True)
    whole = load_images(tmp_path, input=30, masks=True)
    assert images.boxes is not None
    assert whole.masks is not None
    assert images.masks is None
    assert images.regions == whole.regions
    assert any(len(boxes) for boxes in images.boxes)
    for boxes, mask in zip(images.boxes, whole.masks, strict=True):
        drawn = np.zeros_like(mask)
        for x0, y0, x1, y1, number in boxes.round().astype(int):
            drawn[y0:y1, x0:x1] = 1 + number
        assert np.mean(drawn != mask) < 0.02  # but for the rounding of borders


def test_other_boxes_are_other_data(tmp_path: Path) -> None:
    layouts.voc(tmp_path)
    with_boxes = load_images(tmp_path, input=16, boxes=True)
    assert with_boxes.fingerprint == load_images(tmp_path, input=32, boxes=True).fingerprint
    assert with_boxes.fingerprint != load_images(tmp_path, input=16, masks=True).fingerprint
