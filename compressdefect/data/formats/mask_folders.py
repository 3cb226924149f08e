"""Masks in a folder beside that of the images: ``images/x.jpg`` with ``masks/x.png``, perhaps inside ``train/ test/``.

The mask has the image's name, or else that with ``_mask`` or the like added. An image without a mask is not annotated.
"""

from __future__ import annotations

from pathlib import Path

from compressdefect.data.formats.collect import SPLIT_NAMES, Collector
from compressdefect.data.formats.files import has_images, relative_name, scan, stem, subfolders
from compressdefect.data.formats.masks import without_suffix
from compressdefect.data.labels import DEFECT
from compressdefect.data.marks.shapes import MaskFile
from compressdefect.data.sample import Listing, Region, Sample
from compressdefect.errors import DataError

NAME = "mask_folders"
LAYOUT = "images/x.jpg beside masks/x.png"

_DEPTH = 2  # folders below the root in which files lie
_IMAGES = frozenset({"image", "images", "img", "imgs"})
_MASKS = frozenset({"mask", "masks", "ground_truth", "groundtruth", "gt", "label", "labels"})


def detect(root: Path) -> bool:
    """Whether a folder of images and one of masks lie in ``root`` or in a part of a split."""
    return bool(_pairs(root))


def read(root: Path) -> Listing:
    """List the images with their masks; parts named by folders are the official split.

    Raises:
        DataError: There is no such pair of folders.
    """
    pairs = _pairs(root)
    if not pairs:
        raise DataError("the mask_folders layout has folders images and masks", got=str(root), fix="check --format")
    collector = Collector(root, NAME, depth=_DEPTH)
    for split, images, masks in pairs:
        names, files = (scan(folder, root).images for folder in (images, masks))
        of = pair(names, files)
        for name in names:
            regions = (Region(DEFECT, MaskFile(masks / of[name])),) if name in of else None
            collector.samples.append(Sample(images / name, None, split, regions))
        _report_left(collector, images, masks, {*files} - {*of.values()}, {*map(stem, names)})
    return collector.listing()


def pair(images: list[str], masks: list[str]) -> dict[str, str]:
    """The mask of each image that has one: the first of its own name, else the first that its name is the start of.

    >>> pair(["a.jpg", "a_seg.jpg", "b.jpg"], ["a_mask.png", "a_seg.png", "b.png", "b_gt.png"])
    {'a.jpg': 'a_mask.png', 'a_seg.jpg': 'a_seg.png', 'b.jpg': 'b.png'}
    """
    exact = {stem(mask): mask for mask in reversed(masks)}
    own = {stem(image) for image in images}
    suffixed = {without_suffix(stem(mask)): mask for mask in reversed(masks) if stem(mask) not in own}
    found = {image: exact.get(stem(image), suffixed.get(stem(image))) for image in images}
    return {image: mask for image, mask in found.items() if mask is not None}


def _report_left(collector: Collector, images: Path, masks: Path, left: set[str], known: set[str]) -> None:
    """Name the masks that are not used: their image has another, or is not there."""
    for mask in sorted(left):
        name, key = relative_name(masks / mask, collector.root), without_suffix(stem(mask))
        if known & {stem(mask), key}:
            collector.surplus_mask(masks / mask)
        else:
            collector.missing(relative_name(images / key, collector.root), name)


def _pairs(root: Path) -> list[tuple[str | None, Path, Path]]:
    """(Part, folder of images, folder of masks) in ``root``, else in the parts of a split."""
    parts = [
        (SPLIT_NAMES[path.name.lower()], path) for path in subfolders(root, root) if path.name.lower() in SPLIT_NAMES
    ]
    homes: list[tuple[str | None, Path]] = [(None, root), *parts]
    found = []
    for split, home in homes:
        images, masks = (_child(root, home, names) for names in (_IMAGES, _MASKS))
        if images is not None and masks is not None:
            found.append((split, images, masks))
    return found


def _child(root: Path, home: Path, names: frozenset[str]) -> Path | None:
    return next((path for path in subfolders(home, root) if path.name.lower() in names and has_images(path)), None)
