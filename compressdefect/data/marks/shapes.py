"""Where a defect is, as its annotation says it, before any pixel array is made.

A shape is small and picklable; ``rasterize(height, width)`` turns it into the pixels of an image of that size. The
corner of an image is (0, 0), x to the right and y down; pixel i of a row covers x from i to i + 1. Coordinates are
pixels of the upright original, or with ``relative`` shares of its width and height, as YOLO writes them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from compressdefect.data.marks.levels import marked
from compressdefect.data.marks.matfile import read_segmentation
from compressdefect.data.pixels import decode_mask
from compressdefect.errors import DataError

Mask: TypeAlias = NDArray[np.bool_]  # (H, W)
Point: TypeAlias = tuple[float, float]

CRACK = 2  # the segment of the crack in CrackForest's files


class NoAreaError(ValueError):
    """A box covers nothing."""


class SizeMismatchError(DataError):
    """A mask was made for an image of another size."""


@dataclass(frozen=True, slots=True)
class MaskFile:
    """A picture of the defect; ``mask_levels.marking`` tells which of its pixels."""

    path: Path

    def rasterize(self, height: int, width: int) -> Mask:
        """The defect's pixels, bool (H, W).

        Raises:
            DataError: The file cannot be read.
            SizeMismatchError: It is a mask of another size.
        """
        return marked(self.levels(height, width))

    def levels(self, height: int, width: int) -> NDArray[np.uint8]:
        """What the file stores, uint8 (H, W).

        Raises:
            DataError: The file cannot be read.
            SizeMismatchError: It is a mask of another size.
        """
        levels = decode_mask(self.path)
        _check_size(self.path, levels, height, width)
        return levels


@dataclass(frozen=True, slots=True, eq=False)
class Drawn:
    """The defect's pixels, bool (H, W), in memory."""

    pixels: Mask

    def rasterize(self, height: int, width: int) -> Mask:
        """The pixels as they are; they are those of an image of this size."""
        assert self.pixels.shape == (height, width)
        return self.pixels


@dataclass(frozen=True, slots=True)
class MatMask:
    """CrackForest's MATLAB file of numbered segments: 1 is the road, 2 the crack, higher ones are road it encloses."""

    path: Path

    def rasterize(self, height: int, width: int) -> Mask:
        """The defect's pixels, bool (H, W).

        Raises:
            DataError: The file cannot be read.
            SizeMismatchError: It is a mask of another size.
        """
        try:
            segments = read_segmentation(self.path)
        except OSError as error:
            raise _unreadable(self.path, error) from error
        _check_size(self.path, segments, height, width)
        return np.asarray(segments == CRACK)


@dataclass(frozen=True, slots=True)
class Rle:
    """Run lengths, background and defect in turn, beginning with background; what they do not reach is background.

    Pixels are counted down the columns, as COCO and Severstal do. ``counts`` are 32-bit little-endian numbers, since a
    dataset holds millions of them; ``of`` packs them.
    """

    counts: bytes

    @classmethod
    def of(cls, counts: Iterable[int]) -> Rle:
        """Pack run lengths.

        >>> Rle.of([1, 2, 3]).rasterize(2, 3).astype(int).tolist()
        [[0, 1, 0], [1, 0, 0]]

        Raises:
            ValueError: A length is no whole number from 0 to 2³² − 1.
        """
        numbers = list(counts)
        if not all(isinstance(n, int) and 0 <= n < 2**32 for n in numbers):
            raise ValueError("run lengths must be whole numbers of at least 0")
        return cls(np.array(numbers, dtype="<u4").tobytes())

    @classmethod
    def of_pairs(cls, pairs: Iterable[int]) -> Rle:
        """Pack alternating (first pixel, length), counted from 1 down the columns, as Severstal writes them.

        >>> Rle.of_pairs([2, 2]).rasterize(2, 3).astype(int).tolist()
        [[0, 1, 0], [1, 0, 0]]

        Raises:
            ValueError: A number is missing or too large, runs overlap, or one is empty or begins before 1.
        """
        listed = list(pairs)
        if any(abs(n) >= 2**32 for n in listed):
            raise ValueError("runs are longer than any image")
        numbers = np.array(listed, dtype=np.int64)
        if len(numbers) % 2:
            raise ValueError("a run has no length")
        starts, lengths = numbers[::2] - 1, numbers[1::2]
        ends = starts + lengths
        gaps = starts - np.concatenate([[0], ends[:-1]])
        if (lengths < 1).any() or (gaps < 0).any():
            raise ValueError("runs must be at least one pixel long, in order, and begin at 1 or later")
        return cls.of(np.stack([gaps, lengths], axis=1).ravel().tolist())

    def rasterize(self, height: int, width: int) -> Mask:
        """The defect's pixels, bool (H, W).

        Raises:
            DataError: The runs are longer than the image.
        """
        counts = np.frombuffer(self.counts, dtype="<u4").astype(np.int64)
        if counts.sum() > height * width:
            raise SizeMismatchError(
                "a run-length mask is larger than its image",
                got=f"{counts.sum()} pixels for {height} × {width}",
                fix="check which image it belongs to",
            )
        flat = np.zeros(height * width, dtype=np.bool_)
        flat[: counts.sum()] = np.repeat(np.arange(len(counts)) % 2 == 1, counts)
        return flat.reshape(width, height).T


