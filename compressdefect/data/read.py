"""From a folder in any known layout to a listing of its samples."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from compressdefect.data.labels import choose_labels
from compressdefect.data.readers import class_folders, neu_det
from compressdefect.data.sample import Listing, Reader
from compressdefect.errors import DataError, known_names

READERS: dict[str, Reader] = {reader.NAME: reader for reader in (neu_det, class_folders)}  # most specific first


def read(root: str | Path, format: str | None = None, labels: str = "all", good: str | None = None) -> Listing:
    """List the samples of a dataset, with the classes that ``labels`` and ``good`` ask for.

    Raises:
        DataError: The path is no folder, the layout is unknown, or the classes do not fit the request.
    """
    folder = Path(root)
    if not folder.exists():
        raise DataError("the data folder does not exist", got=str(root), fix="give a folder of images, or synthetic")
    if not folder.is_dir():
        raise DataError(
            "the data must be a folder", got=f"the file {root}", fix="give the folder that holds the images"
        )
    try:
        listing = _reader_for(folder, format).read(folder)
    except OSError as error:
        raise DataError("the data folder cannot be read", got=str(error), fix="check its permissions") from error
    if not listing.samples:
        raise _no_images(folder, listing.skipped[0] if listing.skipped else None)
    choice = choose_labels(listing.classes, labels, good)
    samples = tuple(
        replace(sample, label=choice.mapping[sample.label])
        for sample in listing.samples
        if sample.label in choice.mapping
    )
    return replace(listing, samples=samples, classes=choice.classes, good=choice.good)


def _reader_for(folder: Path, format: str | None) -> Reader:
    if format is not None:
        if format not in READERS:
            raise DataError("unknown data format", got=format, fix=known_names(format, READERS))
        return READERS[format]
    for reader in READERS.values():
        if reader.detect(folder):
            return reader
    if not any(folder.iterdir()):
        raise _no_images(folder, None)
    layouts = "; ".join(f"{name}: {reader.LAYOUT}" for name, reader in READERS.items())
    raise DataError("the layout of the data folder is not known", got=str(folder), fix=f"known layouts are {layouts}")


def _no_images(folder: Path, skipped: tuple[str, str] | None) -> DataError:
    got = "an empty folder" if skipped is None else f"only files like {skipped[0]} ({skipped[1]})"
    return DataError(f"no labelled images in {folder}", got=got, fix=f"use {READERS['class_folders'].LAYOUT}")
