"""Masks beside their images: ``x.jpg`` with ``x.png``, or ``x.bmp`` with ``x_mask.png``, ``x_label.bmp``, ``x_GT.png``.

The folders above may be parts of a split (``train/``) and classes (``MT_Crack/Imgs/``). Folders that only number the
items (``kos01/``) are no classes: then an image is good if its mask is empty. An image without a mask is not
annotated, unless its class sounds good.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from compressdefect.data.formats.collect import SPLIT_NAMES, Collector
from compressdefect.data.formats.files import Folder, relative_name, stem, walk
from compressdefect.data.labels import DEFECT, sounds_good
from compressdefect.data.marks.shapes import MaskFile
from compressdefect.data.sample import Listing, Region, Sample

NAME = "masks"
LAYOUT = "x.jpg + x.png, or x.png + x_mask.png, x_label.bmp, x_GT.png in one folder, perhaps in CLASS/"

_SUFFIX = re.compile(r"(.+)[_-](?:mask|label|gt|seg)", re.IGNORECASE)
_LOSSY = frozenset({"j2k", "jfif", "jp2", "jpe", "jpeg", "jpf", "jpg", "jpx", "webp"})
_DETECT_DEPTH = 4
_PLAIN_FOLDERS = frozenset({"data", "image", "images", "img", "imgs"})  # names that are neither items nor classes
_CLASS_WORDS = frozenset({"category", "class", "defect", "kind", "type"})  # numbered, and classes all the same


def detect(root: Path) -> bool:
    """Whether images with masks beside them lie in a folder: some by suffix, or half of them by equal names."""
    for folder in walk(root, depth=_DETECT_DEPTH):
        names = folder.images
        masks = pair(names).masks
        by_suffix = any(stem(mask) != stem(image) for image, mask in masks.items())
        if by_suffix or (masks and 2 * len(masks) >= len(names) - len(masks)):
            return True
    return False


def read(root: Path) -> Listing:
    """List the images with their masks."""
    collector = Collector(root, NAME)
    folders = [collector.refuse(folder) for folder in walk(root)]
    classes = _classes(root, [folder for folder in folders if folder.images])
    for folder in folders:
        split, label = _split_and_class(root, folder)
        _add(collector, folder, split, label if label in classes else None)
    return collector.listing()


class Pairs(NamedTuple):
    """Masks by image, masks whose image is not there, and those of an image that has one already."""

    masks: dict[str, str]
    orphans: list[str]
    surplus: list[str]


def pair(names: Iterable[str]) -> Pairs:
    """Tell images and masks apart among the names in one folder; of several masks of an image the first is taken.

    >>> pair(["a.jpg", "a.png", "b.bmp", "b_gt.bmp", "b_mask.png", "c_mask.png", "d.png"])
    Pairs(masks={'b.bmp': 'b_gt.bmp', 'a.jpg': 'a.png'}, orphans=['c_mask.png'], surplus=['b_mask.png'])
    """
    by_stem: dict[str, list[str]] = {}
    for name in names:
        by_stem.setdefault(stem(name), []).append(name)
    found, images = Pairs({}, [], []), []
    image_of = {key: _image_of(key, by_stem) for key in by_stem}
    endings = {_ending(image) for image in image_of.values() if image is not None}  # of images, perhaps like a mask's
    for key, image in image_of.items():
        if image is not None:
            _give(found, _image_and_mask(by_stem[image])[0], by_stem[key])
        elif _ending(key) and without_suffix(key) in by_stem:
            found.surplus.extend(by_stem[key])
        elif _ending(key) and _ending(key) not in endings:
            found.orphans.extend(by_stem[key])
        else:
            images.append(key)
    for key in images:
        picture, mask = _image_and_mask(by_stem[key])
        if mask is not None:
            _give(found, picture, [mask])
    return found


def _image_of(key: str, stems: Container[str]) -> str | None:
    """The stem of the image that a mask of this stem lies beside, None if it is no mask.

    >>> [_image_of(key, {"a_label", "a_label_mask"}) for key in ("a_label", "a_label_mask")]
    [None, 'a_label']
    """
    base = without_suffix(key)
    return base if base != key and base in stems and _image_of(base, stems) is None else None


def _ending(key: str) -> str:
    """What a stem has behind that of an image, such as ``_mask``, in lower case."""
    return key.removeprefix(without_suffix(key)).lower()


def _give(found: Pairs, image: str, masks: list[str]) -> None:
    mask, *others = masks
    found.surplus.extend(others if found.masks.setdefault(image, mask) == mask else masks)


def without_suffix(name: str) -> str:
    """The stem of the image that a mask of this stem belongs to."""
    match = _SUFFIX.fullmatch(name)
    return match[1] if match else name


def _image_and_mask(twins: list[str]) -> tuple[str, str | None]:
    """Of two files with one stem: what was compressed with loss is the image; of two others, a PNG is the mask."""
    if len(twins) != 2:
        return twins[0], None
    for is_image in (_is_lossy, lambda name: not name.lower().endswith(".png")):
        images = [name for name in twins if is_image(name)]
        if len(images) == 1:
            return images[0], next(name for name in twins if name != images[0])
    return twins[0], None


def _is_lossy(name: str) -> bool:
    return name.rpartition(".")[2].lower() in _LOSSY


def _split_and_class(root: Path, folder: Folder) -> tuple[str | None, str | None]:
    """The part and the class that the first folders below ``root`` stand for."""
    parts = PurePosixPath(relative_name(folder.path, root)).parts
    split = SPLIT_NAMES.get(parts[0].lower()) if parts else None
    rest = parts[1:] if split else parts
    return split, rest[0] if rest and rest[0].lower() not in _PLAIN_FOLDERS else None


def _classes(root: Path, folders: list[Folder]) -> set[str]:
    """The folder names that are classes: none if there is but one, or if they only number the items."""
    names = {label for folder in folders if (label := _split_and_class(root, folder)[1]) is not None}
    words = {re.sub(r"[\W\d_]+", "", name).lower() for name in names}
    numbered = len(words) == 1 and not words & _CLASS_WORDS
    return set() if numbered or len(names) < 2 else names


def _add(collector: Collector, folder: Folder, split: str | None, label: str | None) -> None:
    masks, orphans, surplus = pair(folder.images)
    for orphan in orphans:
        name = relative_name(folder.path / orphan, collector.root)
        collector.findings.add("missing-image", name, "a mask, but its image is not there", "add the image")
    for mask in surplus:
        collector.surplus_mask(folder.path / mask)
    not_images = {*masks.values(), *orphans, *surplus}
    for name in folder.images:
        if name in not_images:
            continue
        regions: tuple[Region, ...] | None = () if label is not None and sounds_good(label) else None
        if name in masks:
            regions = (Region(label or DEFECT, MaskFile(folder.path / masks[name])),)
        collector.samples.append(Sample(folder.path / name, label, split, regions))
