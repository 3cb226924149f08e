"""Pascal VOC: an XML file of boxes per image, in a folder of their own or beside the images.

Everingham et al., "The PASCAL Visual Object Classes (VOC) Challenge", IJCV 88(2), 2010. Corners are counted from 1 and
belong to the box; where one lies at 0, the data set's are counted from 0 instead and are the box's edges, as annotation
tools write them. ``ImageSets/Main/train.txt`` and the like, or folders named after the parts, are the official split.
XML with a document type or entities is refused. An image with an object that is no box is not annotated.
"""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from compressdefect.data.formats.collect import SPLIT_NAMES, Annotated, Collector, split_of
from compressdefect.data.formats.files import Folder, inner_name, read_bytes, read_text, relative_name, stem, walk
from compressdefect.data.marks.shapes import Box
from compressdefect.data.sample import Listing, Region, Stated
from compressdefect.errors import DataError

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

NAME = "voc"
LAYOUT = "Annotations/image.xml beside JPEGImages/image.jpg, or image.xml beside image.jpg"

_DETECT_DEPTH, _DETECT_FILES = 3, 100
_IMAGE_FOLDERS = ("JPEGImages", "IMAGES", "Images", "images")
_MAX_BYTES = 16 * 2**20


@dataclass(frozen=True, slots=True)
class Annotation:
    """What one XML file says: the image it names, its boxes and what it states of the image's size.

    ``regions`` is None where ``faults`` says of an object why it is no box: then not all defects are known.
    """

    filename: str
    regions: tuple[Region, ...] | None
    stated: Stated
    faults: tuple[ValueError, ...]


def detect(root: Path) -> bool:
    """Whether one of the first XML files begins like an annotation."""
    paths = (folder.path / name for folder in walk(root, depth=_DETECT_DEPTH) for name in folder.files)
    return any(map(_looks_right, islice((path for path in paths if path.suffix.lower() == ".xml"), _DETECT_FILES)))


def _looks_right(path: Path) -> bool:
    with path.open("rb") as file:
        return b"<annotation" in file.read(4096)


def read(root: Path) -> Listing:
    """List the images with the boxes of their XML files; an image without one is not annotated."""
    folders = list(walk(root))
    images = Annotated(Collector(root, NAME), folders)
    found = {}
    for folder in folders:
        for name in folder.files:
            if name.lower().endswith(".xml"):
                source = relative_name(folder.path / name, root)
                annotation = parsed(images.collector, source)
                if annotation is not None:
                    found[source] = annotation
    for source, annotation in counted(images.collector, found).items():
        _annotate(images, source, annotation)
    _place(images, folders)
    return images.listing()


def parse(path: Path) -> Annotation:
    """Read one XML file, in the encoding that it declares.

    Raises:
        DataError: It is no XML of this kind, too large, or holds entities.
    """
    from defusedxml import DefusedXmlException, ElementTree

    content = read_bytes(path, _MAX_BYTES)
    try:
        tree = ElementTree.parse(io.BytesIO(content), forbid_dtd=True).getroot()
    except DefusedXmlException as error:
        raise DataError("XML with a document type or entities is refused", got=path.name, fix="remove them") from error
    except (ElementTree.ParseError, ValueError, LookupError, RecursionError) as error:
        raise DataError("not well-formed XML", got=path.name, fix="repair it or export it again") from error
    regions, faults = [], []
    for item in tree.findall("object"):
        try:
            regions.append(Region(_text(item, "name"), _box(item)))
        except ValueError as error:
            faults.append(error)
    return Annotation(_text(tree, "filename", ""), None if faults else tuple(regions), _stated(tree), tuple(faults))


def parsed(collector: Collector, source: str) -> Annotation | None:
    """One XML file of a data set; None, with a finding, if it cannot be read."""
    try:
        annotation = parse(collector.root / source)
    except DataError as error:
        collector.unreadable(source, error.what, error.fix or "")
        return None
    for fault in annotation.faults:
        collector.fault(source, fault)
    return annotation


def counted(collector: Collector, found: Mapping[str, Annotation]) -> dict[str, Annotation]:
    """A data set's annotations with the corners of their boxes counted from 0, if one of them tells that they are."""
    corners = (corner for annotation in found.values() for box in _boxes(annotation) for corner in (box.x0, box.y0))
    if not any(-1 <= corner < 0 for corner in corners):
        return dict(found)
    collector.remarks.append("the corners of the boxes are counted from 0: one lies there")
    return {source: _from_0(annotation) for source, annotation in found.items()}


def _boxes(annotation: Annotation) -> Iterator[Box]:
    yield from (region.shape for region in annotation.regions or () if isinstance(region.shape, Box))


