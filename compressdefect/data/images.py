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

from compressdefect.data.duplicates import duplicate_groups, groups_by_name
from compressdefect.data.files import relative_name
from compressdefect.data.labels import choose_labels
from compressdefect.data.pixels import decode, is_grey, resize, to_channels
from compressdefect.data.read import read
from compressdefect.data.sample import DEFAULT_TEST_SHARE, Listing, Sample
from compressdefect.errors import DataError

SYNTHETIC = "synthetic"
MAX_UNREADABLE_SHARE = 0.05

Progress = Callable[[int, int], None]  # (images done, images in all)


@dataclass(frozen=True, eq=False)
class Images:
    """Images of one size with their classes.

    ``pixels`` uint8 (N, C, H, W), C = 1 if no image has colour, else 3; ``labels`` int64 (N,) index ``classes``;
    ``names`` relative to the dataset; ``hashes`` SHA-256 of each file; ``groups`` int64 (N,), equal for images that
    must stay in one part of a split, made as ``group`` says; ``splits`` the official part of each image, if any.
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
        )

    def save(self, folder: Path) -> None:
        """Write the images for other processes of this run to map into memory with ``load``."""
        folder.mkdir(parents=True, exist_ok=True)
        for key in _ARRAYS:
            np.save(folder / f"{key}.npy", getattr(self, key))
        rest = {key: value for key, value in vars(self).items() if key in _FIELDS}
        (folder / "images.json").write_text(json.dumps(rest), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Images:
        """Open what ``save`` wrote; the pixels stay on disk and are shared between processes."""
        rest: dict[str, Any] = json.loads((folder / "images.json").read_text(encoding="utf-8"))
        for key in ("names", "hashes", "classes", "splits"):
            rest[key] = None if rest[key] is None else tuple(rest[key])
        rest["skipped"] = tuple((name, reason) for name, reason in rest["skipped"])
        pixels = np.load(folder / "pixels.npy", mmap_mode="r")
        return cls(pixels, labels=np.load(folder / "labels.npy"), groups=np.load(folder / "groups.npy"), **rest)


_ARRAYS = ("pixels", "labels", "groups")
_FIELDS = frozenset(Images.__dataclass_fields__) - frozenset(_ARRAYS)


def load_images(
    data: str | Path,
    *,
    input: int = 224,
    format: str | None = None,
    labels: str = "all",
    good: str | None = None,
    group: str = "auto",
    progress: Progress | None = None,
    max_unreadable_share: float = MAX_UNREADABLE_SHARE,
) -> Images:
    """Load ``synthetic`` or a folder in any known layout, each image resized to ``input`` × ``input``.

    ``group`` is ``auto`` (duplicates and near duplicates stay together), ``none``, or a regular expression whose
    first match in the file name (its first parenthesis, if any) names the group.

    Raises:
        DataError: The folder, its layout or the classes asked for are wrong, or too many images cannot be read.
    """
    if str(data) == SYNTHETIC:
        return _load_synthetic(input, labels, good, group, progress)
    listing = read(data, format, labels, good)
    loaded = _Loader(listing, input)
    for done, sample in enumerate(listing.samples, start=1):
        loaded.add(sample)
        if progress is not None:
            progress(done, len(listing.samples))
    return loaded.images(group, max_unreadable_share)


class _Loader:
    """Fills one array image by image; it grows from grey to RGB at the first image with colour."""

    def __init__(self, listing: Listing, size: int) -> None:
        self.listing = listing
        self.size = size
        self.pixels = np.empty((len(listing.samples), 1, size, size), dtype=np.uint8)
        self.kept: list[Sample] = []
        self.hashes: list[str] = []
        self.skipped = list(listing.skipped)

    def add(self, sample: Sample) -> None:
        try:
            content = sample.path.read_bytes()
            decoded = decode(content)
        except (DataError, OSError) as error:
            reason = str(error.got) if isinstance(error, DataError) else str(error)
            self.skipped.append((relative_name(sample.path, self.listing.root), reason))
            return
        if is_grey(decoded):
            decoded = decoded[..., :1]
        elif self.pixels.shape[1] == 1:
            self.pixels = np.repeat(self.pixels, 3, axis=1)
        resized = to_channels(resize(decoded, self.size, self.size), self.pixels.shape[1])
        self.pixels[len(self.kept)] = resized.transpose(2, 0, 1)
        self.kept.append(sample)
        self.hashes.append(hashlib.sha256(content).hexdigest())

    def images(self, group: str, max_unreadable_share: float) -> Images:
        self._check(max_unreadable_share)
        listing, pixels = self.listing, self.pixels[: len(self.kept)]
        index = {name: i for i, name in enumerate(listing.classes)}
        names = tuple(relative_name(sample.path, listing.root) for sample in self.kept)
        splits = tuple(sample.split for sample in self.kept if sample.split is not None)
        return Images(
            pixels,
            labels=np.array([index[sample.label] for sample in self.kept], dtype=np.int64),
            names=names,
            hashes=tuple(self.hashes),
            classes=listing.classes,
            groups=_make_groups(group, pixels, self.hashes, names),
            good=None if listing.good is None else index[listing.good],
            splits=splits or None,
            name=listing.name,
            group=group,
            test_share=listing.test_share,
            skipped=tuple(self.skipped),
        )

    def _check(self, max_unreadable_share: float) -> None:
        total = len(self.kept) + len(self.skipped)
        if len(self.skipped) > max_unreadable_share * total:
            name, reason = self.skipped[0]
            raise DataError(
                f"{len(self.skipped)} of {total} images in {self.listing.root} cannot be used",
                got=f"{name} ({reason})" + (" and others" if len(self.skipped) > 1 else ""),
                fix=f"repair or remove them; up to {max_unreadable_share:.0%} are skipped",
            )
        missing = set(self.listing.classes) - {sample.label for sample in self.kept}
        if missing:
            raise DataError(
                "a class has no readable image",
                got=", ".join(sorted(missing)),
                fix="repair its images or leave it out with --labels",
            )


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