@dataclass(frozen=True, slots=True)
class CocoRle:
    """COCO's compressed run lengths, down the columns, of an image of the stated size."""

    counts: bytes
    height: int
    width: int

    def rasterize(self, height: int, width: int) -> Mask:
        """The defect's pixels, bool (H, W).

        Raises:
            DataError: The runs are broken.
            SizeMismatchError: They belong to an image of another size.
        """
        if (self.height, self.width) != (height, width):
            raise _other_size("a run-length mask", self.height, self.width, height, width)
        try:
            return Rle.of(unpack_coco(self.counts)).rasterize(height, width)
        except ValueError as error:
            raise DataError("a run-length mask is broken", got=str(error), fix="export it again") from error


def unpack_coco(packed: bytes) -> list[int]:
    """The run lengths in COCO's text: 5 bits a character, and from the fourth on the change since the last but one.

    >>> unpack_coco(b"243O0")
    [2, 4, 3, 3, 3]

    Raises:
        ValueError: A character is out of range, or the last number is not finished.
    """
    counts: list[int] = []
    value = shift = 0
    for character in packed:
        bits = character - 48
        if not 0 <= bits < 64 or shift > 60:
            raise ValueError("not the text of run lengths")
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:  # goes on
            continue
        if bits & 16:  # negative
            value -= 1 << shift
        counts.append(value + counts[-2] if len(counts) > 2 else value)
        value = shift = 0
    if shift:
        raise ValueError("the text of run lengths is cut off")
    return counts


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle from (x0, y0) up to (x1, y1): a box of one pixel has x1 = x0 + 1."""

    x0: float
    y0: float
    x1: float
    y1: float
    relative: bool = False

    @classmethod
    def checked(cls, x0: float, y0: float, x1: float, y1: float, relative: bool = False) -> Box:
        """A box as read from a file.

        Raises:
            NoAreaError: It has no area, or its corners are swapped.
            ValueError: A corner is not finite.
        """
        if not all(map(math.isfinite, (x0, y0, x1, y1))):
            raise ValueError("a box has corners that are no numbers")
        if x1 <= x0 or y1 <= y0:
            raise NoAreaError("a box has no area, or its corners are swapped")
        return cls(x0, y0, x1, y1, relative)

    def in_pixels(self, height: int, width: int) -> Box:
        """The same box in pixels of an image of this size."""
        if not self.relative:
            return self
        return Box(self.x0 * width, self.y0 * height, self.x1 * width, self.y1 * height)

    def rasterize(self, height: int, width: int) -> Mask:
        """The defect's pixels, bool (H, W): at least one, except for a box outside the image."""
        box = self.in_pixels(height, width)
        mask = np.zeros((height, width), dtype=np.bool_)
        mask[_span(box.y0, box.y1, height), _span(box.x0, box.x1, width)] = True
        return mask


