"""YOLO: ``data.yaml`` names classes and parts; each image has lines of class and box, or class and outline.

``images/x.jpg`` belongs to ``labels/x.txt``, or to ``x.txt`` beside it. Coordinates are shares of width and height. An
image of a part without a text file has no defect, as the format has it; outside the parts, in a part without any text
file, or with a line that cannot be read, it is not annotated.
"""

from __future__ import annotations

import math
import posixpath
from collections.abc import Container
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from compressdefect.data.formats.collect import Annotated, Collector, split_of
from compressdefect.data.formats.files import inner_name, read_text, relative_name, scan, stem, walk
from compressdefect.data.marks.shapes import Box, Polygon
from compressdefect.data.sample import Listing, Region
from compressdefect.errors import DataError

NAME = "yolo"
LAYOUT = "data.yaml (names, train, val), images/x.jpg, labels/x.txt"

_MAX_YAML_BYTES = 2**20
_PARTS = ("train", "val", "test")
_UNLABELLED = "label it, or say with --unlabelled whether such images are good or skipped"
_NOT_OF_ITS_TAG = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError)  # !!int ""


def detect(root: Path) -> bool:
    """Whether a YAML file names classes and a part."""
    return _yaml_file(root) is not None


def read(root: Path) -> Listing:
    """List the images with their boxes and outlines.

    Raises:
        DataError: No YAML file names the classes.
    """
    path = _yaml_file(root)
    if path is None:
        raise DataError("the yolo layout has a data.yaml with names", got=str(root), fix="check --format")
    config = _load(path)
    folders = list(walk(root))
    images = Annotated(Collector(root, NAME), folders)
    texts = {
        relative_name(folder.path / name, root): folder.path / name
        for folder in folders
        for name in folder.files
        if name.lower().endswith(".txt")
    }
    _place(images, path.name, config, texts)
    unlabelled = _without_texts(images, texts)
    for name in images.names:
        if name in unlabelled:
            images.collector.findings.add("unlabelled", name, "no image of its part has a label file", _UNLABELLED)
        else:
            _annotate(images, name, texts, _class_names(config["names"]))
    for left in texts:
        if "labels" in PurePosixPath(left).parts[:-1]:
            images.collector.missing(left.removesuffix(".txt"), left)
    return replace(images.listing(), unlabelled=tuple(unlabelled))


def _place(images: Annotated, source: str, config: dict[str, Any], texts: dict[str, Path]) -> None:
    """Put images into the parts that data.yaml names, else into those that folders are named after."""
    for split in _PARTS:
        for name in _members(images, source, config, split, texts):
            images.place(name, split)
    for name in images.names:
        above = split_of(PurePosixPath(name))
        if name not in images.splits and above is not None:
            images.place(name, above)


def _without_texts(images: Annotated, texts: Container[str]) -> dict[str, None]:
    """The images of parts in which none has a text file: nobody may have labelled them."""
    labelled = {split for name, split in images.splits.items() if _text_of(name, texts) is not None}
    return {name: None for name in images.names if name in images.splits and images.splits[name] not in labelled}


def _yaml_file(root: Path) -> Path | None:
    names = [name for name in scan(root, root).files if name.lower().endswith((".yaml", ".yml"))]
    for name in sorted(names, key=lambda name: name != "data.yaml"):
        try:
            _load(root / name)
        except DataError:
            continue
        return root / name
    return None


def _load(path: Path) -> dict[str, Any]:
    import yaml

    try:
        content = yaml.safe_load(read_text(path, _MAX_YAML_BYTES))
    except (yaml.YAMLError, *_NOT_OF_ITS_TAG) as error:
        raise DataError("not YAML", got=path.name, fix="repair it") from error
    if not isinstance(content, dict) or not _class_names(content.get("names")) or not content.keys() & set(_PARTS):
        raise DataError("a data.yaml has names and train", got=path.name, fix="add them")
    return content


def _class_names(names: object) -> dict[int, str]:
    """Class names by number, from a list or a mapping."""
    items = names.items() if isinstance(names, dict) else enumerate(names) if isinstance(names, list) else ()
    return {key: str(name) for key, name in items if isinstance(key, int) and isinstance(name, str | int)}


