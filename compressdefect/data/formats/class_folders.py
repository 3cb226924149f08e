"""One folder per class (``good/ defective/``), or those folders again inside ``train/ test/ (val/)``."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from compressdefect.data.formats.collect import SPLIT_NAMES, Collector
from compressdefect.data.formats.files import Folder, has_images, relative_name, scan, subfolders, walk
from compressdefect.data.sample import Listing, Sample
from compressdefect.errors import DataError

NAME = "class_folders"
LAYOUT = "CLASS/image.png, or train/CLASS/image.png beside test/ and perhaps val/"


def detect(root: Path) -> bool:
    """Whether folders with images lie in ``root``, or in its folders named after the parts of a split."""
    return bool(split_folders(root)) or any(map(has_images, subfolders(root, root)))


def read(root: Path) -> Listing:
    """List the images of each class folder; parts named by folders are the official split.

    Raises:
        DataError: A class folder keeps its images deeper down, where they cannot be told from masks; or there are only
            parts of a split, and not all of them have classes.
    """
    parts = split_folders(root)
    if not parts:
        _refuse_parts_as_classes(root)
    collector = Collector(root, NAME)
    if parts:
        _name_left_out(collector, {path for _, path in parts})
    for name in scan(root, root).images:
        collector.skip(name, "lies outside the class folders")
    for part, folder in parts or [(None, root)]:
        for label in collector.refuse(scan(folder, root)).folders:
            class_folder = collector.refuse(scan(folder / label, root))
            if not class_folder.images and not class_folder.refused:
                _refuse_deeper_images(class_folder.path, root)
            for deeper in map(collector.refuse, _below(class_folder, root)):
                for name in deeper.images:
                    collector.skip(relative_name(deeper.path / name, root), "lies deeper than its class folder")
            collector.samples += [Sample(class_folder.path / name, label, part) for name in class_folder.images]
    return collector.listing()


def split_folders(root: Path) -> list[tuple[str | None, Path]]:
    """The (part, folder) pairs of an official split: train and at least one other part, all of class folders."""
    parts: list[tuple[str | None, Path]] = [
        (SPLIT_NAMES[folder.name.lower()], folder)
        for folder in subfolders(root, root)
        if folder.name.lower() in SPLIT_NAMES
    ]
    names = {part for part, _ in parts}
    nested = all(not has_images(folder) and any(map(has_images, subfolders(folder, root))) for _, folder in parts)
    return parts if "train" in names and len(names) > 1 and nested else []


def _refuse_parts_as_classes(root: Path) -> None:
    """Parts of a split that are no official split would pass for classes named train and test.

    One folder among others may be a class that is called so; two parts are none, whatever lies beside them.
    """
    folders = subfolders(root, root)
    parts = [path for path in folders if path.name.lower() in SPLIT_NAMES and _image_count(root, path)]
    several = len({SPLIT_NAMES[path.name.lower()] for path in parts}) > 1
    if several or (parts and not any(_image_count(root, path) for path in folders if path not in parts)):
        raise DataError(
            "a split has train and another part, each with folders of classes",
            got=", ".join(path.name for path in parts),
            fix="sort the images of each part into CLASS/, or give a folder of classes alone",
        )


def _name_left_out(collector: Collector, parts: set[Path]) -> None:
    """Say which folders beside the parts of a split hold images, since none of those is used."""
    for path in subfolders(collector.root, collector.root):
        count = 0 if path in parts else _image_count(collector.root, path)
        if count:
            text = f"{count} image{'s are' if count > 1 else ' is'} left out: it is no part of the split"
            collector.findings.add("unlabelled", path.name, text, "move them into the classes of a part, or remove it")


def _image_count(root: Path, path: Path) -> int:
    """Images in a folder and all below it."""
    return sum(len(folder.images) for folder in walk(root, path))


def _below(folder: Folder, root: Path) -> Iterator[Folder]:
    return islice(walk(root, folder.path), 1, None)


def _refuse_deeper_images(class_folder: Path, root: Path) -> None:
    for folder in walk(root, class_folder):
        for name in folder.images:
            raise DataError(
                "a class folder must hold its images directly",
                got=relative_name(folder.path / name, root),
                fix="move them up one level",
            )
