"""Small data sets written out as the formats' own documents show them, with the pixels that they mark by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from compressdefect.data.formats.files import relative_name
from compressdefect.data.load import load_images
from compressdefect.data.read import read_all
from compressdefect.data.sample import Sample

Pixels = list[tuple[int, int, int, int]]  # top, bottom, left, right: the first and last rows and columns of rectangles


def images(root: Path, *names: str, size: tuple[int, int] = (12, 20)) -> None:
    for number, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng(number)
        Image.fromarray(rng.integers(0, 256, size, dtype=np.uint8)).save(root / name)


def texts(root: Path, **files: str) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


def samples(root: Path) -> dict[str, Sample]:
    listing = read_all(root)
    assert not listing.findings
    return {relative_name(sample.path, root): sample for sample in listing.samples}


def marks(sample: Sample, size: tuple[int, int] = (12, 20)) -> list[tuple[str, Pixels]]:
    """Each region's class and the rectangle of its pixels, which it has to fill."""
    found = []
    for region in sample.regions or ():
        mask = region.shape.rasterize(*size)
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        top, bottom, left, right = int(rows[0]), int(rows[-1]), int(columns[0]), int(columns[-1])
        assert mask[top : bottom + 1, left : right + 1].all()
        found.append((region.label, (top, bottom, left, right)))
    return found


VOC = """<annotation>
	<folder>VOC2007</folder>
	<filename>000001.jpg</filename>
	<source>
		<database>The VOC2007 Database</database>
		<annotation>PASCAL VOC2007</annotation>
		<image>flickr</image>
	</source>
	<owner>
		<name>nobody</name>
	</owner>
	<size>
		<width>20</width>
		<height>12</height>
		<depth>1</depth>
	</size>
	<segmented>0</segmented>
	<object>
		<name>dent</name>
		<pose>Left</pose>
		<truncated>1</truncated>
		<difficult>0</difficult>
		<bndbox>
			<xmin>1</xmin>
			<ymin>3</ymin>
			<xmax>4</xmax>
			<ymax>12</ymax>
		</bndbox>
	</object>
	<object>
		<name>scratch</name>
		<pose>Unspecified</pose>
		<truncated>0</truncated>
		<difficult>1</difficult>
		<bndbox>
			<xmin>20</xmin>
			<ymin>1</ymin>
			<xmax>20</xmax>
			<ymax>2</ymax>
		</bndbox>
	</object>
</annotation>
"""


def test_voc_as_its_development_kit_has_it(tmp_path: Path) -> None:
    """The upper left pixel is (1, 1) and both corners belong to the box."""
    images(tmp_path, "JPEGImages/000001.jpg", "JPEGImages/000002.jpg")
    texts(
        tmp_path,
        **{
            "Annotations/000001.xml": VOC,
            "Annotations/000002.xml": VOC.replace("000001", "000002").replace("<xmax>4</xmax>", "<xmax>1</xmax>"),
            "ImageSets/Main/train.txt": "000001\n",
            "ImageSets/Main/val.txt": "000002\n",
            "ImageSets/Main/trainval.txt": "000001\n000002\n",
            "ImageSets/Main/dent_train.txt": "000001  1\n",
        },
    )
    found = samples(tmp_path)
    first, second = found["JPEGImages/000001.jpg"], found["JPEGImages/000002.jpg"]
    assert (first.split, second.split) == ("train", "val")
    assert marks(first) == [("dent", (2, 11, 0, 3)), ("scratch", (0, 1, 19, 19))]
    assert marks(second) == [("dent", (2, 11, 0, 0)), ("scratch", (0, 1, 19, 19))]


def test_voc_as_annotation_tools_write_it(tmp_path: Path) -> None:
    """Corners are edges, counted from 0: one of the data set's boxes shows it, and holds for the others."""
    images(tmp_path, "a.png", "b.png")
    edges = {"xmin": "0.0", "ymin": "2.0", "xmax": "4.0", "ymax": "12.0"}
    box = "".join(f"<{name}>{value}</{name}>" for name, value in edges.items())
    text = (
        f"<annotation><filename>a.png</filename><object><name>dent</name><bndbox>{box}</bndbox></object></annotation>"
    )
    texts(tmp_path, **{"a.xml": text, "b.xml": text.replace("a.png", "b.png").replace("0.0<", "3.0<")})
    found = samples(tmp_path)
    assert marks(found["a.png"]) == [("dent", (2, 11, 0, 3))]
    assert marks(found["b.png"]) == [("dent", (2, 11, 3, 3))]
    assert read_all(tmp_path).remarks == ("the corners of the boxes are counted from 0: one lies there",)


