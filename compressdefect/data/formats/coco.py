"""COCO JSON: boxes, polygons and run-length masks of many images in one file; several files are parts of a split.

Lin et al., "Microsoft COCO: Common Objects in Context", ECCV 2014. An image that a file names without annotating it
has no defect; one that no file names, or with an annotation that cannot be read, is not annotated.
"""

from __future__ import annotations

import json
import math
import mmap
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from compressdefect.data.formats.collect import Annotated, Collector, split_named
from compressdefect.data.formats.files import relative_name, walk
from compressdefect.data.marks.shapes import Box, CocoRle, Point, Polygon
from compressdefect.data.sample import Listing, Region, Stated

NAME = "coco"
LAYOUT = "annotations/instances_train.json (images, annotations, categories) and the images"

_DEPTH = 2  # folders below the root in which the JSON file may lie
_BROKEN = (ValueError, LookupError, TypeError, OverflowError, AttributeError)  # what reading a broken item raises


def detect(root: Path) -> bool:
    """Whether a JSON file speaks of images and annotations."""
    return any(_looks_right(path) for path in _json_files(root))


def read(root: Path) -> Listing:
    """List the images with the regions of every JSON file; files named after parts are the official split."""
    images = Annotated(Collector(root, NAME))
    for path in _json_files(root):
        if _looks_right(path):
            _File(images, path).read()
    return images.listing()


def _json_files(root: Path) -> Iterator[Path]:
    for folder in walk(root, depth=_DEPTH):
        yield from (folder.path / name for name in folder.files if name.lower().endswith(".json"))


def _looks_right(path: Path) -> bool:
    if not path.stat().st_size:
        return False
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return content.find(b'"images"') >= 0 and content.find(b'"annotations"') >= 0


class _File:
    """Reads one JSON file into the images."""

    def __init__(self, images: Annotated, path: Path) -> None:
        self.images = images
        self.path = path
        self.source = relative_name(path, images.collector.root)
        self.names: dict[Any, str | None] = {}  # by image id; None where the image cannot be had

    def read(self) -> None:
        try:
            content = json.loads(self.path.read_bytes())
            images, annotations = _dicts(content, "images"), _dicts(content, "annotations")
            categories = {item["id"]: str(item["name"]) for item in _dicts(content, "categories")}
        except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
            self.fault(f"not COCO JSON: {type(error).__name__}")
            return
        for image in images:
            self._tolerant(self._add_image, image, "an image has no id or file_name")
        for annotation in annotations:
            self._tolerant(lambda item: self._add_region(item, categories), annotation, "an annotation is broken")

    def fault(self, message: str) -> None:
        self.images.collector.unreadable(self.source, message)

    def _tolerant(self, add: Any, item: dict[str, Any], otherwise: str) -> None:
        try:
            add(item)
        except UnicodeError:
            self.fault(otherwise)
        except ValueError as error:
            self.images.collector.fault(self.source, error)
        except _BROKEN:
            self.fault(otherwise)

    def _add_image(self, image: dict[str, Any]) -> None:
        folder = PurePosixPath(self.source).parent
        bases = [str(base) for base in (folder, folder / "images", PurePosixPath(), PurePosixPath("images"))]
        name = self.images.find(str(image["file_name"]), self.source, bases)
        other = self.names.setdefault(image["id"], name)
        if other != name:
            for lost in (name, other):
                if lost is not None:
                    self.images.lose(lost)
            raise ValueError("two images have the same id")
        if name is None:
            return
        self.images.annotate(name)
        self.images.stated[name] = Stated(*(_whole(image.get(key)) for key in ("height", "width")))
        split = split_named(self.source)
        if split is not None:
            self.images.place(name, split)

    def _add_region(self, item: dict[str, Any], categories: dict[Any, str]) -> None:
        image = item["image_id"]
        if image not in self.names:
            raise ValueError("an annotation belongs to no image of the file")
        name = self.names[image]
        if name is None:
            return
        try:
            self.images.annotate(name, [_region(item, categories)])
        except _BROKEN:
            self.images.lose(name)
            raise


def _region(item: dict[str, Any], categories: dict[Any, str]) -> Region:
    if item["category_id"] not in categories:
        raise ValueError("an annotation has an unknown category")
    return Region(categories[item["category_id"]], _shape(item))


def _shape(item: dict[str, Any]) -> Box | Polygon | CocoRle:
    drawn = item.get("segmentation")
    if isinstance(drawn, dict):
        return _rle(drawn)
    if drawn:
        first, *others = (_points(part) for part in drawn)
        return Polygon(first, tuple(others))
    if len(item["bbox"]) != 4:
        raise ValueError("a box is not x, y, width, height")
    x, y, width, height = _numbers(item["bbox"])
    return Box.checked(x, y, x + width, y + height)


def _points(part: list[Any]) -> tuple[Point, ...]:
    values = _numbers(part)
    if len(values) < 6 or len(values) % 2 or not all(map(math.isfinite, values)):
        raise ValueError("a polygon has fewer than three points")
    return tuple(zip(values[::2], values[1::2], strict=True))


def _numbers(values: list[Any]) -> list[float]:
    if not isinstance(values, list) or not all(isinstance(value, int | float) for value in values):
        raise TypeError("not a list of numbers")
    return [float(value) for value in values]


def _rle(drawn: dict[str, Any]) -> CocoRle:
    height, width = (int(side) for side in drawn["size"])
    counts = drawn["counts"]
    if isinstance(counts, list):
        if not all(isinstance(n, int) and 0 <= n < 2**32 for n in counts) or sum(counts) != height * width:
            raise ValueError("run lengths do not add up to their image's size")
        from pycocotools import mask as coco

        counts = coco.frPyObjects({"size": [height, width], "counts": counts}, height, width)["counts"]
    return CocoRle(counts.encode("ascii") if isinstance(counts, str) else bytes(counts), height, width)


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and value > 0 else None


def _dicts(content: Any, key: str) -> list[dict[str, Any]]:
    items = content[key]
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise TypeError(key)
    return items