@dataclass(frozen=True, slots=True)
class Polygon:
    """A closed outline; ``others`` are outlines of further parts of the same defect."""

    points: tuple[Point, ...]
    others: tuple[tuple[Point, ...], ...] = ()
    relative: bool = False

    @property
    def parts(self) -> Iterator[tuple[Point, ...]]:
        """Every outline."""
        yield self.points
        yield from self.others

    def in_pixels(self, height: int, width: int) -> Polygon:
        """The same polygon in pixels of an image of this size."""
        if not self.relative:
            return self
        scaled = [tuple((x * width, y * height) for x, y in part) for part in self.parts]
        return Polygon(scaled[0], tuple(scaled[1:]))

    def rasterize(self, height: int, width: int) -> Mask:
        """The defect's pixels, bool (H, W), by COCO's rule for outlines: at least one, unless all lies outside."""
        from pycocotools import mask as coco

        outlines = [_clamped(part, height, width) for part in self.in_pixels(height, width).parts]
        runs = coco.frPyObjects([[v for point in part for v in point] for part in outlines], height, width)
        mask = np.zeros((height, width), dtype=np.bool_)
        for run in runs:
            mask |= CocoRle(run["counts"], height, width).rasterize(height, width)
        for part in outlines:  # one too thin for the rule
            x, y = (sum(values) / len(part) for values in zip(*part, strict=True))
            if not mask.any() and 0 <= x < width and 0 <= y < height:
                mask[int(y), int(x)] = True
        return mask


@dataclass(frozen=True, slots=True)
class Ellipse:
    """Middle (cx, cy), half axes ``a`` and ``b``, and the turn of ``a`` from x towards y in radians."""

    cx: float
    cy: float
    a: float
    b: float
    angle: float = 0.0

    def rasterize(self, height: int, width: int) -> Mask:
        """The pixels whose middle lies inside, bool (H, W)."""
        x = np.arange(width) + 0.5 - self.cx
        y = (np.arange(height) + 0.5 - self.cy)[:, None]
        cos, sin = math.cos(self.angle), math.sin(self.angle)
        along, across = x * cos + y * sin, y * cos - x * sin
        return np.asarray((along / self.a) ** 2 + (across / self.b) ** 2 <= 1)


Shape: TypeAlias = MaskFile | MatMask | Drawn | Rle | CocoRle | Polygon | Ellipse | Box


def _span(start: float, stop: float, length: int) -> slice:
    """The nearest whole pixels of ``length``, or the one in the middle where that is none."""
    start, stop = (min(max(end, -1.0), length + 1.0) for end in (start, stop))
    first, last = math.floor(start + 0.5), math.floor(stop + 0.5)
    if last <= first:
        first = math.floor((start + stop) / 2)
        last = first + 1
    return slice(max(0, first), max(0, last))


def _clamped(part: tuple[Point, ...], height: int, width: int) -> list[Point]:
    """Outline points not further outside the image than its own size: pycocotools walks every step of an edge."""
    return [(min(max(x, -width), 2.0 * width), min(max(y, -height), 2.0 * height)) for x, y in part]


def _check_size(path: Path, mask: np.ndarray, height: int, width: int) -> None:
    if mask.shape != (height, width):
        raise _other_size(f"the mask {path.name}", len(mask), mask.shape[1], height, width)


def _other_size(what: str, height: int, width: int, image_height: int, image_width: int) -> SizeMismatchError:
    turned = ", perhaps drawn before the image was turned by its EXIF orientation"
    return SizeMismatchError(
        f"{what} has another size than its image",
        got=f"{width} × {height} for an image of {image_width} × {image_height}"
        + (turned if (height, width) == (image_width, image_height) else ""),
        fix="export it at the image's size",
    )


def _unreadable(path: Path, error: OSError) -> DataError:
    return DataError(f"the mask {path.name} cannot be read", got=error.strerror, fix="replace or remove it")
