"""What makes a dataset suspicious, told from the facts that opening its images gave."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np

from compressdefect.data.audit.capture import capture_findings
from compressdefect.data.audit.scan import Scan
from compressdefect.data.duplicates import find_twins
from compressdefect.data.formats.files import suffix
from compressdefect.data.labels import GOOD, default_good
from compressdefect.data.sample import Finding, Listing
from compressdefect.errors import DataError

SMALL_CLASS = 10  # images; below, a test part holds two or three of them
MANY_ALIKE = 50  # images; so large a group is rather one fixed view than one part

ADVICE = {
    "unreadable": "replace or remove the file",
    "refused-path": "name files inside the data folder, without .. or a leading /",
    "missing-image": "add the file, or remove its annotation",
    "unlabelled": "annotate it, or remove it; it is left out of training",
    "label-conflict": "decide which is right and remove the others",
    "split-leak": "move them into one part; a split by --group auto keeps them together",
    "class-mismatch": "correct the class of the image or of what is marked in it",
    "empty-mask": "draw the defect, or move the image to the good class",
    "unexpected-mask": "empty the mask, or move the image to the class of its defect",
    "size-mismatch": "export the mask again at the image's size",
    "box-out-of-bounds": "clip or correct the box",
    "metadata-mismatch": "correct the annotation; the image file is believed",
    "bit-depth": "confirm it with --bits, or say there how many the camera has",
    "capture-class": "capture and store all classes alike: a network can tell these apart without seeing a defect",
    "duplicate": "keep one; --group auto keeps copies in one part of a split",
    "near-duplicate": "keep them in one part of a split, as --group auto does",
    "small-class": "add images, merge it with another class, or leave it out with --labels",
}
"""What to do about each kind of finding, in the order in which they are listed."""


@dataclass(eq=False)
class Facts:
    """The facts of N images in compact arrays; rows of unreadable images stay unset.

    ``sizes`` (N, 2) height and width, ``channels`` (N,), ``hashes`` uint64 (N,), ``thumbnails`` uint8 (N, T, T).
    """

    sizes: np.ndarray
    channels: np.ndarray
    hashes: np.ndarray
    thumbnails: np.ndarray
    pixels: list[bytes | None]
    content: list[bytes | None]
    defects: list[frozenset[str] | None]
    _interned: dict[frozenset[str], frozenset[str]] = field(default_factory=dict)

    @classmethod
    def of(cls, count: int, thumbnail: int) -> Facts:
        """Room for ``count`` images."""
        return cls(
            sizes=np.zeros((count, 2), dtype=np.int64),
            channels=np.zeros(count, dtype=np.int64),
            hashes=np.zeros(count, dtype=np.uint64),
            thumbnails=np.empty((count, thumbnail, thumbnail), dtype=np.uint8),
            pixels=[None] * count,
            content=[None] * count,
            defects=[None] * count,
        )

    def add(self, row: int, scan: Scan) -> None:
        """Keep the facts of one image."""
        self.sizes[row], self.channels[row] = scan.size, scan.channels
        self.hashes[row], self.thumbnails[row] = scan.look
        self.pixels[row], self.content[row] = scan.pixels, scan.content
        self.defects[row] = None if scan.defects is None else self._interned.setdefault(scan.defects, scan.defects)

    def readable(self) -> np.ndarray:
        """Rows (M,) of the images that could be read."""
        return np.flatnonzero(self.channels)


class Likes(NamedTuple):
    """Groups of two or more rows that look alike, and of how many other images each readable image is a twin."""

    groups: list[list[int]]
    partners: np.ndarray


class Rules:
    """The rules over one listing and its facts; each yields findings whose advice is filled in at the end."""

    def __init__(self, listing: Listing, names: Sequence[str], facts: Facts, good: str | None = None) -> None:
        self.listing, self.names, self.facts = listing, names, facts
        self.good = good or listing.good or self._good_by_name() or self._good_by_masks()

    @cached_property
    def classes(self) -> list[frozenset[str]]:
        """The classes of each image: its own, else those of its defects, else ``good``; none where nothing is known."""
        found = []
        for sample, defects in zip(self.listing.samples, self.facts.defects, strict=True):
            if sample.label is not None:
                found.append(frozenset({sample.label}))
            else:
                found.append(frozenset() if defects is None else defects or frozenset({GOOD}))
        return found

    @property
    def parts(self) -> list[str]:
        """The official parts."""
        present = {sample.split for sample in self.listing.samples}
        return [part for part in ("train", "val", "test") if part in present]

    def counts(self, part: str | None = None) -> dict[str, int]:
        """Images by class, in one official part or in all; classes that are declared but absent count 0."""
        found = Counter(
            name
            for sample, classes in zip(self.listing.samples, self.classes, strict=True)
            if part is None or sample.split == part
            for name in classes
        )
        declared = self.listing.classes or self.listing.region_classes
        return {name: found[name] for name in sorted({*declared, *found})}

    def annotations(self) -> Iterator[Finding]:
        """Images whose class, mask and boxes contradict each other, or that have none."""
        located = any(sample.regions is not None for sample in self.listing.samples)
        told = {name for finding in self.listing.findings if finding.kind == "unlabelled" for name in finding.files}
        shared = set(self.listing.classes) & set(self.listing.region_classes) - {self.good}
        for name, sample, defects in zip(self.names, self.listing.samples, self.facts.defects, strict=True):
            label = sample.label
            if sample.regions is None and label is None and name not in told:
                yield Finding("unlabelled", (name,), "has neither a class nor a mask or box")
            elif sample.regions is None and label is not None and located and label != self.good:
                yield Finding("unlabelled", (name,), f"is {label}, and no mask or box says where")
            if defects is None or label is None:
                continue
            if label == self.good:
                if defects:
                    yield Finding("unexpected-mask", (name,), f"is {label}, but {_list(defects)} is marked in it")
            elif not defects:
                yield Finding("empty-mask", (name,), f"is {label}, but nothing is marked in it")
            elif shared and defects - {label}:
                besides = "also" if label in defects else "only"
                others = _list(defects - {label})
                yield Finding("class-mismatch", (name,), f"is {label}, but {besides} {others} is marked in it")

    def capture(self) -> Iterator[Finding]:
        """Classes that an image's channels, size or kind of file give away, of images that have one class."""
        rows = [row for row in self.facts.readable().tolist() if len(self.classes[row]) == 1]
        sizes, channels = self.facts.sizes[rows].tolist(), self.facts.channels[rows].tolist()
        facts = {
            "number of channels": [f"{count} channel{'s' * (count > 1)}" for count in channels],
            "size": [f"{width} × {height} pixels" for height, width in sizes],
            "file format": [_KINDS.get(end := suffix(self.names[row]), end) for row in rows],
        }
        yield from capture_findings([next(iter(self.classes[row])) for row in rows], facts, self.good)

    def copies(self) -> list[list[int]]:
        """Rows of images with equal pixels, two or more files each."""
        rows: dict[bytes, list[int]] = defaultdict(list)
        for row, digest in enumerate(self.facts.pixels):
            if digest is not None:
                rows[digest].append(row)
        return [group for group in rows.values() if len(group) > 1]

    def likes(self) -> Likes:
        """Groups of images that look alike, copies among them."""
        read = self.facts.readable()
        first: dict[bytes | None, int] = {}
        original = np.array([first.setdefault(self.facts.pixels[row], row) for row in read], dtype=np.int64)
        unique, index, copies = np.unique(original, return_inverse=True, return_counts=True)
        twins = find_twins(self.facts.hashes[unique], self.facts.thumbnails[unique], copies)
        groups: dict[int, list[int]] = defaultdict(list)
        for row, group in zip(read.tolist(), twins.group[index].tolist(), strict=True):
            groups[group].append(row)
        return Likes([group for group in groups.values() if len(group) > 1], twins.partners[index])

    def duplicates(self, copies: Iterable[list[int]]) -> Iterator[Finding]:
        """Files that show exactly the same, and those among them that are labelled differently."""
        for rows in copies:
            files = self._files(rows)
            if len(files) > 1:
                same = "are the same file" if len({self.facts.content[r] for r in rows}) == 1 else "have equal pixels"
                yield Finding("duplicate", files, f"{len(files)} images {same}")
            labels = {self.classes[row] for row in rows if self.classes[row]}
            if len(labels) > 1:
                text = " and ".join(sorted(_list(label) for label in labels))
                yield Finding("label-conflict", files, f"the same picture is labelled {text}")

    def near_duplicates(self, likes: Likes) -> Iterator[Finding]:
        """Images that look alike, and those among them that lie in several official parts."""
        for rows in likes.groups:
            files = self._files(rows)
            if len({self.facts.pixels[row] for row in rows}) > 1:
                advice = ADVICE["near-duplicate"]
                if len(files) > MANY_ALIKE:
                    advice += "; if they are different parts in one fixed view, group them by name: --group REGEX"
                yield Finding("near-duplicate", files, f"{len(files)} images look alike", advice)
            parts = sorted({part for row in rows if (part := self.listing.samples[row].split) is not None})
            if len(parts) > 1:
                yield Finding("split-leak", files, f"the same or nearly the same picture is in {' and '.join(parts)}")

    def small_classes(self) -> Iterator[Finding]:
        """Classes that are too small to train and test on."""
        counts = self.counts()
        present = [name for name, count in counts.items() if count]
        if len(present) == 1 and not any(self.facts.defects):
            text = f"{present[0]} is the only class, and nothing is marked: there is nothing to tell apart"
            yield Finding("small-class", (), text, "add images of another class, or annotate defects")
        for name, count in counts.items():
            if count < SMALL_CLASS:
                rows = [row for row, classes in enumerate(self.classes) if name in classes]
                text = f"the class {name} has {count or 'no'} image{'' if count == 1 else 's'}"
                yield Finding("small-class", self._files(rows), text)

    def _files(self, rows: Iterable[int]) -> tuple[str, ...]:
        return tuple(sorted({self.names[row] for row in rows}))

    def _good_by_name(self) -> str | None:
        try:
            return default_good(self.listing.classes)
        except DataError:  # several sound good
            return None

    def _good_by_masks(self) -> str | None:
        """The only class all of whose images are annotated and empty."""
        by_class: dict[str, bool] = {}
        for sample, defects in zip(self.listing.samples, self.facts.defects, strict=True):
            if sample.label is not None:
                by_class[sample.label] = by_class.get(sample.label, True) and defects == frozenset()
        empty = [name for name, is_empty in by_class.items() if is_empty]
        return empty[0] if len(empty) == 1 and len(by_class) > 1 else None


