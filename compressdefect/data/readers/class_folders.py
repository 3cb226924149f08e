"""One folder per class (``good/ defective/``), or those folders again inside ``train/ test/ (val/)``."""

from __future__ import annotations

from pathlib import Path

from compressdefect.data.files import has_images, image_files, is_image, relative_name, subfolders
from compressdefect.data.sample import Listing, Sample
from compressdefect.errors import DataError

NAME = "class_folders"
LAYOUT = "CLASS/image.png, or train/CLASS/image.png beside test/ and perhaps val/"

SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}


def detect(root: Path) -> bool:
    """Whether folders with images lie in ``root``, or in its folders named after the parts of a split."""
    return bool(_split_folders(root)) or any(map(has_images, subfolders(root)))


def read(root: Path) -> Listing:
    """List the images of each class folder; parts named by folders are the official split.

    Raises:
        DataError: A class folder keeps its images deeper down, where they cannot be told from masks.
    """
    samples: list[Sample] = []
    skipped = [
        (relative_name(path, root), "lies outside the class folders")
        for path in sorted(root.iterdir())
        if is_image(path)
    ]
    for part, folder in _split_folders(root) or [(None, root)]:
        for class_folder in subfolders(folder):
            files, refused = image_files(class_folder, root)
            if not files and not refused:
                _refuse_deeper_images(class_folder, root)
            samples += [Sample(path, class_folder.name, part) for path in files]
            skipped += refused
    classes = tuple(sorted({sample.label for sample in samples}))
    return Listing(root.resolve().name, root, tuple(samples), classes, skipped=tuple(skipped))


def _split_folders(root: Path) -> list[tuple[str | None, Path]]:
    """The (part, folder) pairs of an official split: train and at least one other part, all of class folders."""
    parts: list[tuple[str | None, Path]] = [
        (SPLIT_NAMES[folder.name.lower()], folder) for folder in subfolders(root) if folder.name.lower() in SPLIT_NAMES
    ]
    names = {part for part, _ in parts}
    nested = all(not has_images(folder) and any(map(has_images, subfolders(folder))) for _, folder in parts)
    return parts if "train" in names and len(names) > 1 and nested else []


def _refuse_deeper_images(class_folder: Path, root: Path) -> None:
    deeper = next((path for path in class_folder.rglob("*") if is_image(path)), None)
    if deeper is not None:
        raise DataError(
            "a class folder must hold its images directly",
            got=relative_name(deeper, root),
            fix="move them up one level",
        )