COCO = """{
  "info": {"year": 2017, "version": "1.0", "description": "plates", "contributor": "", "url": "",
           "date_created": "2017/09/01"},
  "licenses": [{"id": 1, "name": "none", "url": ""}],
  "images": [
    {"id": 397133, "width": 20, "height": 12, "file_name": "000000397133.jpg", "license": 1, "flickr_url": "",
     "coco_url": "http://images.cocodataset.org/val2017/000000397133.jpg", "date_captured": "2013-11-14 17:02:52"},
    {"id": 37777, "width": 20, "height": 12, "file_name": "000000037777.jpg", "license": 1, "flickr_url": "",
     "coco_url": "", "date_captured": "2013-11-14 20:55:31"}
  ],
  "annotations": [
    {"id": 82445, "image_id": 397133, "category_id": 44, "iscrowd": 0, "area": 12.0, "bbox": [2.0, 1.0, 4.0, 3.0],
     "segmentation": [[2.0, 1.0, 6.0, 1.0, 6.0, 4.0, 2.0, 4.0]]},
    {"id": 900100, "image_id": 397133, "category_id": 67, "iscrowd": 1, "area": 4, "bbox": [1, 10, 2, 2],
     "segmentation": {"counts": [22, 2, 10, 2, 204], "size": [12, 20]}},
    {"id": 82446, "image_id": 397133, "category_id": 67, "iscrowd": 0, "area": 6.0, "bbox": [17.0, 0.0, 3.0, 2.0]}
  ],
  "categories": [
    {"supercategory": "flaw", "id": 44, "name": "dent"},
    {"supercategory": "flaw", "id": 67, "name": "scratch"}
  ]
}
"""


def test_coco_as_its_data_format_has_it(tmp_path: Path) -> None:
    """Boxes are x, y, width and height from 0; run lengths go down the columns and begin with background."""
    images(tmp_path, "val2017/000000397133.jpg", "val2017/000000037777.jpg")
    texts(tmp_path, **{"annotations/instances_val2017.json": COCO})
    found = samples(tmp_path)
    assert marks(found["val2017/000000397133.jpg"]) == [
        ("dent", (1, 3, 2, 5)),
        ("scratch", (10, 11, 1, 2)),
        ("scratch", (0, 1, 17, 19)),
    ]
    assert found["val2017/000000037777.jpg"].regions == ()


YOLO = """# Train/val/test sets as 1) dir: path/to/imgs, 2) file: path/to/imgs.txt, or 3) list: [path/to/imgs1, ..]
path: ../datasets/plates  # dataset root dir
train: images/train  # train images (relative to 'path')
val: images/val  # val images (relative to 'path')
test:  # test images (optional)

# Classes
names:
  0: dent
  1: scratch
"""


def test_yolo_as_its_documents_have_it(tmp_path: Path) -> None:
    """A line is a class from 0, and the centre, width and height of a box as shares of the image's."""
    images(tmp_path, "images/train/1.jpg", "images/train/2.jpg", "images/val/3.jpg", "images/val/4.jpg")
    texts(
        tmp_path,
        **{
            "plates.yaml": YOLO,
            "labels/train/1.txt": "1 0.5 0.5 0.1 1.0\n0 0.05 0.125 0.1 0.25\n",
            "labels/train/2.txt": "",
            "labels/val/3.txt": "0 0.5 0.5 0.6 0.5 0.6 0.75 0.5 0.75\n",
        },
    )
    found = samples(tmp_path)
    assert [sample.split for sample in found.values()] == ["train", "train", "val", "val"]
    assert marks(found["images/train/1.jpg"]) == [("scratch", (0, 11, 9, 10)), ("dent", (0, 2, 0, 1))]
    assert found["images/train/2.jpg"].regions == found["images/val/4.jpg"].regions == ()
    assert marks(found["images/val/3.jpg"]) == [("dent", (6, 8, 10, 11))]


EXPORTED = """train: ../train/images
val: ../valid/images
test: ../test/images

nc: 2
names: ['dent', 'scratch']
"""


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    images(tmp_path, "train/images/a_jpg.rf.1.jpg", "valid/images/b_jpg.rf.2.jpg", "test/images/c_jpg.rf.3.jpg")
    texts(
        tmp_path,
        **{
            "data.yaml": EXPORTED,
            "train/labels/a_jpg.rf.1.txt": "0 0.5 0.5 0.1 0.5",
            "valid/labels/b_jpg.rf.2.txt": "1 0.5 0.5 0.1 0.5",
            "test/labels/c_jpg.rf.3.txt": "",
        },
    )
    return tmp_path


def test_yolo_as_exporters_write_it(exported: Path) -> None:
    """Folders beside data.yaml are written as if they lay beside its folder."""
    found = samples(exported)
    assert {name: sample.split for name, sample in found.items()} == {
        "train/images/a_jpg.rf.1.jpg": "train",
        "valid/images/b_jpg.rf.2.jpg": "val",
        "test/images/c_jpg.rf.3.jpg": "test",
    }
    assert marks(found["train/images/a_jpg.rf.1.jpg"]) == [("dent", (3, 8, 9, 10))]
    texts(exported, **{"data.yaml": EXPORTED.replace("../", f"../{exported.name}/")})
    assert samples(exported) == found


def test_an_exported_test_part_without_labels_needs_a_decision(exported: Path) -> None:
    (exported / "test/labels/c_jpg.rf.3.txt").unlink()
    loaded = load_images(exported, input=16, group="none", masks=True, unlabelled="good")
    assert loaded.names[loaded.labels.tolist().index(0)] == "test/images/c_jpg.rf.3.jpg"
    assert loaded.remarks[0] == "taken as good, having no label files: 1 image of test"