def sort_findings(found: Iterable[Finding]) -> tuple[Finding, ...]:
    """Findings by kind and file, each once, with advice.

    A remark on one file is one finding, also where a reader made the same on many; but one wrong statement about many
    images has one cause, and is one finding.
    """
    stated: dict[tuple[str, str], set[str]] = defaultdict(set)
    unique: dict[Finding, None] = {}
    for finding in found:
        if finding.kind in _OF_MANY:
            stated[finding.kind, finding.message] |= set(finding.files)
        elif finding.kind in _OF_SEVERAL:
            unique[finding] = None
        else:
            unique |= {replace(finding, files=(file,)): None for file in finding.files}
    merged = [Finding(kind, tuple(sorted(files)), message) for (kind, message), files in stated.items()]
    order = {kind: number for number, kind in enumerate(ADVICE)}
    ordered = sorted([*merged, *unique], key=lambda f: (order.get(f.kind, len(order)), f.files, f.message))
    return tuple(f if f.advice else replace(f, advice=ADVICE.get(f.kind, "look at it")) for f in ordered)


_OF_MANY = frozenset({"metadata-mismatch", "bit-depth"})
_KINDS = {".jfif": ".jpg", ".jpe": ".jpg", ".jpeg": ".jpg", ".tiff": ".tif"}
_OF_SEVERAL = frozenset({"capture-class", "duplicate", "near-duplicate", "split-leak", "label-conflict", "small-class"})


def _list(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or GOOD
