"""One array of pictures that is filled as they come."""

from __future__ import annotations

import os

import numpy as np

from compressdefect.errors import DataError


class Pile:
    """Pictures uint8 (R, C, side, side), one on the other; C grows from 1 to that of the first with more channels.

    Memory is only taken up as it is filled, so a few pictures too many cost nothing; a few too few, one copy.
    """

    def __init__(self, side: int, *, pictures: int) -> None:
        """Make room for as many pictures as are to come.

        Raises:
            DataError: They do not fit into the machine's memory.
        """
        self._array = _room(pictures, 1, side)
        self._used = 0

    @property
    def rows(self) -> np.ndarray:
        """All that was added (R, C, side, side), not copied."""
        return self._array[: self._used]

    def add(self, pictures: np.ndarray) -> None:
        """Add the pictures (n, c, side, side) of one image.

        Raises:
            DataError: They do not fit into the machine's memory.
        """
        end = self._used + len(pictures)
        channels = max(self._array.shape[1], pictures.shape[1])
        if end > len(self._array):
            self._grow(max(end, 3 * len(self._array) // 2), channels)
        elif channels > self._array.shape[1]:
            self._grow(len(self._array), channels)
        self._array[self._used : end] = pictures
        self._used = end

    def _grow(self, length: int, channels: int) -> None:
        grown = _room(length, channels, self._array.shape[2])
        grown[: self._used] = self.rows
        self._array = grown


def _room(length: int, channels: int, side: int) -> np.ndarray:
    """An empty array, unless it is larger than the machine's memory: filling it would only end the process later."""
    size = length * channels * side * side
    there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else size
    try:
        if size > there:
            raise MemoryError
        return np.empty((length, channels, side, side), dtype=np.uint8)
    except MemoryError as error:
        raise too_large(f"about {size / 2**30:.0f} GiB of pixels for {there / 2**30:.0f} GiB") from error


def too_large(got: str) -> DataError:
    """The error of images that memory does not hold."""
    fix = "give a larger --tile, a smaller --input or fewer images"
    return DataError("the images do not fit into memory", got=got, fix=fix)
