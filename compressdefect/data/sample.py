"""What a dataset is made of before any pixel is read: samples, and the listing a reader makes of a folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

DEFAULT_TEST_SHARE = 0.3


@dataclass(frozen=True, slots=True)
class Sample:
    """One image file with its class, and its part (``train``, ``val`` or ``test``) in an official split."""

    path: Path
    label: str
    split: str | None = None


@dataclass(frozen=True, slots=True)
class Listing:
    """A dataset as a reader found it: its samples, its classes in the order of their indices, its good class.

    ``skipped`` holds what lies in the folder but cannot be a sample, as (name relative to root, reason).
    ``test_share`` is the layout's customary test part, used where there is no official split.
    """

    name: str
    root: Path
    samples: tuple[Sample, ...]
    classes: tuple[str, ...]
    good: str | None = None
    skipped: tuple[tuple[str, str], ...] = ()
    test_share: float = DEFAULT_TEST_SHARE


class Reader(Protocol):
    """One dataset layout. Its module is the reader: a name, a cheap guess from the folder, and the reading."""

    NAME: str
    LAYOUT: str

    def detect(self, root: Path) -> bool:
        """Whether the folder looks like this layout; opens no image."""

    def read(self, root: Path) -> Listing:
        """List every sample under ``root``; classes sorted by name, ``good`` left open."""