def _members(images: Annotated, source: str, config: dict[str, Any], split: str, texts: dict[str, Path]) -> list[str]:
    """The images of a part: those below its folders, or in its lists, else in folders with the usual names."""
    entries, home = config.get(split) or [], config.get("path")
    found: list[str] = []
    for entry in entries if isinstance(entries, list) else [entries]:
        if not isinstance(entry, str):
            images.collector.unreadable(source, f"an entry of {split} is no path")
            continue
        for base in dict.fromkeys((home if isinstance(home, str) and home else ".", ".")):
            folder = _joined(images.collector.root, base, entry)
            if folder is None:
                images.collector.refused(source, base if _is_absolute(base) else entry)
                continue
            below = _images_in(images, folder, texts)
            found += below
            if below:
                break
        else:
            if ".." in entry:
                images.collector.refused(source, entry)
    return found


def _joined(root: Path, base: str, entry: str) -> str | None:
    """A path of data.yaml as one in the data folder; None if it is absolute or does nothing but climb.

    Exporters write ``../train/images`` for ``train/images`` beside data.yaml, so what climbs out and does not come back
    is taken as if it did not climb: that names another folder in the data folder, or nothing.
    """
    if _is_absolute(base) or _is_absolute(entry):
        return None
    parts = PurePosixPath(posixpath.normpath(f"{base.strip()}/{entry.strip()}".replace("\\", "/"))).parts
    up = parts.count("..")
    inner = parts[up:]
    if up and not inner:
        return None
    comes_back = up and inner[:up] == root.resolve().parts[-up:]
    return str(PurePosixPath(*(inner[up:] if comes_back else inner)))


def _is_absolute(text: str) -> bool:
    """Whether a path is refused for another reason than that it climbs with ``..``."""
    return inner_name(text.replace("..", ".")) is None


def _images_in(images: Annotated, folder: str, texts: dict[str, Path]) -> list[str]:
    """The images that a list names, or that lie below a folder."""
    if folder in texts:
        return _listed(images, texts.pop(folder), folder)
    return [name for name in images.names if folder == "." or name.startswith(f"{folder}/")]


def _listed(images: Annotated, path: Path, source: str) -> list[str]:
    try:
        lines = read_text(path).splitlines()
    except DataError as error:
        images.collector.unreadable(source, error.what)
        return []
    home = str(PurePosixPath(source).parent)
    names = [images.find(line, source, (home, ".")) for line in lines if line.strip()]
    return [name for name in names if name is not None]


def _text_of(name: str, texts: Container[str]) -> str | None:
    """The text file of an image."""
    return next((candidate for candidate in _label_names(name) if candidate in texts), None)


def _annotate(images: Annotated, name: str, texts: dict[str, Path], classes: dict[int, str]) -> None:
    label = _text_of(name, texts)
    if label is None:
        if name in images.splits:
            images.annotate(name)
        return
    try:
        lines = read_text(texts.pop(label)).splitlines()
    except DataError as error:
        images.collector.unreadable(label, error.what)
        return
    images.annotate(name)
    for line in lines:
        if not line.strip():
            continue
        try:
            images.annotate(name, [_region(line.split(), classes)])
        except ValueError as error:
            images.lose(name)
            images.collector.fault(label, error)
        except KeyError:
            images.lose(name)
            images.collector.findings.add(
                "class-mismatch", label, f"a class number is not among the {len(classes)} names", "correct either"
            )


def _label_names(name: str) -> list[str]:
    """Where an image's text file may lie: the last folder ``images`` turned to ``labels``, or beside the image."""
    path = PurePosixPath(f"{stem(name)}.txt")
    parts = list(path.parts)
    if "images" in parts:
        parts[len(parts) - 1 - parts[::-1].index("images")] = "labels"
    return [str(PurePosixPath(*parts)), str(path)]


def _region(fields: list[str], classes: dict[int, str]) -> Region:
    try:
        number, values = float(fields[0]), [float(field) for field in fields[1:]]
    except ValueError as error:
        raise ValueError("a line holds something else than numbers") from error
    if not all(map(math.isfinite, (number, *values))) or number != int(number):
        raise ValueError("a line holds something else than numbers")
    label = classes[int(number)]
    if len(values) == 4:
        x, y, width, height = values
        corners = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
        return Region(label, Box.checked(*corners, relative=True))
    if len(values) >= 6 and len(values) % 2 == 0:
        return Region(label, Polygon(tuple(zip(values[::2], values[1::2], strict=True)), relative=True))
    raise ValueError("a line is neither class and box nor class and outline")
