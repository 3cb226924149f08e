"""Masks in a folder beside that of the images: ``images/x.jpg`` with ``masks/x.png``, perhaps inside ``train/ test/``.

The mask has the image's name, with ``_mask`` or the like added or not. An image without a mask is not annotated.
"""

from __future__ import annotations

from pathlib import Path

from compressdefect.data.collect import SPLIT_NAMES, Collector
from compressdefect.data.files import has_images, relative_name, scan, stem, subfolders
from compressdefect.data.labels import DEFECT
from compressdefect.data.readers.masks import without_suffix
from compressdefect.data.sample import Listing, Region, Sample
from compressdefect.data.shapes import MaskFile
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
        files = {without_suffix(stem(name)): name for name in collector.refuse(scan(masks, root)).images}
        for name in collector.refuse(scan(images, root)).images:
            mask = files.pop(stem(name), None)
            regions = None if mask is None else (Region(DEFECT, MaskFile(masks / mask)),)
            collector.samples.append(Sample(images / name, None, split, regions))
        for key, mask in files.items():
            collector.missing(relative_name(images / key, root), relative_name(masks / mask, root))
    return collector.listing()


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
