"""What every reader does: find the image an annotation speaks of, refuse what leaves the folder, make the listing."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path, PurePosixPath

from compressdefect.data.formats.files import (
    Folder,
    inner_name,
    is_image,
    relative_name,
    scan,
    suffix,
    unread_images,
    walk,
)
from compressdefect.data.formats.findings import Findings
from compressdefect.data.labels import sounds_good
from compressdefect.data.marks.shapes import NoAreaError
from compressdefect.data.sample import DEFAULT_TEST_SHARE, Listing, Region, Sample, Stated

SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "trainval": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}

_ORDER = ("test", "val", "train")  # an image in several parts belongs to the first


def split_named(name: str) -> str | None:
    """The part of a split that a folder or file is named after.

    >>> split_named("Train"), split_named("instances_val2017.json"), split_named("latest")
    ('train', 'val', None)
    """
    return next((SPLIT_NAMES[word] for word in re.findall("[a-z]+", name.lower()) if word in SPLIT_NAMES), None)


def split_of(path: PurePosixPath) -> str | None:
    """The part whose name one of the folders above a file has, exactly.

    >>> split_of(PurePosixPath("Train/images/0.png")), split_of(PurePosixPath("test_rig/0.png"))
    ('train', None)
    """
    return next((SPLIT_NAMES[part.lower()] for part in path.parts[:-1] if part.lower() in SPLIT_NAMES), None)


class Collector:
    """Gathers samples, findings and refusals while a reader goes through a folder."""

    def __init__(self, root: Path, format: str, *, depth: int = 0) -> None:
        """Note what must not be opened in ``root`` and down to ``depth`` levels below."""
        self.root = root
        self.format = format
        self.tables: set[str] = set()
        self.findings = Findings()
        self.samples: list[Sample] = []
        self.remarks: list[str] = []
        self._skipped: dict[tuple[str, str], None] = {}
        for folder in walk(root, depth=depth):
            self.refuse(folder)

    def refuse(self, folder: Folder) -> Folder:
        """Note the links and pipes of a folder that must not be opened; return the folder."""
        for name, reason in folder.refused:
            self.findings.add("refused-path", name, reason, "put the file itself into the data folder")
            if is_image(name):
                self.skip(name, reason)
        return folder

    def skip(self, name: str, reason: str) -> None:
        """Note an image that cannot be a sample."""
        self._skipped[name, reason] = None

    def unreadable(self, name: str, reason: str, advice: str = "repair it or export it again") -> None:
        """Note an annotation file that cannot be read, in whole or in part."""
        self.findings.add("unreadable", name, reason, advice)

    def fault(self, name: str, error: ValueError) -> None:
        """Note one annotation that is left out."""
        kind = "box-out-of-bounds" if isinstance(error, NoAreaError) else "unreadable"
        self.findings.add(kind, name, str(error), "correct or remove it")

    def missing(self, name: str, source: str) -> None:
        """Note that ``source`` labels an image that is not there."""
        self.findings.add("missing-image", name, f"labelled in {source}, but there is no such image", "add the image")

    def surplus_mask(self, path: Path) -> None:
        """Note a mask whose image has another one, which is used."""
        name = relative_name(path, self.root)
        self.findings.add("unexpected-mask", name, "another mask of its image is used", "keep one mask of each image")

    def refused(self, source: str, text: str) -> None:
        """Note a path in the annotation file ``source`` that may lead out of the data folder."""
        self.findings.add(
            "refused-path",
            source,
            f"absolute paths and paths with .. are refused: {_short(text)}",
            "write paths relative to the data folder",
        )

    def conflict(self, name: str, labels: Iterable[str]) -> None:
        """Note an image with more than one label and leave it out."""
        both = f"two labels: {', '.join(sorted(labels))}"
        self.findings.add("label-conflict", name, both, "decide on one")
        self.skip(name, both)

    def listing(self, test_share: float = DEFAULT_TEST_SHARE) -> Listing:
        """The dataset as gathered."""
        samples = in_parts(self.samples)
        regions = {region.label for sample in samples for region in sample.regions or ()}
        self._name_unread()
        return Listing(
            self.root.resolve().name,
            self.root,
            tuple(samples),
            tuple(sorted({sample.label for sample in samples if sample.label is not None})),
            skipped=tuple(self._skipped),
            test_share=test_share,
            region_classes=tuple(sorted(label for label in regions if not sounds_good(label))),
            findings=self.findings.all(),
            format=self.format,
            ignored_tables=tuple(sorted(_tables_in(self.root) - self.tables)),
            remarks=tuple(self.remarks),
        )

    def _name_unread(self) -> None:
        """Name the images of kinds that are not read, wherever they lie."""
        names = unread_images(self.root)
        for name in names:
            self.findings.add(
                "unreadable", name, f"{suffix(name)} files are not read", "export it as PNG, TIFF or JPEG"
            )
        if names:
            kinds = ", ".join(sorted({suffix(name) for name in names}))
            self.remarks.append(f"{len(names)} image{'s' * (len(names) > 1)} of kinds that are not read: {kinds}")


def _tables_in(root: Path) -> set[str]:
    return {name for name in scan(root, root).files if name.lower().endswith((".csv", ".tsv"))}


class Annotated:
    """The images of a dataset whose annotations name their images: every image file below ``root``, by name."""

    def __init__(self, collector: Collector, folders: Iterable[Folder] | None = None) -> None:
        self.collector = collector
        self.labels: dict[str, set[str]] = {}
        self.regions: dict[str, list[Region]] = {}
        self.lost: set[str] = set()
        self.splits: dict[str, str] = {}
        self.stated: dict[str, Stated] = {}
        self.names: dict[str, None] = {}
        self._homes: dict[str, list[str]] = {}
        for folder in walk(collector.root) if folders is None else folders:
            collector.refuse(folder)
            prefix = _prefix(folder.path, collector.root)
            for name in folder.images:
                self.names[prefix + name] = None
                self._homes.setdefault(name, []).append(prefix)

    def find(self, text: str, source: str, bases: Iterable[str] = ()) -> str | None:
        """The image that the annotation file ``source`` calls ``text``, looked for in ``bases``, then everywhere.

        Of several that fit, the one in a folder of the same part of a split as ``source``. None, with a finding, if
        the path is refused or no image fits.
        """
        inner = inner_name(text)
        if inner is None:
            self.collector.refused(source, text)
            return None
        for base in bases:
            candidate = str(PurePosixPath(base) / inner)
            if candidate in self.names:
                return candidate
        name = inner.rpartition("/")[2]
        fits = [home + name for home in self._homes.get(name, ()) if f"/{home}{name}".endswith(f"/{inner}")]
        if len(fits) > 1:
            fits = [fit for fit in fits if split_named(fit.rpartition("/")[0]) == split_named(source)]
        if len(fits) == 1:
            return fits[0]
        self.collector.missing(inner, source)
        return None

    def annotate(self, name: str, regions: Iterable[Region] = ()) -> None:
        """Add regions to an image; with none it is annotated as empty unless it has some."""
        self.regions.setdefault(name, []).extend(regions)

    def lose(self, name: str) -> None:
        """Note that an annotation of an image cannot be read: not all is known of it, so it is not annotated."""
        self.lost.add(name)

    def place(self, name: str, split: str) -> None:
        """Put an image into a part of the official split; one in several parts is a finding."""
        before = self.splits.setdefault(name, split)
        if before != split:
            self.collector.findings.add(
                "split-leak", name, f"listed in both {before} and {split}", "leave it in one part only"
            )
            self.splits[name] = min(before, split, key=_ORDER.index)

    def listing(self, test_share: float = DEFAULT_TEST_SHARE) -> Listing:
        """Every image with what was found about it; two labels are a finding, and the image is left out."""
        for name in self.names:
            labels = sorted(self.labels.get(name, ()))
            if len(labels) > 1:
                self.collector.conflict(name, labels)
                continue
            regions = None if name in self.lost else self.regions.get(name)
            self.collector.samples.append(
                Sample(
                    self.collector.root / name,
                    labels[0] if labels else None,
                    self.splits.get(name),
                    None if regions is None else tuple(regions),
                    self.stated.get(name),
                )
            )
        return self.collector.listing(test_share)


def in_parts(samples: Iterable[Sample]) -> list[Sample]:
    """The samples with their parts; a split of one part is none, and outside its parts an image is for training."""
    listed = list(samples)
    has_split = len({sample.split or "train" for sample in listed}) > 1
    return [_with_split(sample, (sample.split or "train") if has_split else None) for sample in listed]


def _with_split(sample: Sample, split: str | None) -> Sample:
    return sample if split == sample.split else replace(sample, split=split)


def _prefix(path: Path, root: Path) -> str:
    name = relative_name(path, root)
    return "" if name == "." else f"{name}/"


def _short(text: str) -> str:
    printable = "".join(c if c.isprintable() else "�" for c in text)
    return printable if len(printable) <= 80 else f"{printable[:77]}…"
