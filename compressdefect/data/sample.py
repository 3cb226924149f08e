"""What a dataset is made of before any pixel is read: samples, and the listing a reader makes of a folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

from compressdefect.data.marks.shapes import Shape

DEFAULT_TEST_SHARE = 0.3

Progress = Callable[[int, int], None]  # (images done, images in all)


@dataclass(frozen=True, slots=True)
class Region:
    """One annotated defect: its class and where it is."""

    label: str
    shape: Shape


class Stated(NamedTuple):
    """What an annotation file says of its image, in pixels; None where it says nothing."""

    height: int | None = None
    width: int | None = None
    channels: int | None = None


@dataclass(frozen=True, slots=True)
class Sample:
    """One image file and what is known of it.

    ``label`` is the image's one class, None where the layout has no class per image. ``split`` is its part (``train``,
    ``val`` or ``test``) in an official split. ``regions`` are its defects: None if nobody looked for any, empty if
    there are none. An image with neither label nor regions is unlabelled. ``stated`` is what its annotation file
    claims of its size.
    """

    path: Path
    label: str | None
    split: str | None = None
    regions: tuple[Region, ...] | None = None
    stated: Stated | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong with the data: ``files`` relative to its folder, what it is, and what to do about it."""

    kind: str
    files: tuple[str, ...]
    message: str
    advice: str = ""


@dataclass(frozen=True, slots=True)
class Listing:
    """A dataset as a reader found it: its samples, its classes in the order of their indices, its good class.

    ``classes`` are the images' own and empty where they have none; ``region_classes`` are those of the defects in
    them. ``skipped`` holds what lies in the folder but cannot be a sample, as (name relative to root, reason), and
    ``findings`` what a reader saw without opening an image. ``test_share`` is the layout's customary test part, used
    where there is no official split. ``ignored_tables`` are the CSV files in the root that the layout does not read.
    ``remarks`` say in a line each how the data was understood, where it could be understood otherwise.
    ``unlabelled`` names images that have no label because no image of their part of a split has one: nobody may have
    labelled them, or they may all be good.
    """

    name: str
    root: Path
    samples: tuple[Sample, ...]
    classes: tuple[str, ...]
    good: str | None = None
    skipped: tuple[tuple[str, str], ...] = ()
    test_share: float = DEFAULT_TEST_SHARE
    region_classes: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    format: str = ""
    ignored_tables: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    unlabelled: tuple[str, ...] = ()


class Reader(Protocol):
    """One dataset layout. Its module is the reader: a name, a cheap guess from the folder, and the reading.

    A reader opens no image. One bad file or annotation becomes a finding and the rest is read.
    """

    NAME: str
    LAYOUT: str

    def detect(self, root: Path) -> bool:
        """Whether the folder looks like this layout; opens no image."""

    def read(self, root: Path) -> Listing:
        """List every sample under ``root``; classes sorted by name, ``good`` left open."""