def _from_0(annotation: Annotation) -> Annotation:
    if annotation.regions is None:
        return annotation
    boxes = [Box(box.x0 + 1, box.y0 + 1, box.x1, box.y1) for box in _boxes(annotation)]
    regions = [replace(region, shape=box) for region, box in zip(annotation.regions, boxes, strict=True)]
    return replace(annotation, regions=tuple(regions))


def _annotate(images: Annotated, source: str, annotation: Annotation) -> None:
    if inner_name(annotation.filename) is None:
        images.collector.refused(source, annotation.filename)
        return
    name = _image_of(images, source, annotation.filename)
    if name is None:
        return
    images.stated[name] = annotation.stated
    if annotation.regions is None:
        images.lose(name)
    else:
        images.annotate(name, annotation.regions)


def _image_of(images: Annotated, source: str, filename: str) -> str | None:
    """The image with the XML file's own name, else the one that it names: programs often leave old names in it."""
    folder = PurePosixPath(source).parent
    homes = [str(folder), *(str(folder.parent / name) for name in _IMAGE_FOLDERS)]
    own = stem(PurePosixPath(source).name)
    suffixes = [PurePosixPath(filename).suffix, ".jpg", ".png", ".bmp", ".jpeg", ".JPG", ".PNG", ".tif"]
    for home in homes:
        for suffix in suffixes:
            candidate = str(PurePosixPath(home) / f"{own}{suffix}")
            if suffix and candidate in images.names:
                return candidate
    return images.find(filename or f"{own}.jpg", source, homes)


def _place(images: Annotated, folders: list[Folder]) -> None:
    """Read the lists of ``ImageSets/Main``; where they place no image, folders named like parts are the split."""
    by_name: dict[str, list[str]] = defaultdict(list)  # with and without suffix
    for name in images.names:
        file = PurePosixPath(name).name
        for key in {file, stem(file)}:
            by_name[key].append(name)
    for folder in folders:
        if folder.path.parts[-2:] != ("ImageSets", "Main"):
            continue
        for file in folder.files:
            split = SPLIT_NAMES.get(stem(file).lower())
            if split is not None and stem(file).lower() != "trainval":
                _read_list(images, folder.path / file, split, by_name)
    if not images.splits:
        for name in images.names:
            split = split_of(PurePosixPath(name))
            if split is not None:
                images.place(name, split)


def _read_list(images: Annotated, path: Path, split: str, by_name: dict[str, list[str]]) -> None:
    """Place the images that a list names, with or without their suffix and folder."""
    source = relative_name(path, images.collector.root)
    for text in _lines(images, path):
        inner = inner_name(text)
        if inner is None:
            images.collector.refused(source, text)
            continue
        fits = _nearest(by_name.get(PurePosixPath(inner).name, ()), inner, PurePosixPath(source).parents[2])
        if len(fits) == 1:
            images.place(fits[0], split)
        elif fits:
            images.collector.unreadable(source, "it names an image as several are named", "write its folder and suffix")
        else:
            images.collector.missing(inner, source)


def _nearest(names: Iterable[str], inner: str, home: PurePosixPath) -> list[str]:
    """The images that ``inner`` can mean: in a usual folder beside the lists, else near them, else anywhere."""
    fits = [name for name in names if f"/{name}".endswith(f"/{inner}") or f"/{stem(name)}".endswith(f"/{inner}")]
    usual = [name for name in fits if PurePosixPath(name).parent in [home / folder for folder in _IMAGE_FOLDERS]]
    return usual or [name for name in fits if PurePosixPath(name).is_relative_to(home)] or fits


def _lines(images: Annotated, path: Path) -> list[str]:
    try:
        return [line.split()[0] for line in read_text(path).splitlines() if line.strip()]
    except DataError as error:
        images.collector.unreadable(relative_name(path, images.collector.root), error.what)
        return []


def _box(item: Element) -> Box:
    found = item.find("bndbox")
    if found is None:
        raise ValueError("an object has no bndbox")
    try:
        x0, y0, x1, y1 = (float(_text(found, name)) for name in ("xmin", "ymin", "xmax", "ymax"))
    except ValueError as error:
        raise ValueError("a box has corners that are no numbers") from error
    return Box.checked(x0 - 1, y0 - 1, x1, y1)


def _stated(tree: Element) -> Stated:
    size = tree.find("size")
    if size is None:
        return Stated()
    numbers = [text if (text := _text(size, name, "")).isdecimal() else None for name in ("height", "width", "depth")]
    return Stated(*(int(number) if number and len(number) < 10 else None for number in numbers))


def _text(parent: Element, name: str, default: str | None = None) -> str:
    text = (parent.findtext(name) or "").strip()
    if not text and default is None:
        raise ValueError(f"an object has no {name}")
    return text or default or ""
