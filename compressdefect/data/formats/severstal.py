"""Severstal steel defects: ``train.csv`` of run lengths, four classes, ``train_images``.

Rows are image, class, runs, or in the older form ``image_class``, runs. An image without a row, or with empty runs
only, has no defect; one with a row that cannot be read is not annotated. ``test_images`` come without labels and are
left out.
"""

from __future__ import annotations

from pathlib import Path

from compressdefect.data.formats.collect import Annotated, Collector
from compressdefect.data.formats.files import scan
from compressdefect.data.formats.table import read_table
from compressdefect.data.marks.shapes import Rle
from compressdefect.data.sample import Listing, Region
from compressdefect.errors import DataError

NAME = "severstal"
LAYOUT = "train.csv (ImageId, ClassId, EncodedPixels) beside train_images"
TABLE, IMAGES, TEST = "train.csv", "train_images", "test_images"


def detect(root: Path) -> bool:
    """Whether ``train.csv`` has a column EncodedPixels."""
    found = scan(root, root)
    if TABLE not in found.files or IMAGES not in found.folders:
        return False
    with (root / TABLE).open("rb") as file:
        return b"EncodedPixels" in file.readline(4096)


def read(root: Path) -> Listing:
    """List the training images with their defects.

    Raises:
        DataError: The table or the folder of images is missing or unreadable.
    """
    if not detect(root):
        raise DataError("the severstal layout has train.csv and train_images", got=str(root), fix="check --format")
    collector = Collector(root, NAME)
    images = Annotated(collector, [scan(root / IMAGES, root)])
    for name in images.names:
        images.annotate(name)
    for row in read_table(root / TABLE, collector, broken=lambda cell: _lose(images, cell)):
        _add(images, row)
    if TEST in scan(root, root).folders:
        _leave_out_test(collector)
    return images.listing()


def _add(images: Annotated, row: dict[str, str]) -> None:
    image, label = row.get("imageid", ""), row.get("classid", "")
    if "imageid_classid" in row:
        image, _, label = row["imageid_classid"].rpartition("_")
    name = images.find(image, TABLE, [IMAGES]) if image else None
    try:
        regions = _regions(image, label, row.get("encodedpixels", ""))
    except ValueError as error:
        images.collector.unreadable(TABLE, f"a row is broken: {error}")
        _lose(images, name or row.get("imageid_classid", ""))
        return
    if name is not None:
        images.annotate(name, regions)


def _regions(image: str, label: str, runs: str) -> list[Region]:
    if not image or not label:
        raise ValueError("no image or class")
    return [Region(label, Rle.of_pairs(map(int, runs.split())))] if runs and runs != "-1" else []


def _lose(images: Annotated, text: str) -> None:
    """Forget the image of a broken row, whose first cell begins with its name."""
    for name in (text, f"{IMAGES}/{text}", f"{IMAGES}/{text.rpartition('_')[0]}"):
        if name in images.names:
            images.lose(name)


def _leave_out_test(collector: Collector) -> None:
    count = len(collector.refuse(scan(collector.root / TEST, collector.root)).images)
    if count:
        collector.findings.add("unlabelled", TEST, f"{count} images without labels are left out", "none needed")
