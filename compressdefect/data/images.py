"""A whole dataset in memory as uint8 pixels, whole images or their tiles, ready for training."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from compressdefect.data.sample import DEFAULT_TEST_SHARE
from compressdefect.data.tiles import Tiling

SYNTHETIC = "synthetic"


@dataclass(frozen=True, eq=False)
class Images:
    """Images of one size with their classes.

    ``pixels`` uint8 (N, C, H, W), C = 1 if no image has colour, else 3; ``labels`` int64 (N,) index ``classes``;
    ``names`` relative to the dataset; ``hashes`` SHA-256 of each file; ``groups`` int64 (N,), equal for images that
    must stay in one part of a split, made as ``group`` says; ``splits`` the official part of each image, if any;
    ``masks`` uint8 (N, H, W), 0 where nothing is wrong, else 1 + an index into ``regions``, if they were loaded;
    ``mark_hashes`` SHA-256 of each image's masks, or boxes, as annotated; ``boxes`` per image float32 (k, 5), if
    they were loaded: x0, y0, x1, y1 in pixels as resized, and an index into ``regions``; ``remarks`` how the data was
    understood.

    Large images may be cut into tiles. An image stays what is labelled, split and judged, but ``pixels`` and ``masks``
    then hold the tiles, (T, …) with T ≥ N, those of the first image first: ``rows`` says where. ``tile`` is their side
    in pixels of the original, and ``sizes`` int64 (N, 2) are the images' heights and widths after they were resized so
    that this side became H.
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
    mark_hashes: tuple[str, ...] | None = None
    boxes: tuple[np.ndarray, ...] | None = None
    regions: tuple[str, ...] = ()
    tile: int | None = None
    sizes: np.ndarray | None = None
    remarks: tuple[str, ...] = ()
    bits: int | None = None

    def __len__(self) -> int:
        return len(self.names)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape (C, H, W) of what a network is shown: an image, or a tile."""
        channels, height, width = self.pixels.shape[1:]
        return channels, height, width

    @cached_property
    def fingerprint(self) -> str:
        """16 hex digits of the files, their classes and the masks loaded, whatever their order and size in memory."""
        rows = [f"{digest} {self.classes[label]}" for digest, label in zip(self.hashes, self.labels, strict=True)]
        if self.mark_hashes is not None:
            rows = [f"{row} {digest}" for row, digest in zip(rows, self.mark_hashes, strict=True)]
        return hashlib.sha256("\n".join([*sorted(rows), *self.regions]).encode()).hexdigest()[:16]

    def tiling(self, index: int) -> Tiling:
        """How an image was cut; only tiled images have one."""
        assert self.sizes is not None
        height, width = self.sizes[index].tolist()
        return Tiling.of(height, width, self.shape[1])

    @cached_property
    def _starts(self) -> np.ndarray:
        """The first row of each image, and one after the last."""
        return np.cumsum([0, *(len(self.tiling(i)) for i in range(len(self)))])

    def rows(self, indices: np.ndarray) -> np.ndarray:
        """Where images lie in ``pixels`` and ``masks`` (T,): one row each, or all their tiles'."""
        chosen = np.asarray(indices, dtype=np.int64)
        if self.sizes is None:
            return chosen
        spans = [np.arange(self._starts[i], self._starts[i + 1]) for i in chosen]
        return np.concatenate([chosen[:0], *spans])

    @property
    def pieces(self) -> Images:
        """Every tile as an image of its own, to train on; images that are not tiled as they are."""
        if self.sizes is None:
            return self
        of = np.repeat(np.arange(len(self)), np.diff(self._starts))
        return replace(self._described(of), sizes=None, tile=None)

    def join(self, index: int, tiles: np.ndarray, how: Literal["blend", "max"] = "blend") -> np.ndarray:
        """One map (…, h, w) of an image from one of each of its tiles (T, …, H, W); an untiled one has itself."""
        return tiles[0] if self.sizes is None else self.tiling(index).join(tiles, how)

    def picture(self, index: int) -> np.ndarray:
        """The pixels uint8 (C, h, w) of an image, as large as it is where it is tiled."""
        return self.join(index, self.pixels[self.rows(np.array([index]))])

    def mask(self, index: int) -> np.ndarray:
        """The mask uint8 (h, w) of an image, as large as ``picture``."""
        assert self.masks is not None
        return self.join(index, self.masks[self.rows(np.array([index]))], "max")

    @property
    def marked(self) -> np.ndarray:
        """Which images have a defect marked, bool (N,)."""
        assert self.masks is not None
        rows = np.asarray(self.masks.any(axis=(1, 2)))
        return rows if self.sizes is None else np.logical_or.reduceat(rows, self._starts[:-1])

    def subset(self, indices: np.ndarray) -> Images:
        """The images at ``indices``, in that order, with the same classes."""
        rows = self.rows(indices)
        masks = None if self.masks is None else self.masks[rows]
        return replace(self._described(np.asarray(indices, dtype=np.int64)), pixels=self.pixels[rows], masks=masks)

    def _described(self, chosen: np.ndarray) -> Images:
        """What is known of the images ``chosen``, with the pixels and masks of all."""
        return replace(
            self,
            labels=self.labels[chosen],
            groups=self.groups[chosen],
            names=tuple(self.names[i] for i in chosen),
            hashes=tuple(self.hashes[i] for i in chosen),
            splits=None if self.splits is None else tuple(self.splits[i] for i in chosen),
            sizes=None if self.sizes is None else self.sizes[chosen],
            mark_hashes=None if self.mark_hashes is None else tuple(self.mark_hashes[i] for i in chosen),
            boxes=None if self.boxes is None else tuple(self.boxes[i] for i in chosen),
        )

    def save(self, folder: Path) -> None:
        """Write the images for other processes of this run to map into memory with ``load``."""
        folder.mkdir(parents=True, exist_ok=True)
        for key in _ARRAYS:
            if getattr(self, key) is not None:
                np.save(folder / f"{key}.npy", getattr(self, key))
        if self.boxes is not None:  # as one array, the number of its image before each box
            rows = [np.insert(boxes, 0, number, axis=1) for number, boxes in enumerate(self.boxes)]
            np.save(folder / "boxes.npy", np.concatenate(rows))
        rest = {key: value for key, value in vars(self).items() if key in _FIELDS}
        (folder / "images.json").write_text(json.dumps(rest), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Images:
        """Open what ``save`` wrote; the pixels stay on disk and are shared between processes."""
        rest: dict[str, Any] = json.loads((folder / "images.json").read_text(encoding="utf-8"))
        for key in ("names", "hashes", "classes", "splits", "mark_hashes", "regions", "remarks"):
            rest[key] = None if rest[key] is None else tuple(rest[key])
        rest["skipped"] = tuple((name, reason) for name, reason in rest["skipped"])
        for key in _ARRAYS:
            path = folder / f"{key}.npy"
            rest[key] = np.load(path, mmap_mode="r" if key in _MAPPED else None) if path.is_file() else None
        if (folder / "boxes.npy").is_file():
            rows = np.load(folder / "boxes.npy")
            rest["boxes"] = tuple(rows[rows[:, 0] == number, 1:] for number in range(len(rest["names"])))
        return cls(**rest)


_ARRAYS = ("pixels", "labels", "groups", "masks", "sizes")
_MAPPED = frozenset({"pixels", "masks"})
_FIELDS = frozenset(Images.__dataclass_fields__) - {*_ARRAYS, "boxes"}
