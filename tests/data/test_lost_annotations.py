"""An image whose annotation cannot be read is no good image: it is left out, and check and training say so."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from compressdefect.data.audit.audit import audit
from compressdefect.data.formats.files import relative_name
from compressdefect.data.load import load_images
from compressdefect.data.read import read, read_all
from tests.data import layouts
from tests.data.layouts import Truth


class Case(NamedTuple):
    """A dataset, one of its defective images, and how the image's only annotation is spoilt."""

    write: Callable[[Path], Truth]
    image: str
    spoil: Callable[[Path], None]


def text(path: str, *replaced: tuple[str, str]) -> Callable[[Path], None]:
    def spoil(root: Path) -> None:
        content = (root / path).read_text()
        for old, new in replaced:
            assert old in content
            content = content.replace(old, new)
        (root / path).write_text(content)

    return spoil


def box(**changes: object) -> Callable[[Path], None]:
    def spoil(root: Path) -> None:
        content: dict[str, Any] = json.loads((root / "labels.json").read_text())
        content["annotations"][0].update(changes)
        (root / "labels.json").write_text(json.dumps(content))

    return spoil


def same_id(root: Path) -> None:
    content = json.loads((root / "labels.json").read_text())
    content["images"].append({"id": "b", "file_name": "unnamed.png"})
    (root / "labels.json").write_text(json.dumps(content))


def coco(root: Path) -> Truth:
    """One image more than the layout's, since a training needs a defect that is left."""
    truth = layouts.coco_one_file(root)
    layouts.picture(root / "more.png")
    content = json.loads((root / "labels.json").read_text())
    content["images"].append({"id": "m", "file_name": "more.png"})
    content["annotations"].append({"image_id": "m", "category_id": 1, "bbox": [4, 3, 5, 5]})
    (root / "labels.json").write_text(json.dumps(content))
    return {**truth, "more.png": truth["sub/b.png"]}


def voc(root: Path) -> Truth:
    truth = layouts.voc(root)
    layouts.picture(root / "JPEGImages/4.jpg")
    (root / "Annotations/4.xml").write_text(layouts.voc_xml("4.jpg", []))
    return {**truth, "JPEGImages/4.jpg": layouts.Known(None, "train", [])}


def severstal_older(root: Path) -> Truth:
    truth = layouts.severstal_older(root)
    layouts.picture(root / "train_images/more.jpg")
    with (root / "train.csv").open("a") as file:
        file.write(f"\nmore.jpg_1,{layouts.pairs(layouts.SPOT)}")
    return {**truth, "train_images/more.jpg": truth["train_images/a.jpg"]}


VOC, XML = "JPEGImages/1.jpg", "Annotations/1.xml"
OUTLINE, SEVERSTAL = "images/train/outline.jpg", "train_images/b.jpg"
RUNS = f"b.jpg,3,{layouts.pairs(layouts.BAR)}"
CASES = {
    "yolo unknown class": Case(layouts.yolo, OUTLINE, text("labels/train/outline.txt", ("0 0", "7 0"))),
    "yolo no number": Case(layouts.yolo, OUTLINE, text("labels/train/outline.txt", ("0 0", "0 nan"))),
    "yolo cut line": Case(layouts.yolo, OUTLINE, lambda root: cut(root / "labels/train/outline.txt")),
    "yolo outside": Case(layouts.yolo, OUTLINE, lambda root: huge(root / "labels/train/outline.txt")),
    "coco swapped": Case(coco, "sub/b.png", box(bbox=[4, 3, -5, 5])),
    "coco too large": Case(coco, "sub/b.png", box(bbox=[4, 3, 10**400, 5])),
    "coco no box": Case(coco, "sub/b.png", box(bbox=None)),
    "coco category": Case(coco, "sub/b.png", box(category_id=9)),
    "coco outside": Case(coco, "sub/b.png", box(bbox=[4000, 3, 5, 5])),
    "coco two images": Case(coco, "sub/b.png", same_id),
    "severstal runs": Case(layouts.severstal, SEVERSTAL, text("train.csv", (RUNS, "b.jpg,3,7"))),
    "severstal many digits": Case(layouts.severstal, SEVERSTAL, text("train.csv", (RUNS, f"b.jpg,3,{'9' * 30} 5"))),
    "severstal too long": Case(layouts.severstal, SEVERSTAL, text("train.csv", (RUNS, "b.jpg,3,1 99999999"))),
    "severstal no class": Case(layouts.severstal, SEVERSTAL, text("train.csv", (RUNS, "b.jpg,,1 2"))),
    "severstal cut row": Case(layouts.severstal, SEVERSTAL, text("train.csv", (RUNS, "b.jpg,3"))),
    "severstal older": Case(severstal_older, "train_images/a.jpg", text("train.csv", ("a.jpg_2,", "a.jpg_2"))),
    "voc swapped": Case(voc, VOC, text(XML, ("<xmin>5</xmin>", "<xmin>50</xmin>"))),
    "voc nan": Case(voc, VOC, text(XML, ("<xmin>5</xmin>", "<xmin>nan</xmin>"))),
    "voc inf": Case(voc, VOC, text(XML, ("<xmax>9</xmax>", "<xmax>inf</xmax>"))),
    "voc no box": Case(voc, VOC, text(XML, ("bndbox", "box"))),
    "voc no name": Case(voc, VOC, text(XML, ("<name>spot</name>", ""))),
    "voc outside": Case(voc, VOC, text(XML, ("<xmin>5<", "<xmin>500<"), ("<xmax>9<", "<xmax>510<"))),
}


def cut(path: Path) -> None:
    path.write_text(path.read_text()[:12])


def huge(path: Path) -> None:
    path.write_text("0 1e308 0.5 1e308 1e308")


@pytest.fixture(params=CASES.values(), ids=CASES)
def case(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, str, Truth]:
    """The folder, the image that lost its annotation, and what is true of all."""
    found: Case = request.param
    truth = found.write(tmp_path)
    assert truth[found.image].regions
    found.spoil(tmp_path)
    return tmp_path, found.image, truth


def test_a_training_leaves_it_out_and_says_so(case: tuple[Path, str, Truth]) -> None:
    root, image, _ = case
    images = load_images(root, input=16, max_unreadable_share=1)
    assert len(images)
    assert image not in images.names
    assert image in dict(images.skipped)


def test_the_check_names_it(case: tuple[Path, str, Truth]) -> None:
    root, image, _ = case
    found = audit(read_all(root))
    assert any(image in finding.files for finding in found.findings if finding.kind != "small-class")


def test_other_images_keep_theirs(case: tuple[Path, str, Truth]) -> None:
    root, image, truth = case
    kept = {relative_name(sample.path, root): sample for sample in read(root).samples}
    for name, known in truth.items():
        if name not in (image, "unnamed.png"):
            assert len(kept[name].regions or ()) == len(known.regions or ())


def test_a_class_of_its_own_is_kept(tmp_path: Path) -> None:
    layouts.neu_det(tmp_path)
    text("ANNOTATIONS/patches_1.xml", ("bndbox", "box"))(tmp_path)
    (sample,) = (s for s in read(tmp_path).samples if s.path.stem == "patches_1")
    assert (sample.label, sample.regions) == ("patches", None)


def test_what_is_broken_beside_something_whole_counts_too(tmp_path: Path) -> None:
    layouts.severstal(tmp_path)
    with (tmp_path / "train.csv").open("a") as file:
        file.write("\na.jpg,2,5")
    listing = read_all(tmp_path)
    assert {relative_name(s.path, tmp_path): s.regions is None for s in listing.samples}["train_images/a.jpg"]
