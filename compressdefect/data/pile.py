"""One array of pictures that grows as they come."""

from __future__ import annotations

import os

import numpy as np

from compressdefect.errors import DataError


class Pile:
    """Pictures uint8 (R, C, side, side), one on the other; C grows from 1 to that of the first with more channels.

    Memory is only taken up as it is filled, so room is made for as many as there would be if the images still to come
    had as many pictures each as those before.
    """

    def __init__(self, side: int, *, images: int) -> None:
        """Make room for one picture of each image."""
        self._array = np.empty((images, 1, side, side), dtype=np.uint8)
        self._images, self._added, self._used = images, 0, 0

    @property
    def rows(self) -> np.ndarray:
        """All that was added (R, C, side, side), not copied."""
        return self._array[: self._used]

    def add(self, pictures: np.ndarray) -> None:
        """Add the pictures (n, c, side, side) of one image.

        Raises:
            DataError: They do not fit into the machine's memory.
        """
        self._added += 1
        end = self._used + len(pictures)
        channels = max(self._array.shape[1], pictures.shape[1])
        if end > len(self._array):
            expected = -(-end * self._images // self._added)
            _check_memory(expected * pictures[0].size)
            self._grow(max(expected, 3 * len(self._array) // 2), channels)
        elif channels > self._array.shape[1]:
            self._grow(len(self._array), channels)
        self._array[self._used : end] = pictures
        self._used = end

    def _grow(self, length: int, channels: int) -> None:
        grown = np.empty((length, channels, *self._array.shape[2:]), dtype=np.uint8)
        grown[: self._used] = self.rows
        self._array = grown


def _check_memory(expected: int) -> None:
    """Refuse more bytes than the machine has, where it says how many: it would only end the process later."""
    there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else expected
    if expected > there:
        raise DataError(
            "the images do not fit into memory",
            got=f"about {expected / 2**30:.0f} GiB of pixels for {there / 2**30:.0f} GiB",
            fix="give a larger --tile, a smaller --input or fewer images",
        )
