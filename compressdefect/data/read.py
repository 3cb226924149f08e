"""From a folder in any known layout to a listing of its samples."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from compressdefect.data.formats import (
    class_folders,
    coco,
    crackforest,
    csv_table,
    dagm,
    mask_folders,
    masks,
    mvtec,
    neu_det,
    severstal,
    voc,
    yolo,
)
from compressdefect.data.formats.collect import in_parts
from compressdefect.data.formats.files import relative_name, scan, unread_images
from compressdefect.data.labels import GOOD, choose_labels, choose_regions
from compressdefect.data.sample import Listing, Reader, Region, Sample
from compressdefect.errors import DataError, known_names

UNLABELLED = "no label says what it shows"
SKIP = "skip"

READERS: dict[str, Reader] = {  # most specific first: masks beside images win over folders as classes
    reader.NAME: reader
    for reader in (
        neu_det,
        crackforest,
        dagm,
        mvtec,
        severstal,
        yolo,
        coco,
        voc,
        csv_table,
        mask_folders,
        masks,
        class_folders,
    )
}


def read(
    root: str | Path,
    format: str | None = None,
    labels: str = "all",
    good: str | None = None,
    at_least: int = 2,
    unlabelled: str | None = None,
) -> Listing:
    """List the samples of a dataset that are labelled, with the classes that ``labels`` and ``good`` ask for.

    Where images have classes, those are chosen among; defects keep their own classes, except that ``binary`` merges
    them. Where they have none (``classes`` is empty then), the classes of the defects are, and images that show
    another one are left out: without it they would pass for good ones. What is marked as good is no defect, so an image
    that shows nothing else is a good one. ``unlabelled`` says what the images of a part are in which none has a label
    file: ``good``, or to be left out (``skip``). ``skipped`` names images without any label.

    Raises:
        DataError: The path is no folder, the layout is unknown, a part without labels is not decided on, or the
            classes do not fit the request, being fewer than ``at_least`` for example.
    """
    listing = settle_unlabelled(read_all(root, format), unlabelled)
    if listing.classes:
        return _by_class(listing, labels, good, at_least)
    return _by_region(listing, labels, good)


def settle_unlabelled(listing: Listing, unlabelled: str | None) -> Listing:
    """Decide on the images of parts without label files: they become good ones, or are left out (``skip``).

    Raises:
        DataError: There are such images and nothing is decided, or the decision is another word.
    """
    if unlabelled not in (None, GOOD, SKIP):
        raise DataError("--unlabelled is good or skip", got=unlabelled)
    names = {*listing.unlabelled}
    if not names:
        return listing
    undecided = [relative_name(sample.path, listing.root) in names for sample in listing.samples]
    rows = list(zip(listing.samples, undecided, strict=True))
    parts = " and ".join(sorted({sample.split or "train" for sample, open_ in rows if open_}))
    count = f"{len(names)} image{'s' * (len(names) > 1)}"
    if unlabelled is None:
        raise DataError(
            f"the images of {parts} have no label files",
            got=f"{count} such as {listing.unlabelled[0]}",
            fix="give --unlabelled good if they show no defect, or --unlabelled skip to leave them out",
        )
    if unlabelled == GOOD:
        samples = [replace(sample, regions=()) if open_ else sample for sample, open_ in rows]
    else:
        samples = in_parts(sample for sample, open_ in rows if not open_)
    done = "taken as good" if unlabelled == GOOD else "left out"
    return replace(
        listing,
        samples=tuple(samples),
        findings=tuple(finding for finding in listing.findings if not names.issuperset(finding.files)),
        remarks=(*listing.remarks, f"{done}, having no label files: {count} of {parts}"),
        unlabelled=(),
    )


def _by_class(listing: Listing, labels: str, good: str | None, at_least: int) -> Listing:
    choice = choose_labels(listing.classes, labels, good, at_least)
    own = [label for label in listing.region_classes if label != choice.good]
    regions = choose_regions(own, "binary" if labels == "binary" else "all")
    samples = [
        replace(sample, label=choice.mapping[sample.label], regions=_renamed(sample.regions, regions))
        for sample in listing.samples
        if sample.label is not None and sample.label in choice.mapping
    ]
    return replace(_with(listing, samples, regions), classes=choice.classes, good=choice.good)


def _by_region(listing: Listing, labels: str, good: str | None) -> Listing:
    if good not in (None, GOOD):
        raise DataError("--good names a class that the data does not have", got=good, fix=f"known: {GOOD}")
    regions = choose_regions(listing.region_classes, labels)
    left_out = set(listing.region_classes) - set(regions)
    samples = [
        replace(sample, regions=_renamed(sample.regions, regions))
        for sample in listing.samples
        if sample.regions is not None and not any(region.label in left_out for region in sample.regions)
    ]
    return _with(listing, samples, regions)


def _renamed(regions: tuple[Region, ...] | None, names: dict[str, str]) -> tuple[Region, ...] | None:
    """Regions by their new names, without those that have none: what marks a good image marks no defect."""
    if regions is None:
        return None
    return tuple(Region(names[region.label], region.shape) for region in regions if region.label in names)


def _with(listing: Listing, samples: list[Sample], regions: dict[str, str]) -> Listing:
    """The listing with other samples and only the region classes that they show."""
    if not samples:
        raise DataError(f"no labelled images in {listing.root}", got=f"{len(listing.samples)} without a label")
    shown = {region.label for sample in samples for region in sample.regions or ()}
    unlabelled = tuple(
        (relative_name(sample.path, listing.root), UNLABELLED)
        for sample in listing.samples
        if sample.label is None and (listing.classes or sample.regions is None)
    )
    return replace(
        listing,
        samples=tuple(samples),
        skipped=listing.skipped + unlabelled,
        region_classes=tuple(name for name in dict.fromkeys(regions.values()) if name in shown),
    )


def read_all(root: str | Path, format: str | None = None) -> Listing:
    """List the samples of a dataset with the labels that it has, whatever they are good for.

    Raises:
        DataError: The path is no folder, the layout is unknown, or there is no image.
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
    return listing


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
    refused = [f"{name} is refused: {reason}" for name, reason in scan(folder, folder).refused]
    refused += [f"{name} is of a kind that is not read" for name in unread_images(folder)]
    layouts = "; ".join(f"{name}: {reader.LAYOUT}" for name, reader in READERS.items())
    raise DataError(
        "the layout of the data folder is not known",
        got=", where ".join([str(folder), *refused[:1]]),
        fix=f"known layouts are {layouts}",
    )


def _no_images(folder: Path, skipped: tuple[str, str] | None) -> DataError:
    got = "an empty folder" if skipped is None else f"only files like {skipped[0]} ({skipped[1]})"
    return DataError(f"no labelled images in {folder}", got=got, fix=f"use {READERS['class_folders'].LAYOUT}")
