"""Layouts, classes and the good class."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from pathlib import Path

import pytest

from compressdefect.data.labels import choose_labels, default_good
from compressdefect.data.read import READERS, UNLABELLED, read, read_all
from compressdefect.errors import DataError
from tests.conftest import SHARED_DATA
from tests.data import layouts
from tests.data.conftest import WriteImage

NEU = ("crazing", "inclusion", "patches", "pitted_surface", "rolled-in_scale", "scratches")
MAGNETIC = {"MT_Blowhole": 115, "MT_Break": 85, "MT_Crack": 57, "MT_Fray": 32, "MT_Free": 952, "MT_Uneven": 103}


def test_class_folders(good_and_defective: Path) -> None:
    listing = read(good_and_defective)
    assert listing.classes == ("defective", "good")
    assert listing.good == "good"
    assert Counter(sample.label for sample in listing.samples) == {"good": 6, "defective": 4}
    assert all(sample.split is None for sample in listing.samples)


def test_folders_named_like_parts_are_the_official_split(tmp_path: Path, write_image: WriteImage) -> None:
    for part in ("train", "Valid", "test"):
        for label in ("ok", "scratch"):
            write_image(f"{part}/{label}/0.png")
    listing = read(tmp_path)
    assert listing.classes == ("ok", "scratch")
    assert Counter(sample.split for sample in listing.samples) == {"train": 2, "val": 2, "test": 2}


def test_folders_beside_the_parts_are_named(tmp_path: Path, write_image: WriteImage) -> None:
    for part in ("train", "test", "later"):
        for label in ("ok", "scratch"):
            write_image(f"{part}/{label}/0.png")
    listing = read(tmp_path)
    assert len(listing.samples) == 4
    assert [(f.kind, f.files, f.message) for f in listing.findings] == [
        ("unlabelled", ("later",), "2 images are left out: it is no part of the split")
    ]


@pytest.mark.parametrize(
    "names",
    [
        ("train/0.png", "test/0.png"),
        ("train/ok/0.png", "train/scratch/0.png", "val/0.png"),
        ("train/0.png", "test/0.png", "later/0.png"),
    ],
)
def test_parts_of_a_split_do_not_pass_for_classes(
    tmp_path: Path, write_image: WriteImage, names: tuple[str, ...]
) -> None:
    for name in names:
        write_image(name)
    with pytest.raises(DataError, match="each with folders of classes: got"):
        read(tmp_path)


def test_neu_layout_takes_classes_from_names(tmp_path: Path, write_image: WriteImage) -> None:
    for name in ("rolled-in_scale_1.jpg", "rolled-in_scale_2.jpg", "patches_1.jpg", "unnamed.jpg"):
        write_image(f"IMAGES/{name}")
    listing = read(tmp_path)
    assert listing.classes == ("patches", "rolled-in_scale")
    assert listing.test_share == 0.5
    assert listing.skipped == (("IMAGES/unnamed.jpg", "no class before an underscore"),)


@pytest.mark.skipif(SHARED_DATA is None, reason="shared data not present")
def test_neu_has_six_classes_of_300() -> None:
    assert SHARED_DATA is not None
    listing = read(SHARED_DATA / "neu_det")
    assert set(Counter(sample.label for sample in listing.samples).values()) == {300}
    assert len(listing.classes) == 6
    assert listing.good is None


def test_labels_choose_and_merge(tmp_path: Path, write_image: WriteImage) -> None:
    for label in ("MT_Free", "MT_Crack", "MT_Fray"):
        write_image(f"{label}/0.png")
    binary = read(tmp_path, labels="binary")
    assert (binary.classes, binary.good) == (("MT_Free", "defect"), "MT_Free")
    assert Counter(sample.label for sample in binary.samples) == {"MT_Free": 1, "defect": 2}
    chosen = read(tmp_path, labels="MT_Fray, MT_Crack")
    assert (chosen.classes, chosen.good) == (("MT_Fray", "MT_Crack"), None)
    assert read(tmp_path, good="MT_Fray", labels="binary").classes == ("MT_Fray", "defect")


@pytest.mark.parametrize(
    ("names", "good"),
    [
        (["good", "bad"], "good"),
        (["OK", "NOK"], "OK"),
        (["defect-free", "crack"], "defect-free"),
        (["DefectFree", "crack"], "DefectFree"),
        (["MT_Free", "MT_Break"], "MT_Free"),
        (["good", "looks_normal"], "good"),
        (["not_good", "no-ok", "abnormal", "goods"], None),
        (["free_edge_crack", "lead_free_bridge", "normal_wear", "OK_scratch"], None),
        (["free_edge_crack", "GOOD", "part_ok_2"], "GOOD"),
        (["part_ok_2", "normal_wear"], "part_ok_2"),
    ],
)
def test_default_good(names: list[str], good: str | None) -> None:
    assert default_good(names) == good


def test_two_good_classes_need_a_choice() -> None:
    with pytest.raises(DataError, match="name it with --good"):
        choose_labels(["good", "ok", "crack"])
    assert choose_labels(["good", "ok", "crack"], good="ok").good == "ok"


def test_links_out_of_the_folder_are_refused(
    good_and_defective: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    outside = tmp_path_factory.mktemp("outside") / "secret.png"
    outside.write_bytes((good_and_defective / "good" / "0.png").read_bytes())
    (good_and_defective / "good" / "link.png").symlink_to(outside)
    (good_and_defective / "good" / "inner.png").symlink_to(good_and_defective / "good" / "1.png")
    listing = read(good_and_defective)
    assert listing.skipped == (("good/link.png", "a link leads out of the data folder"),)
    assert any(sample.path.name == "inner.png" for sample in listing.samples)


def test_what_is_no_file_is_refused(good_and_defective: Path) -> None:
    (good_and_defective / "good" / "circle.png").symlink_to("circle.png")
    os.mkfifo(good_and_defective / "good" / "pipe.png")
    assert [name for name, _ in read(good_and_defective).skipped] == ["good/circle.png", "good/pipe.png"]


def test_images_outside_the_class_folders_are_named(good_and_defective: Path, write_image: WriteImage) -> None:
    write_image("stray.png")
    assert read(good_and_defective).skipped == (("stray.png", "lies outside the class folders"),)


def test_bad_paths(tmp_path: Path, write_image: WriteImage, tmp_path_factory: pytest.TempPathFactory) -> None:
    with pytest.raises(DataError, match="does not exist"):
        read(tmp_path / "nowhere")
    with pytest.raises(DataError, match="an empty folder"):
        read(tmp_path)
    with pytest.raises(DataError, match="must be a folder"):
        read(write_image("file.png"))
    with pytest.raises(DataError, match="layout of the data folder is not known"):
        read(tmp_path)
    (tmp_path / "good").symlink_to(tmp_path_factory.mktemp("outside"))
    with pytest.raises(DataError, match=r"is not known: got .*, where good is refused: a link leads out of the data"):
        read(tmp_path)


def test_bad_requests(good_and_defective: Path) -> None:
    with pytest.raises(DataError, match="did you mean class_folders"):
        read(good_and_defective, format="class_folder")
    with pytest.raises(DataError, match="folder IMAGES"):
        read(good_and_defective, format="neu_det")
    with pytest.raises(DataError, match="known: defective, good"):
        read(good_and_defective, labels="good,scratch")
    with pytest.raises(DataError, match="--good names"):
        read(good_and_defective, good="fine")
    with pytest.raises(DataError, match="at least two classes"):
        read(good_and_defective, labels="good")


def test_one_class_only(tmp_path: Path, write_image: WriteImage) -> None:
    write_image("good/0.png")
    (tmp_path / "defective").mkdir()
    with pytest.raises(DataError, match="at least two classes: got good"):
        read(tmp_path)


def test_images_deeper_down_are_not_guessed(good_and_defective: Path, write_image: WriteImage) -> None:
    write_image("dented/batch1/0.png")
    with pytest.raises(DataError, match="dented/batch1"):
        read(good_and_defective)


def test_regions_follow_the_labels(tmp_path: Path) -> None:
    layouts.masks_in_class_folders(tmp_path)
    everything = read(tmp_path)
    assert (everything.good, everything.region_classes) == ("MT_Free", ("MT_Crack", "MT_Fray"))
    assert [sample.regions for sample in everything.samples if sample.label == "MT_Free"] == [(), ()]
    binary = read(tmp_path, labels="binary")
    assert (binary.classes, binary.region_classes) == (("MT_Free", "defect"), ("defect",))
    some = read(tmp_path, labels="MT_Fray,MT_Free")
    assert (some.classes, some.region_classes) == (("MT_Fray", "MT_Free"), ("MT_Fray",))
    alone = read(tmp_path, labels="MT_Fray", at_least=1)
    assert (alone.classes, alone.good, len(alone.samples)) == (("MT_Fray",), None, 2)


def test_images_without_classes_are_chosen_by_their_regions(tmp_path: Path) -> None:
    layouts.coco_parts(tmp_path)
    everything = read(tmp_path)
    assert (everything.classes, everything.good, everything.region_classes) == ((), None, ("bar", "spot"))
    assert read(tmp_path, labels="binary").region_classes == ("defect",)
    some = read(tmp_path, labels="spot")
    assert some.region_classes == ("spot",)
    assert {sample.path.stem for sample in some.samples} == {"outline", "runs", "clean"}  # box has a bar too
    with pytest.raises(DataError, match="known: bar, spot"):
        read(tmp_path, labels="spots")
    with pytest.raises(DataError, match="known: good"):
        read(tmp_path, good="spot")


def test_what_is_marked_as_good_is_no_defect(tmp_path: Path) -> None:
    layouts.yolo(tmp_path)
    names = tmp_path / "data.yaml"
    names.write_text(names.read_text().replace("[spot, bar]", "[ok, bar]"))
    listing = read(tmp_path)
    marked = {sample.path.stem: {region.label for region in sample.regions or ()} for sample in listing.samples}
    assert marked == {"both": {"bar"}, "clean": set(), "outline": set()}
    assert listing.region_classes == ("bar",)


def test_a_defect_whose_name_begins_with_a_good_word_keeps_its_boxes(tmp_path: Path) -> None:
    layouts.yolo(tmp_path)
    names = tmp_path / "data.yaml"
    names.write_text(names.read_text().replace("[spot, bar]", "[OK_scratch, normal_wear]"))
    assert read(tmp_path).region_classes == ("OK_scratch", "normal_wear")


def test_unlabelled_images_are_named_and_left_out(tmp_path: Path) -> None:
    layouts.crackforest(tmp_path)
    assert [sample.label for sample in read_all(tmp_path).samples] == [None, None]
    listing = read(tmp_path)
    assert [sample.path.name for sample in listing.samples] == ["001.jpg"]
    assert listing.skipped == (("image/002.jpg", UNLABELLED),)
    (tmp_path / "groundTruth" / "001.mat").rename(tmp_path / "groundTruth" / "003.mat")
    with pytest.raises(DataError, match=r"no labelled images .* got 2 without a label"):
        read(tmp_path)


@pytest.fixture
def without_test_labels(tmp_path: Path) -> Path:
    """Yolo parts train and val with label files, and a part test without any."""
    layouts.yolo(tmp_path)
    with (tmp_path / "data.yaml").open("a") as file:
        file.write("test: images/test\n")
    for number in range(3):
        layouts.picture(tmp_path / "images" / "test" / f"{number}.jpg")
    return tmp_path


def test_a_part_without_label_files_needs_a_decision(without_test_labels: Path) -> None:
    what = r"the images of test have no label files: got 3 images such as images/test/0\.jpg; give --unlabelled good"
    with pytest.raises(DataError, match=what):
        read(without_test_labels)
    assert {s.regions for s in read_all(without_test_labels).samples if s.split == "test"} == {None}
    with pytest.raises(DataError, match="--unlabelled is good or skip: got ok"):
        read(without_test_labels, unlabelled="ok")


def test_its_images_are_good_or_left_out(without_test_labels: Path) -> None:
    good = read(without_test_labels, unlabelled="good")
    assert Counter(sample.split for sample in good.samples) == {"train": 3, "val": 3, "test": 3}
    assert {s.regions for s in good.samples if s.split == "test"} == {()}
    assert good.remarks == ("taken as good, having no label files: 3 images of test",)
    skipped = read(without_test_labels, unlabelled="skip")
    assert Counter(sample.split for sample in skipped.samples) == {"train": 3, "val": 3}
    assert skipped.remarks == ("left out, having no label files: 3 images of test",)
    assert not good.findings
    assert not skipped.findings


def test_parts_that_are_left_out_are_no_split(tmp_path: Path) -> None:
    layouts.yolo(tmp_path)
    shutil.rmtree(tmp_path / "labels" / "val")
    assert {sample.split for sample in read(tmp_path, unlabelled="skip").samples} == {None}
    shutil.rmtree(tmp_path / "labels")
    with pytest.raises(DataError, match="the images of train and val have no label files: got 6 images"):
        read(tmp_path)


def test_a_decision_that_is_not_needed_changes_nothing(tmp_path: Path) -> None:
    layouts.yolo(tmp_path)
    assert read(tmp_path, unlabelled="skip") == read(tmp_path)


@pytest.mark.parametrize("name", sorted(set(READERS) - {"class_folders", "masks"}))
def test_a_named_format_that_does_not_fit_is_an_error(tmp_path: Path, write_image: WriteImage, name: str) -> None:
    write_image("some/thing.png")
    with pytest.raises(DataError):
        read(tmp_path, format=name)


@pytest.mark.skipif(SHARED_DATA is None, reason="shared data not present")
@pytest.mark.parametrize(
    ("name", "format", "labels", "splits", "shapes"),
    [
        ("neu_det", "neu_det", dict.fromkeys(NEU, 300), {None: 1800}, {"Box": 4189}),
        ("magnetic_tile", "masks", MAGNETIC, {None: 1344}, {"MaskFile": 1344}),
        ("crackforest", "crackforest", {None: 155}, {None: 155}, {"MatMask": 118}),
        ("dagm_sample", "dagm", {"good": 24, "defect": 24}, {"train": 24, "test": 24}, {"MaskFile": 24}),
    ],
)
def test_real_data(
    name: str, format: str, labels: dict[str, int], splits: dict[str, int], shapes: dict[str, int]
) -> None:
    assert SHARED_DATA is not None
    listing = read_all(SHARED_DATA / name)
    assert listing.format == format
    assert Counter(sample.label for sample in listing.samples) == labels
    assert Counter(sample.split for sample in listing.samples) == splits
    kinds = (type(region.shape).__name__ for sample in listing.samples for region in sample.regions or ())
    assert Counter(kinds) == shapes
    assert not listing.findings
    assert not listing.skipped
