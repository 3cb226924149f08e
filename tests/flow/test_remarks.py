"""What is said of the data before a training."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from compressdefect.data.split import make_split
from compressdefect.flow.remarks import remarks
from compressdefect.options import DataOptions
from compressdefect.train.classify import Classify
from compressdefect.train.segment import Segment
from tests.data.conftest import blank_images


def test_training_images_that_are_given_up_are_counted() -> None:
    splits = ("train",) * 12 + ("test",) * 4
    groups = [12, *range(1, 16)]
    images = blank_images([0, 1] * 8, groups, splits=splits)
    task = Classify(images.classes)
    split = make_split(images)
    assert len(split.left_out) == 1
    assert remarks(split, images, task, DataOptions()) == [
        "left out of the training because they resemble test images: 1"
    ]
    others = split.train[-2:]
    fewer = replace(split, train=split.train[:-2], left_out=np.sort([*split.left_out, *others]))
    assert remarks(fewer, images, task, DataOptions())[:2] == [
        "left out of the training because they resemble test images: 1",
        "neither trained nor tested on, as the split has it: 2",
    ]


def test_what_was_seen_while_reading_comes_first() -> None:
    images = blank_images([0, 1] * 8, remarks=("2 images of kinds that are not read: .gif",))
    task = Classify(images.classes)
    assert remarks(make_split(images), images, task, DataOptions())[0] == images.remarks[0]


def test_classes_that_a_part_does_not_show_are_named() -> None:
    splits = ("train",) * 6 + ("test",) * 4
    images = blank_images([0, 1, 2] * 2 + [0, 0, 1, 1], splits=splits)
    task = Classify(images.classes)
    assert remarks(make_split(images), images, task, DataOptions()) == ["no test image shows class2"]


def test_a_class_that_may_be_the_good_one_is_named() -> None:
    for names, expected in ((("def_front", "ok_front"), ["ok_front"]), (("crack", "spot"), [])):
        images = blank_images([0, 1] * 8, classes=names)
        task = Classify(images.classes)
        found = remarks(make_split(images), images, task, DataOptions())
        assert [line.rpartition(" ")[2] for line in found if "--good" in line] == expected


def test_of_a_segmentation_these_are_the_classes_of_pixels() -> None:
    """The classes of whole images, good and defect, are in every part, and a kind of defect is not."""
    masks = np.zeros((10, 4, 4), dtype=np.uint8)
    masks[[1, 3], 0, 0], masks[[5, 7, 9], 1, 1] = 1, 2
    splits = ("train",) * 4 + ("test",) * 6
    images = blank_images([0, 1] * 5, classes=("good", "defect"), splits=splits, masks=masks, regions=("dent", "spot"))
    task = Segment(("background", "dent", "spot"))
    assert remarks(make_split(images), images, task, DataOptions()) == [
        "no training image shows spot",
        "no test image shows dent",
    ]
