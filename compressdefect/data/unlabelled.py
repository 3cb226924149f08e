"""Images that nobody labelled, to be learned from beside a dataset: a plain folder, read as the dataset's images are.

They are grouped together with the dataset, and what groups with images that judge a model is left out: learning what
another model says of a copy of a test image is learning from the test.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from compressdefect.data.depth import Decoder
from compressdefect.data.duplicates import Look
from compressdefect.data.formats.files import is_image, relative_name, walk
from compressdefect.data.formats.findings import reason
from compressdefect.data.groups import groups_by_look, groups_by_name
from compressdefect.data.images import SYNTHETIC, Images
from compressdefect.data.load import LoadOptions, look_of_pixels
from compressdefect.data.pile import Pile
from compressdefect.data.pixels import is_grey, resize
from compressdefect.data.sample import Progress
from compressdefect.data.tiles import Tiling
from compressdefect.errors import DataError


class Unlabelled(NamedTuple):
    """The images that join, how many group with images that judge, and what cannot be read, with the reason."""

    images: Images
    left_out: int
    skipped: tuple[tuple[str, str], ...]


def load_unlabelled(
    folder: str | Path, images: Images, judging: np.ndarray, data: str | Path, *, progress: Progress | None = None
) -> Unlabelled:
    """Load a folder of images, subfolders included, at the size, tiling, channels and depth of a dataset.

    The dataset's files are read again where images are grouped by their looks.

    Args:
        folder: the images.
        images: the dataset.
        judging: which of it are validation or test images.
        data: where its files are.
        progress: is told how many images are done.

    Raises:
        DataError: there is no such folder, or no image in it that can be learned from.
    """
    root = Path(folder)
    paths, refused = _listed(root)
    found = _Found(root, images, paths)
    for done, path in enumerate(paths, start=1):
        found.add(path)
        if progress is not None:
            progress(done, len(paths))
    if not found.names:
        name, why = found.skipped[0]
        raise DataError("no unlabelled image can be read", got=f"{name} ({why})", fix="repair the images")
    groups = _groups(images, found, data)
    joins = ~np.isin(groups[len(images) :], groups[: len(images)][judging])
    if not joins.any():
        raise DataError(
            "no unlabelled image is left to learn from",
            got=f"{len(joins)} that resemble validation or test images",
            fix="give others",
        )
    return Unlabelled(found.images().subset(np.flatnonzero(joins)), int((~joins).sum()), (*refused, *found.skipped))


def _listed(root: Path) -> tuple[list[Path], tuple[tuple[str, str], ...]]:
    if not root.is_dir():
        raise DataError("the folder of unlabelled images does not exist", got=root, fix="give a folder of images")
    try:
        folders = list(walk(root))
    except OSError as error:
        raise DataError("the folder of unlabelled images cannot be read", got=error) from error
    paths = [one.path / name for one in folders for name in one.files if is_image(name)]
    if not paths:
        raise DataError("the folder of unlabelled images has no image", got=root, fix="give a folder of images")
    return paths, tuple(item for one in folders for item in one.refused)


class _Found:
    """What was read so far."""

    def __init__(self, root: Path, like: Images, paths: Sequence[Path]) -> None:
        self.root, self.like = root, like
        side, tiled = like.shape[-1], like.tile is not None
        self.options = LoadOptions(input=side, tile=like.tile, masks=tiled, group=like.group)
        self.decoder = Decoder(paths, like.bits)
        self.pile = Pile(side, pictures=len(paths))
        self.names: list[str] = []
        self.hashes: list[str] = []
        self.sizes: list[tuple[int, int]] = []
        self.looks: list[Look] = []
        self.skipped: list[tuple[str, str]] = []

    def add(self, path: Path) -> None:
        name = relative_name(path, self.root)
        try:
            content = path.read_bytes()
            decoded = self.decoder.decode(content, name)
        except (DataError, OSError) as error:
            self.skipped.append((name, reason(error)))
            return
        if self.options.group == "auto":
            self.looks.append(look_of_pixels(decoded[..., :1] if is_grey(decoded) else decoded))
        height, width = self.options.shown(*decoded.shape[:2])
        resized = resize(_in_channels(decoded, self.like.shape[0]), height, width)
        self.pile.add(Tiling.of(height, width, self.options.input).cut(resized.transpose(2, 0, 1)))
        self.sizes.append((height, width))
        self.names.append(name)
        self.hashes.append(hashlib.sha256(content).hexdigest())

    def images(self) -> Images:
        """All of them, as a dataset of one class that nobody reads."""
        count = len(self.names)
        return replace(
            self.like,
            pixels=self.pile.rows,
            labels=np.zeros(count, dtype=np.int64),
            names=tuple(self.names),
            hashes=tuple(self.hashes),
            groups=np.arange(count),
            splits=None,
            name=self.root.name,
            skipped=tuple(self.skipped),
            masks=None,
            mark_hashes=None,
            boxes=None,
            sizes=None if self.like.tile is None else np.array(self.sizes, dtype=np.int64),
        )


def _in_channels(pixels: np.ndarray, channels: int) -> np.ndarray:
    """Pixels (H, W, c) with as many channels as the dataset has: grey or RGB."""
    if channels == 1:
        grey = pixels[..., :1] if is_grey(pixels) else np.asarray(Image.fromarray(pixels).convert("L"))[..., None]
        return np.ascontiguousarray(grey)
    return np.repeat(pixels, channels, axis=2) if pixels.shape[2] == 1 else pixels


def _groups(images: Images, found: _Found, data: str | Path) -> np.ndarray:
    """The groups (N + M,) of the dataset's images and of the further ones, made together."""
    names, hashes = (*images.names, *found.names), (*images.hashes, *found.hashes)
    if images.group == "auto":
        return groups_by_look([*_looks(images, data), *found.looks], hashes).numbers
    if images.group != "none":
        return groups_by_name(images.group, names, hashes).numbers
    return np.unique(hashes, return_inverse=True)[1]


def _looks(images: Images, data: str | Path) -> list[Look]:
    if str(data) == SYNTHETIC:
        return [look_of_pixels(one.transpose(1, 2, 0)) for one in images.pixels]
    paths = [Path(data) / name for name in images.names]
    decoder = Decoder(paths, images.bits)
    try:
        decoded = (decoder.decode(path.read_bytes(), path.name) for path in paths)
        return [look_of_pixels(one[..., :1] if is_grey(one) else one) for one in decoded]
    except OSError as error:
        raise DataError("the images are no longer there", got=error, fix="give --data") from error
