"""A whole dataset in memory as uint8 pixels, ready for training."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from compressdefect.data.convert import mask_of
from compressdefect.data.duplicates import duplicate_groups, groups_by_name
from compressdefect.data.files import relative_name
from compressdefect.data.labels import DEFECT, GOOD, choose_labels, too_few_classes
from compressdefect.data.pixels import decode, is_grey, resize, resize_mask, to_channels
from compressdefect.data.read import UNLABELLED, read
from compressdefect.data.sample import DEFAULT_TEST_SHARE, Listing, Sample
from compressdefect.data.shapes import MaskFile, MatMask, SizeMismatchError
from compressdefect.errors import DataError

SYNTHETIC = "synthetic"
MAX_UNREADABLE_SHARE = 0.05

Progress = Callable[[int, int], None]  # (images done, images in all)


@dataclass(frozen=True, eq=False)
class Images:
    """Images of one size with their classes.

    ``pixels`` uint8 (N, C, H, W), C = 1 if no image has colour, else 3; ``labels`` int64 (N,) index ``classes``;
    ``names`` relative to the dataset; ``hashes`` SHA-256 of each file; ``groups`` int64 (N,), equal for images that
    must stay in one part of a split, made as ``group`` says; ``splits`` the official part of each image, if any;
    ``masks`` uint8 (N, H, W), 0 where nothing is wrong, else 1 + an index into ``regions``, if they were loaded.
    """

    pixels: np.ndarray
    labels: np.ndarray
    names: tuple[str, ...]
    hashes: tuple[str, ...]
    classes: tuple[str, ...]
    groups: np.ndarray
    good: int | None = None
    splits: tuple[str, ...] | None = None
    name: str = SYNTHETIC
    group: str = "auto"
    test_share: float = DEFAULT_TEST_SHARE
    skipped: tuple[tuple[str, str], ...] = ()
    masks: np.ndarray | None = None
    regions: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.names)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape (C, H, W) of one image."""
        channels, height, width = self.pixels.shape[1:]
        return channels, height, width

    @cached_property
    def fingerprint(self) -> str:
        """16 hex digits of the files and their classes, whatever their order and size in memory."""
        rows = sorted(f"{digest} {self.classes[label]}" for digest, label in zip(self.hashes, self.labels, strict=True))
        return hashlib.sha256("\n".join(rows).encode()).hexdigest()[:16]

    def subset(self, indices: np.ndarray) -> Images:
        """The images at ``indices``, in that order, with the same classes."""
        chosen = np.asarray(indices, dtype=np.int64)
        return replace(
            self,
            pixels=self.pixels[chosen],
            labels=self.labels[chosen],
            groups=self.groups[chosen],
            names=tuple(self.names[i] for i in chosen),
            hashes=tuple(self.hashes[i] for i in chosen),
            splits=None if self.splits is None else tuple(self.splits[i] for i in chosen),
            masks=None if self.masks is None else self.masks[chosen],
        )

    def save(self, folder: Path) -> None:
        """Write the images for other processes of this run to map into memory with ``load``."""
        folder.mkdir(parents=True, exist_ok=True)
        for key in _ARRAYS:
            if getattr(self, key) is not None:
                np.save(folder / f"{key}.npy", getattr(self, key))
        rest = {key: value for key, value in vars(self).items() if key in _FIELDS}
        (folder / "images.json").write_text(json.dumps(rest), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Images:
        """Open what ``save`` wrote; the pixels stay on disk and are shared between processes."""
        rest: dict[str, Any] = json.loads((folder / "images.json").read_text(encoding="utf-8"))
        for key in ("names", "hashes", "classes", "splits", "regions"):
            rest[key] = None if rest[key] is None else tuple(rest[key])
        rest["skipped"] = tuple((name, reason) for name, reason in rest["skipped"])
        for key in _ARRAYS:
            path = folder / f"{key}.npy"
            rest[key] = np.load(path, mmap_mode="r" if key in _MAPPED else None) if path.is_file() else None
        return cls(**rest)


_ARRAYS = ("pixels", "labels", "groups", "masks")
_MAPPED = frozenset({"pixels", "masks"})
_FIELDS = frozenset(Images.__dataclass_fields__) - frozenset(_ARRAYS)


def load_images(
    data: str | Path,
    *,
    input: int = 224,
    format: str | None = None,
    labels: str = "all",
    good: str | None = None,
    group: str = "auto",
    masks: bool = False,
    progress: Progress | None = None,
    max_unreadable_share: float = MAX_UNREADABLE_SHARE,
) -> Images:
    """Load ``synthetic`` or a folder in any known layout, each image resized to ``input`` × ``input``.

    ``group`` is ``auto`` (duplicates and near duplicates stay together), ``none``, or a regular expression whose
    first match in the file name (its first parenthesis, if any) names the group. With ``masks`` those of the defects
    are loaded too, and images whose defects nobody marked are left out. Images without a class of their own are
    ``good`` if nothing is marked in them, else ``defect``.

    Raises:
        DataError: The folder, its layout or the classes asked for are wrong, or too many images cannot be read.
    """
    if str(data) == SYNTHETIC:
        return _load_synthetic(input, labels, good, group, progress)
    listing = read(data, format, labels, good, at_least=1 if masks else 2)
    if masks and not listing.region_classes:
        raise DataError("no image has its defects marked", got=listing.root, fix="add masks, or use --task classify")
    loaded = _Loader(listing, input, masks)
    for done, sample in enumerate(listing.samples, start=1):
        loaded.add(sample)
        if progress is not None:
            progress(done, len(listing.samples))
    return loaded.images(group, max_unreadable_share)


class _Loader:
    """Fills one array image by image; it grows from grey to RGB at the first image with colour."""

    def __init__(self, listing: Listing, size: int, masks: bool) -> None:
        count = len(listing.samples)
        self.listing = listing
        self.size = size
        self.pixels = np.empty((count, 1, size, size), dtype=np.uint8)
        self.masks = np.zeros((count, size, size), dtype=np.uint8) if masks else None
        self.kept: list[Sample] = []
        self.labels: list[str] = []
        self.hashes: list[str] = []
        self.maybe_good = _unmarked_classes(listing)
        self.unreadable = [item for item in listing.skipped if item[1] != UNLABELLED]
        self.unlabelled = [item for item in listing.skipped if item[1] == UNLABELLED]

    def add(self, sample: Sample) -> None:
        name = relative_name(sample.path, self.listing.root)
        if self.masks is not None and sample.regions is None and sample.label != self.listing.good:
            self.unlabelled.append((name, "nobody marked its defects"))
            return
        try:
            content = sample.path.read_bytes()
            decoded = decode(content)
            mask = self._mask(sample, *decoded.shape[:2])
        except (DataError, OSError) as error:
            self.unreadable.append((name, _reason(error)))
            return
        self._add_pixels(decoded)
        if self.masks is not None and mask is not None:
            self.masks[len(self.kept)] = resize_mask(mask, self.size, self.size)
        if mask is not None and mask.any():
            self.maybe_good.discard(str(sample.label))
        self.kept.append(sample)
        self.labels.append(sample.label or (DEFECT if mask is not None and mask.any() else GOOD))
        self.hashes.append(hashlib.sha256(content).hexdigest())

    def _mask(self, sample: Sample, height: int, width: int) -> np.ndarray | None:
        """The mask uint8 (H, W) where it is needed: asked for, or to tell good from defect, or the good class."""
        if self.masks is None and sample.label is not None and sample.label not in self.maybe_good:
            return None
        return mask_of(sample.regions or (), height, width, self.listing.region_classes)

    def _add_pixels(self, decoded: np.ndarray) -> None:
        if is_grey(decoded):
            decoded = decoded[..., :1]
        elif self.pixels.shape[1] == 1:
            self.pixels = np.repeat(self.pixels, 3, axis=1)
        resized = to_channels(resize(decoded, self.size, self.size), self.pixels.shape[1])
        self.pixels[len(self.kept)] = resized.transpose(2, 0, 1)

    def images(self, group: str, max_unreadable_share: float) -> Images:
        self._check_readable(max_unreadable_share)
        listing, count = self.listing, len(self.kept)
        classes = listing.classes or tuple(name for name in (GOOD, DEFECT) if name in self.labels)
        self._check_classes(classes)
        good = listing.good if listing.classes else GOOD
        if listing.classes and good is None and len(self.maybe_good) == 1:
            (good,) = self.maybe_good
            self._forget_region(good)
        names = tuple(relative_name(sample.path, listing.root) for sample in self.kept)
        splits = tuple(sample.split for sample in self.kept if sample.split is not None)
        return Images(
            self.pixels[:count],
            labels=np.array([classes.index(label) for label in self.labels], dtype=np.int64),
            names=names,
            hashes=tuple(self.hashes),
            classes=classes,
            groups=_make_groups(group, self.pixels[:count], self.hashes, names),
            good=classes.index(good) if good in classes else None,
            splits=splits or None,
            name=listing.name,
            group=group,
            test_share=listing.test_share,
            skipped=(*self.unreadable, *self.unlabelled),
            masks=None if self.masks is None else self.masks[:count],
            regions=() if self.masks is None else self.listing.region_classes,
        )

    def _forget_region(self, label: str) -> None:
        """Leave the good class, which nothing is drawn in, out of the classes of defects."""
        regions = self.listing.region_classes
        if label in regions:
            if self.masks is not None:
                self.masks[self.masks > regions.index(label)] -= 1
            self.listing = replace(self.listing, region_classes=tuple(name for name in regions if name != label))

    def _check_readable(self, max_unreadable_share: float) -> None:
        total = len(self.kept) + len(self.unreadable)
        if len(self.unreadable) > max_unreadable_share * total:
            name, reason = self.unreadable[0]
            raise DataError(
                f"{len(self.unreadable)} of {total} images in {self.listing.root} cannot be used",
                got=f"{name} ({reason})" + (" and others" if len(self.unreadable) > 1 else ""),
                fix=f"repair or remove them; up to {max_unreadable_share:.0%} are skipped",
            )

    def _check_classes(self, classes: tuple[str, ...]) -> None:
        missing = set(classes) - set(self.labels)
        if missing and self.masks is None:
            raise DataError(
                "a class has no readable image",
                got=", ".join(sorted(missing)),
                fix="repair its images or leave it out with --labels",
            )
        if len(classes) < 2 and self.masks is None:
            raise too_few_classes(classes)


def _unmarked_classes(listing: Listing) -> set[str]:
    """Where no class is known as the good one: those that may be, all of whose images have masks, or no defect."""
    if listing.good is not None:
        return set()
    ruled_out = {sample.label for sample in listing.samples if not _may_be_unmarked(sample)}
    return set(listing.classes) - ruled_out


def _may_be_unmarked(sample: Sample) -> bool:
    regions = sample.regions
    return regions is not None and all(isinstance(region.shape, MaskFile | MatMask) for region in regions)


def _reason(error: DataError | OSError) -> str:
    """What is wrong with one file, without its name; a mask of another size is named in what was wrong."""
    if isinstance(error, SizeMismatchError):
        return f"{error.what}: {error.got}"
    return str(error.got) if isinstance(error, DataError) else str(error.strerror or error)


def _make_groups(group: str, pixels: np.ndarray, hashes: list[str], names: tuple[str, ...]) -> np.ndarray:
    if group == "auto":
        return duplicate_groups(pixels, hashes)
    if group == "none":
        return np.arange(len(names), dtype=np.int64)
    return groups_by_name(group, names, hashes)


def _load_synthetic(input: int, labels: str, good: str | None, group: str, progress: Progress | None) -> Images:
    from compressdefect.data.synthetic import plates

    images = plates(progress=progress)
    choice = choose_labels(images.classes, labels, good)
    index = [choice.classes.index(choice.mapping[name]) for name in images.classes]
    pixels = images.pixels
    if images.shape[1:] != (input, input):
        pixels = np.stack([resize(plate.transpose(1, 2, 0), input, input).transpose(2, 0, 1) for plate in pixels])
    groups = images.groups if group in ("auto", "none") else groups_by_name(group, images.names, list(images.hashes))
    return replace(
        images,
        pixels=pixels,
        labels=np.array(index, dtype=np.int64)[images.labels],
        classes=choice.classes,
        good=None if choice.good is None else choice.classes.index(choice.good),
        groups=groups,
        group=group,
    )
