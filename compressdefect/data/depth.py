"""How many of their 16 bits a data set's images use: a camera's 10, 12 or 14 bits come in files of 16."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from compressdefect.data.pixels import FULL, DepthError, Pixels, decode, is_deep, peak
from compressdefect.errors import DataError

BITS = (8, 10, 12, 14, FULL)


class Depth(NamedTuple):
    """The bits that hold the largest value of all 16-bit images, and these; None where there are none."""

    bits: int | None
    files: tuple[Path, ...]


def depth_of(paths: Iterable[Path]) -> Depth:
    """Look into every 16-bit image of a data set; of others only the head is read. Unreadable files are passed over.

    One range for all keeps their brightness apart, which a range for each would not.
    """
    found: dict[Path, int] = {}
    for path in paths:
        try:
            largest = peak(path)
        except (DataError, OSError):
            continue
        if largest is not None:
            found[path] = largest
    return Depth(bits_for(max(found.values())) if found else None, tuple(found))


def bits_for(largest: int) -> int:
    """The fewest of the usual bits that hold a value.

    >>> bits_for(255), bits_for(256), bits_for(4011)
    (8, 10, 12)
    """
    return next(bits for bits in BITS if largest < 2**bits)


def check_bits(bits: int | None) -> None:
    """Refuse bits that no file has.

    Raises:
        DataError: They are not among the usual ones.
    """
    if bits not in (None, *BITS):
        raise DataError("--bits is 8, 10, 12, 14 or 16", got=bits)


class Decoder:
    """Decodes the images of one data set alike; the bits of the 16-bit ones are found when the first of them comes.

    Attributes:
        bits: as given or found; None while there is no 16-bit image.
        remarks: what was found, in a line.
    """

    def __init__(self, paths: Iterable[Path], bits: int | None = None) -> None:
        check_bits(bits)
        self.bits = bits
        self.remarks: list[str] = []
        self._paths = paths

    def decode(self, content: bytes, name: str) -> Pixels:
        """The pixels of an image file; ``name`` is for the message.

        Raises:
            DataError: The file cannot be decoded.
            DepthError: It needs more bits than were given.
        """
        if self.bits is None and is_deep(content):
            self.bits = depth_of(self._paths).bits
            if self.bits is not None:
                white = 2**self.bits - 1
                self.remarks.append(f"16-bit images use {self.bits} bits: {white} is white; --bits says otherwise")
        try:
            return decode(content, self.bits or FULL)
        except DepthError as error:
            raise DepthError(
                f"{name} is brighter than --bits {self.bits} allows",
                got=f"{error.got}, where {2 ** (self.bits or FULL) - 1} is white",
                fix="give more bits, for the training too, or remove the file",
            ) from error
