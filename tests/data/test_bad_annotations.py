"""Hostile and broken annotations: refused or reported, one by one, while the rest is read."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from compressdefect.data.formats.files import relative_name
from compressdefect.data.marks.shapes import MatMask
from compressdefect.data.read import read_all
from compressdefect.data.sample import Listing, Sample
from compressdefect.errors import DataError
from tests.data import layouts
from tests.data.layouts import SPOT, mask_picture, picture, voc_xml

VOC_FIRST = "JPEGImages/1.jpg"
REFUSED = ("../secret.jpg", "/etc/passwd.jpg", "C:\\secret.jpg", "a/../../secret.jpg", "\\\\host\\share\\x.jpg")


def kinds(listing: Listing) -> set[str]:
    return {finding.kind for finding in listing.findings}


def messages(listing: Listing) -> str:
    return " | ".join(finding.message for finding in listing.findings)


def named(listing: Listing, name: str) -> Sample:
    return next(sample for sample in listing.samples if relative_name(sample.path, listing.root) == name)


class TestVoc:
    def replace(self, root: Path, content: str) -> Listing:
        layouts.voc(root)
        (root / "Annotations" / "1.xml").write_text(content)
        listing = read_all(root)
        assert len(listing.samples) == 3
        assert len(named(listing, "JPEGImages/2.jpg").regions or ()) == 2
        return listing

    @pytest.mark.parametrize(
        "head",
        [
            '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/hostname">]>',
            '<!DOCTYPE a [<!ENTITY x "ha"><!ENTITY y "&x;&x;&x;">]>',
            '<!DOCTYPE a SYSTEM "http://localhost/evil.dtd">',
        ],
    )
    def test_entities_are_refused(self, tmp_path: Path, head: str) -> None:
        entity = "&x;" if "ENTITY" in head else ""
        listing = self.replace(tmp_path, head + voc_xml("1.jpg", [(f"a{entity}", SPOT)]))
        assert "entities is refused" in messages(listing)
        assert listing.findings[0].files == ("Annotations/1.xml",)
        assert named(listing, "JPEGImages/1.jpg").regions is None

    @pytest.mark.parametrize("path", REFUSED)
    def test_paths_out_of_the_folder_are_refused(self, tmp_path: Path, path: str) -> None:
        listing = self.replace(tmp_path, voc_xml(path, [("spot", SPOT)]))
        assert kinds(listing) == {"refused-path"}
        assert named(listing, "JPEGImages/1.jpg").regions is None

    def test_missing_image(self, tmp_path: Path) -> None:
        layouts.voc(tmp_path)
        (tmp_path / "JPEGImages" / "1.jpg").unlink()
        listing = read_all(tmp_path)
        assert kinds(listing) == {"missing-image"}
        assert [finding.files for finding in listing.findings] == [("1.jpg",), ("1",)]  # an XML file and a list name it

    @pytest.mark.parametrize(
        ("corners", "kind"),
        [((9, 9, 2, 12), "box-out-of-bounds"), ((1, 1, float("nan"), 4), "unreadable"), (("", 1, 2, 3), "unreadable")],
    )
    def test_one_bad_box_is_lost_with_its_image_only(self, tmp_path: Path, corners: tuple[Any, ...], kind: str) -> None:
        listing = self.replace(tmp_path, voc_xml("1.jpg", [("spot", SPOT), ("bad", (0, 0, 1, 1))]))
        good = voc_xml("1.jpg", [("spot", SPOT)])
        names = ("xmin", "ymin", "xmax", "ymax")
        box = "".join(f"<{name}>{value}</{name}>" for name, value in zip(names, corners, strict=True))
        bad = f"<object><name>bad</name><bndbox>{box}</bndbox></object>"
        (tmp_path / "Annotations" / "1.xml").write_text(good.replace("</annotation>", f"{bad}</annotation>"))
        listing = read_all(tmp_path)
        assert kinds(listing) == {kind}
        assert named(listing, "JPEGImages/1.jpg").regions is None

    @pytest.mark.parametrize("encoding", ["ISO-8859-1", "UTF-8", "UTF-16", "windows-1252"])
    def test_the_declared_encoding_counts(self, tmp_path: Path, encoding: str) -> None:
        layouts.voc(tmp_path)
        content = f'<?xml version="1.0" encoding="{encoding}"?>{voc_xml("1.jpg", [("schräg", SPOT)])}'
        (tmp_path / "Annotations" / "1.xml").write_bytes(content.encode(encoding))
        assert [region.label for region in named(read_all(tmp_path), VOC_FIRST).regions or ()] == ["schräg"]

    def test_a_wrong_encoding_is_a_finding(self, tmp_path: Path) -> None:
        layouts.voc(tmp_path)
        content = voc_xml("1.jpg", [("schräg", SPOT)]).encode("latin-1")
        (tmp_path / "Annotations" / "1.xml").write_bytes(content)
        listing = read_all(tmp_path)
        assert messages(listing) == "not well-formed XML"
        assert named(listing, VOC_FIRST).regions is None

    def test_nested_without_end(self, tmp_path: Path) -> None:
        listing = self.replace(tmp_path, "<annotation>" * 100_000)
        assert kinds(listing) == {"unreadable"}


class TestCoco:
    def change(self, root: Path, change: Callable[[dict[str, Any]], None]) -> Listing:
        layouts.coco_one_file(root)
        content = json.loads((root / "labels.json").read_text())
        change(content)
        (root / "labels.json").write_text(json.dumps(content))
        listing = read_all(root)
        assert len(listing.samples) == 3
        return listing

    @pytest.mark.parametrize("path", REFUSED)
    def test_paths_out_of_the_folder_are_refused(self, tmp_path: Path, path: str) -> None:
        listing = self.change(tmp_path, lambda content: content["images"][0].update(file_name=path))
        assert kinds(listing) == {"refused-path"}
        assert named(listing, "a.png").regions is None
        assert len(named(listing, "sub/b.png").regions or ()) == 1

    def test_missing_image(self, tmp_path: Path) -> None:
        listing = self.change(tmp_path, lambda content: content["images"][0].update(file_name="gone.png"))
        assert [(finding.kind, finding.files) for finding in listing.findings] == [("missing-image", ("gone.png",))]

    @pytest.mark.parametrize(
        ("annotation", "message"),
        [
            ({"bbox": [1, 2, "x", 4]}, "broken"),
            ({"bbox": [1, 2, 3]}, "not x, y"),
            ({"bbox": None}, "broken"),
            ({"bbox": [1, 2, 0, 4]}, "no area"),
            ({"bbox": [1, 2, float("inf"), 4]}, "no numbers"),
            ({"category_id": 77}, "unknown category"),
            ({"category_id": [1]}, "broken"),
            ({"image_id": 77}, "belongs to no image"),
            ({"segmentation": [[1, 2, 3, 4]]}, "three points"),
            ({"segmentation": "lots"}, "broken"),
            ({"segmentation": {"counts": [1, 2], "size": [3, 4]}}, "do not add up"),
            ({"segmentation": {"counts": [-1, 13], "size": [3, 4]}}, "do not add up"),
            ({"segmentation": {"counts": "ä", "size": [3, 4]}}, "broken"),
            ({"segmentation": {"counts": "aaa"}}, "broken"),
        ],
    )
    def test_one_bad_annotation_is_lost_with_its_image_only(
        self, tmp_path: Path, annotation: dict[str, Any], message: str
    ) -> None:
        bad = {"image_id": "a", "category_id": 1, "bbox": [1, 2, 3, 4], **annotation}
        listing = self.change(tmp_path, lambda content: content["annotations"].append(bad))
        assert message in messages(listing)
        assert len(named(listing, "sub/b.png").regions or ()) == 1
        assert named(listing, "a.png").regions == (() if bad["image_id"] == 77 else None)

    def test_image_in_two_parts_is_a_leak_and_tests(self, tmp_path: Path) -> None:
        layouts.coco_parts(tmp_path)
        for path in sorted((tmp_path / "annotations").iterdir()):
            content = json.loads(path.read_text())
            content["images"][0]["file_name"] = "train2017/box.png"
            path.write_text(json.dumps(content))
        listing = read_all(tmp_path)
        assert [(finding.kind, finding.files) for finding in listing.findings] == [
            ("split-leak", ("train2017/box.png",))
        ]
        assert named(listing, "train2017/box.png").split == "val"

    def test_json_of_another_kind(self, tmp_path: Path) -> None:
        layouts.coco_one_file(tmp_path)
        (tmp_path / "other.json").write_text('{"images": 3, "annotations": {}}')
        (tmp_path / "deep.json").write_text('{"images":' + "[" * 200_000 + '"annotations"')
        listing = read_all(tmp_path)
        assert {file for finding in listing.findings for file in finding.files} == {"other.json", "deep.json"}
        assert len(named(listing, "sub/b.png").regions or ()) == 1


class TestYolo:
    def test_paths_out_of_the_folder_are_refused(self, tmp_path: Path) -> None:
        layouts.yolo(tmp_path)
        (tmp_path / "data.yaml").write_text(
            "path: /home/me\nnames: [spot, bar]\ntrain: ../images/train\nval: images/val"
        )
        listing = read_all(tmp_path)
        assert kinds(listing) == {"refused-path"}
        assert {sample.split for sample in listing.samples} == {"train", "val"}  # from the names of the folders

    @pytest.mark.parametrize("entry", ["..", "../..", "images/../.."])
    def test_a_path_that_only_climbs_is_not_the_whole_folder(self, tmp_path: Path, entry: str) -> None:
        layouts.yolo(tmp_path)
        (tmp_path / "data.yaml").write_text(f"names: [spot, bar]\ntrain: images/train\nval: {entry}\n")
        assert kinds(read_all(tmp_path)) == {"refused-path"}

    @pytest.mark.parametrize("entry", ["../../images/train", "../elsewhere/images/train", "a/../../../etc"])
    def test_paths_that_climb_out_lead_nowhere(self, tmp_path: Path, entry: str) -> None:
        layouts.yolo(tmp_path / "data")
        layouts.yolo(tmp_path / "elsewhere")
        text = f"names: [spot, bar]\ntrain: {entry}\nval: images/val\n"
        (tmp_path / "data" / "data.yaml").write_text(text)
        listing = read_all(tmp_path / "data")
        assert len(listing.samples) == 6
        assert all(sample.path.is_relative_to(tmp_path / "data") for sample in listing.samples)
        assert kinds(listing) == (set() if entry == "../../images/train" else {"refused-path"})

    def test_bad_lines(self, tmp_path: Path) -> None:
        layouts.yolo(tmp_path)
        lines = [
            "0 .5 .5 .1 .1",
            "5 .5 .5 .1 .1",
            "0 .5 .5",
            "x .5 .5 .1 .1",
            "0 nan .5 .1 .1",
            "0 .5 .5 0 .1",
            "0.5 1 1 1 1",
        ]
        (tmp_path / "labels" / "train" / "both.txt").write_text("\n".join(lines))
        listing = read_all(tmp_path)
        assert kinds(listing) == {"class-mismatch", "unreadable", "box-out-of-bounds"}
        assert {file for finding in listing.findings for file in finding.files} == {"labels/train/both.txt"}
        assert named(listing, "images/train/both.jpg").regions is None

    def test_a_stray_image_does_not_pass_for_a_good_one(self, tmp_path: Path) -> None:
        layouts.yolo(tmp_path)
        picture(tmp_path / "plot.png")
        assert named(read_all(tmp_path), "plot.png").regions is None

    def test_paths_that_are_no_text(self, tmp_path: Path) -> None:
        layouts.yolo(tmp_path)
        bomb = "a: &a [x, x]\n" + "".join(
            f"b{n}: &b{n} [{', '.join(['*' + (f'b{n - 1}' if n else 'a')] * 9)}]\n" for n in range(9)
        )
        (tmp_path / "data.yaml").write_text(f"{bomb}names: [spot, bar]\npath: *b8\ntrain: *b8\nval: images/val\n")
        listing = read_all(tmp_path)
        assert "an entry of train is no path" in messages(listing)
        assert {sample.split for sample in listing.samples} == {"train", "val"}

    def test_labels_without_image(self, tmp_path: Path) -> None:
        layouts.yolo(tmp_path)
        (tmp_path / "labels" / "val" / "gone.txt").write_text("0 .5 .5 .1 .1")
        assert [(finding.kind, finding.message) for finding in read_all(tmp_path).findings] == [
            ("missing-image", "labelled in labels/val/gone.txt, but there is no such image")
        ]

    def test_yaml_bomb_and_tags(self, tmp_path: Path) -> None:
        layouts.yolo(tmp_path)
        bomb = "a: &a [x, x]\n" + "".join(
            f"{name}: &{name} [*{before}, *{before}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
        )
        (tmp_path / "data.yaml").write_text(f"{bomb}names: *i\ntrain: images/train\n")
        (tmp_path / "evil.yaml").write_text("names: !!python/object/apply:os.system ['true']\ntrain: x\n")
        for number, value in enumerate(("!!timestamp foo", '!!int ""', "!!bool zzz", "!!float x")):
            (tmp_path / f"bad{number}.yaml").write_text(f"names: [a]\ntrain: {value}\n")
        (tmp_path / "good.yaml").write_text("names: [spot, bar]\ntrain: images/train\nval: images/val\n")
        assert read_all(tmp_path).region_classes == ("bar", "spot")


class TestCsv:
    def table(self, root: Path, *rows: str) -> Listing:
        layouts.csv_table(root)
        (root / "labels.csv").write_text("\n".join(("path,label", *rows)))
        return read_all(root)

    @pytest.mark.parametrize("path", REFUSED)
    def test_paths_out_of_the_folder_are_refused(self, tmp_path: Path, path: str) -> None:
        listing = self.table(tmp_path, "c.png,ok", f"{path},ok")
        assert kinds(listing) == {"refused-path"}
        assert [sample.label for sample in listing.samples].count(None) == 2

    def test_two_labels_leave_the_image_out(self, tmp_path: Path) -> None:
        listing = self.table(tmp_path, "c.png,ok", "./c.png,crack", "img/a.png,ok", "img/a.png,ok")
        assert [(finding.kind, finding.files) for finding in listing.findings] == [("label-conflict", ("c.png",))]
        assert listing.skipped == (("c.png", "two labels: crack, ok"),)
        assert named(listing, "img/a.png").label == "ok"

    def test_another_encoding_is_named(self, tmp_path: Path) -> None:
        layouts.csv_table(tmp_path)
        rows = "path,label\nc.png,Stöße\nimg/a.png,Stäße\n"
        (tmp_path / "labels.csv").write_bytes(rows.encode("latin-1"))
        with pytest.raises(DataError, match=r"labels\.csv is not UTF-8: got c\.png,St.*; save the table as UTF-8"):
            read_all(tmp_path)

    def test_bad_rows(self, tmp_path: Path) -> None:
        listing = self.table(tmp_path, "c.png,ok", "gone.png,ok", "img/a.png", ",ok", '"open,ok', "img/b.png,\0ok")
        assert kinds(listing) == {"missing-image", "unreadable"}
        assert named(listing, "c.png").label == named(listing, "img/b.png").label == "ok"


class TestSeverstal:
    @pytest.mark.parametrize(
        "row", ["a.jpg,1,5", "a.jpg,1,5 3 2 1", "a.jpg,1,x 3", "a.jpg,1,0 3", "a.jpg,,1 3", "a.jpg,1,1 99999999999"]
    )
    def test_bad_runs(self, tmp_path: Path, row: str) -> None:
        layouts.severstal(tmp_path)
        with (tmp_path / "train.csv").open("a") as file:
            file.write(f"\n{row}")
        listing = read_all(tmp_path)
        assert kinds(listing) == {"unreadable"}
        assert named(listing, "train_images/a.jpg").regions is None

    def test_paths_and_missing_images(self, tmp_path: Path) -> None:
        layouts.severstal(tmp_path)
        with (tmp_path / "train.csv").open("a") as file:
            file.write("\n../x.jpg,1,1 3\ngone.jpg,1,1 3")
        assert kinds(read_all(tmp_path)) == {"refused-path", "missing-image"}

    def test_unlabelled_test_images_are_named(self, tmp_path: Path) -> None:
        layouts.severstal(tmp_path)
        picture(tmp_path / "test_images" / "0.jpg")
        listing = read_all(tmp_path)
        assert [(finding.kind, finding.files) for finding in listing.findings] == [("unlabelled", ("test_images",))]
        assert len(listing.samples) == 3


class TestDagm:
    @pytest.mark.parametrize(
        ("line", "kind"),
        [
            ("0002\t1\t0002.PNG\t0\t../../x.PNG", "refused-path"),
            ("0002\t1\t/0002.PNG\t0\t0", "refused-path"),
            ("0002\t1\t0002.PNG\t0\tgone.PNG", "missing-image"),
            ("0009\t0\t0009.PNG\t0\t0", "missing-image"),
            ("0001\t0\t0001.PNG\t0\t0\n0001\t1\t0001.PNG\t0\t0002_label.PNG", "label-conflict"),
            ("what is this", "unreadable"),
        ],
    )
    def test_bad_lines(self, tmp_path: Path, line: str, kind: str) -> None:
        layouts.dagm(tmp_path)
        (tmp_path / "Class8" / "Train" / "Label" / "Labels.txt").write_text(f"1\n{line}")
        listing = read_all(tmp_path)
        assert kinds(listing) == {kind}
        assert len(listing.samples) == 4 - (kind == "label-conflict")
        assert named(listing, "Class8/Test/0002.PNG").label == "defect"

    def test_bad_ellipses(self, tmp_path: Path) -> None:
        layouts.dagm_ellipses(tmp_path)
        (tmp_path / "Class1_def" / "labels.txt").write_text("1 8 3\n1 0 3 0 1 1\n2 8 3 0 1 1\n1 8 3 nan 1 1")
        listing = read_all(tmp_path)
        assert kinds(listing) == {"unreadable", "missing-image"}
        assert named(listing, "Class1_def/1.png").regions is None


def test_masks_without_images(tmp_path: Path) -> None:
    layouts.masks_in_parts(tmp_path)
    (tmp_path / "train" / "0.png").unlink()
    listing = read_all(tmp_path)
    assert [(finding.kind, finding.files) for finding in listing.findings] == [("missing-image", ("train/0_GT.png",))]
    assert len(listing.samples) == 3


def test_a_folder_of_masks_with_one_too_many(tmp_path: Path) -> None:
    layouts.mask_folders(tmp_path)
    (tmp_path / "images" / "1.jpg").unlink()
    assert [(finding.kind, finding.files) for finding in read_all(tmp_path).findings] == [
        ("missing-image", ("images/1",))
    ]


def test_a_table_of_something_else_is_no_labels(tmp_path: Path) -> None:
    layouts.class_folders(tmp_path)
    (tmp_path / "classes.csv").write_text("name,class\ncrack,1\ndent,2\n")
    assert read_all(tmp_path).format == "class_folders"


def test_mvtec_mask_without_image(tmp_path: Path) -> None:
    layouts.mvtec(tmp_path)
    (tmp_path / "test" / "broken_large" / "000.png").unlink()
    assert [(finding.kind, finding.files) for finding in read_all(tmp_path).findings] == [
        ("missing-image", ("test/broken_large/000.png",))
    ]


class TestVocLists:
    def lists(self, root: Path, **lines: str) -> Listing:
        layouts.voc(root)
        for split, text in lines.items():
            (root / "ImageSets" / "Main" / f"{split}.txt").write_text(text)
        return read_all(root)

    def test_an_image_in_two_lists_is_a_leak_and_tests(self, tmp_path: Path) -> None:
        listing = self.lists(tmp_path, train="1\n3\n")
        assert [(finding.kind, finding.files) for finding in listing.findings] == [
            ("split-leak", ("JPEGImages/3.jpg",))
        ]
        assert named(listing, "JPEGImages/3.jpg").split == "test"

    def test_names_may_have_their_suffix_and_folder(self, tmp_path: Path) -> None:
        listing = self.lists(tmp_path, train="1.jpg\n", val="JPEGImages/2\n", test="./JPEGImages/3.jpg 1\n")
        assert not listing.findings
        assert [sample.split for sample in listing.samples] == ["train", "val", "test"]

    def test_names_that_fit_no_image_are_reported(self, tmp_path: Path) -> None:
        listing = self.lists(tmp_path, test="3\n4\n../3\n")
        assert {finding.kind: finding.files for finding in listing.findings} == {
            "missing-image": ("4",),
            "refused-path": ("ImageSets/Main/test.txt",),
        }

    def test_equal_names_in_several_folders_are_not_taken_for_each_other(self, tmp_path: Path) -> None:
        """Each list speaks of the images beside it; where several of those have the name, it must say which."""
        for year, split in (("2007", "train"), ("2012", "test")):
            layouts.voc(tmp_path / year)
            for path in (tmp_path / year / "ImageSets" / "Main").iterdir():
                path.unlink()
            (tmp_path / year / "ImageSets" / "Main" / f"{split}.txt").write_text("1\n2\n3\n")
            picture(tmp_path / year / "SegmentationClass" / "1.png")
        listing = read_all(tmp_path)
        assert not listing.findings
        assert {named(listing, f"2012/JPEGImages/{i}.jpg").split for i in (1, 2, 3)} == {"test"}
        assert named(listing, "2007/JPEGImages/1.jpg").split == "train"
        for folder in ("a", "b"):
            picture(tmp_path / "2007" / folder / "7.jpg")
        (tmp_path / "2007" / "ImageSets" / "Main" / "test.txt").write_text("7\nb/7\n")
        listing = read_all(tmp_path)
        assert "names an image as several are named" in messages(listing)
        assert [named(listing, f"2007/{folder}/7.jpg").split for folder in ("a", "b")] == ["train", "test"]


def test_an_xml_file_of_another_kind_does_not_hide_the_annotations(tmp_path: Path) -> None:
    layouts.voc(tmp_path)
    (tmp_path / "Annotations" / "0.xml").write_text("<project/>")
    assert read_all(tmp_path).format == "voc"


def test_an_unknown_part_in_a_table_is_not_taken_for_training(tmp_path: Path) -> None:
    layouts.csv_table(tmp_path)
    table = tmp_path / "labels.csv"
    table.write_text(table.read_text().replace("crack,test", "crack,testset"))
    with pytest.raises(DataError, match=r"labels\.csv names an unknown part in its column split: got testset; did you"):
        read_all(tmp_path)
    table.write_text(table.read_text().replace("crack,testset", "crack,"))
    assert {sample.split for sample in read_all(tmp_path).samples} == {None}


def test_a_second_mask_is_no_image(tmp_path: Path) -> None:
    layouts.masks_of_some_good(tmp_path)
    home = tmp_path / "scratch"
    for name in ("0_gt.png", "0_mask.bmp", "0.png"):
        mask_picture(home / name, layouts.EMPTY)
    listing = read_all(tmp_path)
    assert [(finding.kind, finding.files) for finding in listing.findings] == [
        ("unexpected-mask", ("scratch/0_mask.bmp", "scratch/0_mask.png", "scratch/0.png"))
    ]
    assert len(listing.samples) == 5
    (region,) = named(listing, "scratch/0.bmp").regions or ()
    assert getattr(region.shape, "path", None) == home / "0_gt.png"


def test_masks_in_a_folder_are_paired_by_their_own_name_first(tmp_path: Path) -> None:
    for name in ("a", "part_seg"):
        picture(tmp_path / "images" / f"{name}.png")
    for name in ("a", "a_mask", "part_seg"):
        mask_picture(tmp_path / "masks" / f"{name}.png", layouts.EMPTY)
    listing = read_all(tmp_path)
    assert [(finding.kind, finding.files) for finding in listing.findings] == [
        ("unexpected-mask", ("masks/a_mask.png",))
    ]
    for name in ("a", "part_seg"):
        (region,) = named(listing, f"images/{name}.png").regions or ()
        assert getattr(region.shape, "path", None) == tmp_path / "masks" / f"{name}.png"


def test_images_below_a_class_folder_with_images_are_named(tmp_path: Path) -> None:
    layouts.class_folders(tmp_path)
    picture(tmp_path / "crack" / "batch" / "2" / "9.png")
    listing = read_all(tmp_path)
    assert listing.skipped == (("crack/batch/2/9.png", "lies deeper than its class folder"),)
    assert len(listing.samples) == 6


class TestMatlabFiles:
    def test_ground_truth_without_image(self, tmp_path: Path) -> None:
        layouts.crackforest(tmp_path)
        (tmp_path / "image" / "001.jpg").unlink()
        assert kinds(read_all(tmp_path)) == {"missing-image"}

    @pytest.mark.parametrize("content", [b"", b"MATLAB", b"\0" * 500, bytes(range(256)) * 4])
    def test_damaged(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "a.mat").write_bytes(content)
        with pytest.raises(DataError, match=r"a\.mat cannot be read"):
            MatMask(tmp_path / "a.mat").rasterize(4, 4)

    def test_truncated(self, tmp_path: Path) -> None:
        layouts.crackforest(tmp_path)
        path = tmp_path / "groundTruth" / "001.mat"
        path.write_bytes(path.read_bytes()[:-80])
        with pytest.raises(DataError, match="cannot be read"):
            MatMask(path).rasterize(20, 30)

    def test_bomb(self, tmp_path: Path) -> None:
        packed = zlib.compress(bytes(300 * 2**20), 1)
        header = b"MATLAB 5.0".ljust(124) + b"\x00\x01IM"
        (tmp_path / "a.mat").write_bytes(header + np.array([15, len(packed)], dtype="<u4").tobytes() + packed)
        with pytest.raises(DataError, match="more than 256 MiB"):
            MatMask(tmp_path / "a.mat").rasterize(4, 4)

    def test_missing(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="cannot be read"):
            MatMask(tmp_path / "a.mat").rasterize(4, 4)


def test_circle_of_folders_ends(tmp_path: Path) -> None:
    layouts.voc(tmp_path)
    before = read_all(tmp_path)
    (tmp_path / "JPEGImages" / "again").symlink_to(tmp_path)
    assert read_all(tmp_path) == before
