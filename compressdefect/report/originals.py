"""The images of a report as their files hold them: whole, undistorted, and with where their defects are marked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from compressdefect.data.formats.files import relative_name
from compressdefect.data.images import Images
from compressdefect.data.marks.convert import boxes_of, mask_of
from compressdefect.data.pixels import FULL, decode, is_grey, upright_size
from compressdefect.data.read import read
from compressdefect.data.sample import Sample
from compressdefect.errors import DataError


class Box(NamedTuple):
    """A part of a picture in whole pixels, up to and without ``bottom`` and ``right``."""

    top: int
    left: int
    bottom: int
    right: int


class Extent(NamedTuple):
    """What is marked in an image: how many pixels in all, and the box of the largest connected part of them."""

    area: int
    box: Box


class Pictures(Protocol):
    """The images of a report by name; what cannot be read is None."""

    @property
    def names(self) -> Sequence[str]: ...  # noqa: D102

    def picture(self, name: str) -> NDArray[np.uint8] | None:
        """Pixels (C, H, W), grey or RGB."""

    def extent(self, name: str) -> Extent | None:
        """Where its defects are, in pixels of ``picture``; None where nothing is marked."""


class Loaded:
    """Images as a network is shown them, for data without files."""

    def __init__(self, images: Images) -> None:
        self._images = images
        self._index = {name: index for index, name in enumerate(images.names)}

    @property
    def names(self) -> Sequence[str]:
        """See ``Pictures``."""
        return self._images.names

    def picture(self, name: str) -> NDArray[np.uint8] | None:
        """See ``Pictures``."""
        return self._images.picture(self._index[name])

    def extent(self, name: str) -> Extent | None:
        """See ``Pictures``."""
        return None if self._images.masks is None else extent_of(self._images.mask(self._index[name]))


class Originals:
    """The files of a data folder.

    Args:
        root: the folder.
        samples: its images.
        regions: the classes of their defects.
        bits: how many of their bits 16-bit images use.
    """

    def __init__(self, root: Path, samples: Iterable[Sample], regions: Sequence[str], bits: int = FULL) -> None:
        self._samples = {relative_name(sample.path, root): sample for sample in samples}
        self._regions, self._bits = regions, bits

    @classmethod
    def open(
        cls,
        data: str,
        *,
        format: str | None = None,
        labels: str = "all",
        good: str | None = None,
        unlabelled: str | None = None,
        bits: int | None = None,
    ) -> Originals:
        """List a folder as a training does, with its options.

        Raises:
            DataError: the folder or its layout is wrong.
        """
        listing = read(data, format, labels, good, at_least=1, unlabelled=unlabelled)
        return cls(listing.root, listing.samples, listing.region_classes, bits or FULL)

    @property
    def names(self) -> Sequence[str]:
        """See ``Pictures``."""
        return tuple(self._samples)

    def picture(self, name: str) -> NDArray[np.uint8] | None:
        """See ``Pictures``."""
        try:
            pixels = decode(self._samples[name].path, self._bits)
        except (DataError, OSError):
            return None
        return np.ascontiguousarray((pixels[..., :1] if is_grey(pixels) else pixels).transpose(2, 0, 1))

    def extent(self, name: str) -> Extent | None:
        """See ``Pictures``."""
        sample = self._samples[name]
        if not sample.regions:
            return None
        try:
            return extent_of(mask_of(sample.regions, *upright_size(sample.path), self._regions))
        except (DataError, OSError):
            return None


def extents(pictures: Pictures, names: Iterable[str]) -> Mapping[str, Extent]:
    """Where the defects of these images are, as far as it is known."""
    known = set(pictures.names)
    measured = {name: pictures.extent(name) for name in names if name in known}
    return {name: extent for name, extent in measured.items() if extent is not None}


def extent_of(mask: NDArray[np.uint8] | NDArray[np.bool_]) -> Extent | None:
    """Measure a mask (H, W), 0 where nothing is wrong.

    >>> extent_of(np.array([[1, 0, 0, 0], [0, 0, 2, 2]], dtype=np.uint8))
    Extent(area=3, box=Box(top=1, left=2, bottom=2, right=4))
    """
    boxes = boxes_of(mask > 0)
    if not boxes:
        return None
    largest = max(boxes, key=lambda box: (box.y1 - box.y0) * (box.x1 - box.x0))
    box = Box(int(largest.y0), int(largest.x0), int(largest.y1), int(largest.x1))
    return Extent(int(np.count_nonzero(mask)), box)
