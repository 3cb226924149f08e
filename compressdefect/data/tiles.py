"""Large pictures in overlapping tiles, and what is known of the tiles joined to one map (numpy only).

A hairline scratch on a web of 4096 pixels is gone when the web is shrunk to a network's input. Cut into tiles it keeps
its size. Neighbouring tiles overlap because a network knows least at the edge of what it sees; joining fades from one
tile into the next, so no seam is left.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from compressdefect.errors import DataError

Array = np.ndarray[Any, Any]

_OVERLAPS = 8  # to the side of a square tile


@dataclass(frozen=True, slots=True)
class Tiling:
    """Where the tiles of a picture lie: all of one size, spread evenly, sharing at least ``overlap`` pixels.

    A picture smaller than a tile is one tile, filled up with its mirror image.

    >>> Tiling(height=100, width=250, tile=(100, 100), overlap=20).corners
    [(0, 0), (0, 75), (0, 150)]
    """

    height: int
    width: int
    tile: tuple[int, int]
    overlap: int

    @classmethod
    def of(cls, height: int, width: int, side: int) -> Tiling:
        """Square tiles as networks are shown them, overlapping by an eighth of their side.

        >>> Tiling.of(height=64, width=120, side=64).corners
        [(0, 0), (0, 56)]
        """
        return cls(height, width, (side, side), side // _OVERLAPS)

    def __post_init__(self) -> None:
        if not 0 <= self.overlap < min(self.tile):
            raise DataError(
                "tiles overlap by less than their shorter side",
                got=f"{self.overlap} for tiles of {self.tile[0]} × {self.tile[1]}",
            )

    @property
    def corners(self) -> list[tuple[int, int]]:
        """First row and column of each tile, row by row."""
        rows = _starts(self.height, self.tile[0], self.overlap)
        return [(row, column) for row in rows for column in _starts(self.width, self.tile[1], self.overlap)]

    def __len__(self) -> int:
        return len(self.corners)

    def tiles(self, picture: Array) -> Iterator[Array]:
        """The tiles (…, h, w) of a picture (…, H, W), one by one: views of it where it is large enough."""
        assert picture.shape[-2:] == (self.height, self.width)
        filled = _fill(picture, *self.tile)
        for row, column in self.corners:
            yield filled[..., row : row + self.tile[0], column : column + self.tile[1]]

    def cut(self, picture: Array) -> Array:
        """All tiles of a picture (…, H, W) as one array (T, …, h, w)."""
        return np.stack(list(self.tiles(picture)))

    def join(self, tiles: Array, how: Literal["blend", "max"] = "blend") -> Array:
        """One map (…, H, W) from a map of each tile (T, …, h, w), in the order of ``corners``.

        Where tiles overlap, ``blend`` fades from one into the next and ``max`` takes the largest value, so that
        nothing that any tile saw is lost.
        """
        assert len(tiles) == len(self)
        assert tiles.shape[-2:] == self.tile
        joined = self._largest(tiles) if how == "max" else self._blended(tiles)
        return joined[..., : self.height, : self.width]

    def _largest(self, tiles: Array) -> Array:
        lowest = -np.inf if np.issubdtype(tiles.dtype, np.floating) else np.iinfo(tiles.dtype).min
        joined = np.full(self._filled_shape(tiles), lowest, dtype=tiles.dtype)
        for tile, place in zip(tiles, self._places(), strict=True):
            np.maximum(joined[place], tile, out=joined[place])
        return joined

    def _blended(self, tiles: Array) -> Array:
        weight = np.outer(_ramp(self.tile[0], self.overlap), _ramp(self.tile[1], self.overlap))
        kind = np.result_type(tiles.dtype, np.float32)
        joined = np.zeros(self._filled_shape(tiles), dtype=kind)
        total = np.zeros(joined.shape[-2:], dtype=kind)
        for tile, place in zip(tiles, self._places(), strict=True):
            joined[place] += tile * weight
            total[place[1:]] += weight
        joined /= total
        return joined if np.issubdtype(tiles.dtype, np.floating) else np.rint(joined).astype(tiles.dtype)

    def _places(self) -> list[tuple[Any, slice, slice]]:
        height, width = self.tile
        return [(..., slice(row, row + height), slice(column, column + width)) for row, column in self.corners]

    def _filled_shape(self, tiles: Array) -> tuple[int, ...]:
        return (*tiles.shape[1:-2], max(self.height, self.tile[0]), max(self.width, self.tile[1]))


def _starts(length: int, tile: int, overlap: int) -> list[int]:
    """Where tiles begin along one side: the first at 0, the last at the end, as few as overlap enough."""
    last = max(0, length - tile)
    steps = -(-last // (tile - overlap))
    return [step * last // steps for step in range(steps + 1)] if steps else [0]


def _ramp(length: int, overlap: int) -> Array:
    """Weights (length,) that rise over ``overlap`` pixels from each end and never reach 0."""
    from_end = np.minimum(np.arange(length), np.arange(length)[::-1]) + 1
    return np.minimum(from_end / (overlap + 1), 1).astype(np.float32)


def _fill(picture: Array, height: int, width: int) -> Array:
    """A picture (…, H, W) mirrored at its end until it is at least ``height`` × ``width``."""
    missing = [max(0, height - picture.shape[-2]), max(0, width - picture.shape[-1])]
    if not any(missing):
        return picture
    return np.pad(picture, [(0, 0)] * (picture.ndim - 2) + [(0, extra) for extra in missing], mode="symmetric")
