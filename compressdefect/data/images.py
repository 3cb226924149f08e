"""A whole dataset in memory as uint8 pixels, ready for training."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from compressdefect.data.sample import DEFAULT_TEST_SHARE

SYNTHETIC = "synthetic"


@dataclass(frozen=True, eq=False)
class Images:
    """Images of one size with their classes.

    ``pixels`` uint8 (N, C, H, W), C = 1 if no image has colour, else 3; ``labels`` int64 (N,) index ``classes``;
    ``names`` relative to the dataset; ``hashes`` SHA-256 of each file; ``groups`` int64 (N,), equal for images that
    must stay in one part of a split, made as ``group`` says; ``splits`` the official part of each image, if any;
    ``masks`` uint8 (N, H, W), 0 where nothing is wrong, else 1 + an index into ``regions``, if they were loaded;
    ``mask_hashes`` SHA-256 of each as it was annotated, before it was resized.
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
    mask_hashes: tuple[str, ...] | None = None
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
        """16 hex digits of the files, their classes and the masks loaded, whatever their order and size in memory."""
        rows = [f"{digest} {self.classes[label]}" for digest, label in zip(self.hashes, self.labels, strict=True)]
        if self.mask_hashes is not None:
            rows = [f"{row} {digest}" for row, digest in zip(rows, self.mask_hashes, strict=True)]
        return hashlib.sha256("\n".join([*sorted(rows), *self.regions]).encode()).hexdigest()[:16]

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
            mask_hashes=None if self.mask_hashes is None else tuple(self.mask_hashes[i] for i in chosen),
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
        for key in ("names", "hashes", "classes", "splits", "mask_hashes", "regions"):
            rest[key] = None if rest[key] is None else tuple(rest[key])
        rest["skipped"] = tuple((name, reason) for name, reason in rest["skipped"])
        for key in _ARRAYS:
            path = folder / f"{key}.npy"
            rest[key] = np.load(path, mmap_mode="r" if key in _MAPPED else None) if path.is_file() else None
        return cls(**rest)


_ARRAYS = ("pixels", "labels", "groups", "masks")
_MAPPED = frozenset({"pixels", "masks"})
_FIELDS = frozenset(Images.__dataclass_fields__) - frozenset(_ARRAYS)
