"""Gradual training: only defects first, seen from near; the normal images come late.

Huang et al., "A Compact Convolutional Neural Network for Surface Defect Inspection" (2020), §3.4.2 and §4.4.2: where
a defect is a few pixels among many, its gradient is lost among the background's. So the first 20,000 steps see only
defective images, magnified around a defect from 3.6 times down to once, and images without a defect are let in after
80,000. The paper names no total for that training; its only total beyond 80,000 is 90,000, and the shares that are
the defaults here are of that.

What the paper leaves open: a batch keeps its size and an epoch its steps, since each normal image gives its place to
a defective one. The magnified window lies anywhere around a defect, all of which it shows if it can. An image whose
defect has no known place is shown whole: a wrong window would show a good surface under a defect's name.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from compressdefect.data.augment.warp import move_boxes, sample_masks, sample_pixels, still_points, to_uint8
from compressdefect.data.truth import Truth
from compressdefect.errors import CompressDefectError, DataError

PAPER_RATIO, PAPER_ZOOM_UNTIL, PAPER_NORMAL_FROM, PAPER_STEPS = 3.6, 20_000, 80_000, 90_000

_MOMENT = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([k%]?)\s*", re.IGNORECASE)


@dataclass(frozen=True)
class Gradual:
    """The schedule; a position in a training is the share of it that is done, from 0 to 1.

    Attributes:
        ratio: how much larger a defect is shown at the start.
        zoom_until: the position where the ratio has fallen to 1.
        normal_from: the position from which images without a defect are let in.
    """

    ratio: float = PAPER_RATIO
    zoom_until: float = PAPER_ZOOM_UNTIL / PAPER_STEPS
    normal_from: float = PAPER_NORMAL_FROM / PAPER_STEPS

    def __post_init__(self) -> None:
        if not (math.isfinite(self.ratio) and self.ratio >= 1):
            raise CompressDefectError("gradual training magnifies by 1 or more", got=self.ratio)
        if not (0 <= self.zoom_until <= 1 and 0 <= self.normal_from < 1):
            raise CompressDefectError(
                "gradual training must be over within the training",
                got=f"zoom until {self.zoom_until:.0%}, normal images from {self.normal_from:.0%} of the steps",
                fix="name earlier steps, train longer, or give shares such as 22%,89%",
            )

    @classmethod
    def parse(cls, text: str, total: int) -> Self:
        """Read ``on`` (the paper's shares) or ``UNTIL,FROM`` in steps or per cent: ``20k,80k``, ``22%,89%``.

        >>> Gradual.parse("10%, 400", total=1000)
        Gradual(ratio=3.6, zoom_until=0.1, normal_from=0.4)

        Raises:
            CompressDefectError: It reads otherwise, or the training of ``total`` steps is too short for it.
        """
        if text.strip().lower() == "on":
            return cls()
        moments = [_MOMENT.fullmatch(part) for part in text.split(",")]
        match moments:
            case [re.Match() as until, re.Match() as start]:
                return cls(PAPER_RATIO, _position(until, total), _position(start, total))
        raise CompressDefectError(
            "gradual training cannot be read", got=text, fix="give on, or two moments such as 20k,80k or 22%,89%"
        )

    def zoom(self, position: float) -> float:
        """How many times larger defects are shown."""
        if position >= self.zoom_until:
            return 1.0
        return 1 + (self.ratio - 1) * (1 - position / self.zoom_until)

    def lets_normal_in(self, position: float) -> bool:
        """Whether images without a defect take part."""
        return position >= self.normal_from


class DefectsFirst:
    """Makes the batches of a training follow a ``Gradual`` schedule."""

    def __init__(
        self,
        gradual: Gradual,
        indices: NDArray[np.integer],
        defective: NDArray[np.bool_],
        masks: NDArray[np.uint8] | None,
    ) -> None:
        """Prepare for a training.

        Args:
            gradual: when to show what.
            indices: the training images.
            defective: (N,), which of all images show a defect.
            masks: (N, H, W), where it is, all 0 where that is unknown.

        Raises:
            DataError: No training image is defective, or there are no masks to zoom by.
        """
        self._gradual, self._defective, self._masks = gradual, np.asarray(defective), masks
        self._pool = np.asarray(indices)[self._defective[indices]]
        if not len(self._pool):
            raise DataError("gradual training needs images with a defect", got="none among the training images")
        if masks is None and gradual.zoom(0) > 1:
            raise DataError(
                "gradual training zooms on defects",
                got="images without masks or boxes",
                fix="annotate them, or train without it",
            )

    def choose(self, chosen: NDArray[np.integer], position: float, order: np.random.Generator) -> NDArray[np.integer]:
        """The images (n,) of a batch; normal ones give way to random defective ones until they are let in."""
        normal = ~self._defective[chosen]
        count = int(normal.sum())
        if not count or self._gradual.lets_normal_in(position):
            return chosen
        instead = chosen.copy()
        instead[normal] = order.choice(self._pool, count, replace=count > len(self._pool))
        return instead

    def zoom(
        self,
        chosen: NDArray[np.integer],
        pixels: Tensor,
        truth: Truth,
        position: float,
        generator: torch.Generator,
    ) -> tuple[Tensor, Truth]:
        """Magnify pixels uint8 (n, C, H, W) of the images ``chosen``, and their masks and boxes with them."""
        ratio = self._gradual.zoom(position)
        if ratio == 1 or self._masks is None:
            return pixels, truth
        points = zoom_points(self._masks[chosen], ratio, generator)
        masks = None if truth.masks is None else sample_masks(truth.masks, points)
        boxes = None if truth.boxes is None else tuple(move_boxes(truth.boxes, points))
        return to_uint8(sample_pixels(pixels, points)), replace(truth, masks=masks, boxes=boxes)


def zoom_points(masks: NDArray[np.uint8], ratio: float, generator: torch.Generator) -> Tensor:
    """Sampling points (N, 2, H, W) of a window 1/``ratio`` as long as each side, around a defect of each mask.

    Each connected defect is as likely as any other. Of one too large for the window, a random pixel is inside.
    Masks (N, H, W) without a defect are shown whole.
    """
    count, height, width = masks.shape
    points = still_points(count, height, width)
    draws = torch.rand(count, 4, generator=generator).tolist()
    for i in np.flatnonzero(masks.any(axis=(1, 2))):
        left, top = _corner(masks[i] > 0, ratio, draws[i])
        corner = torch.tensor([2 * left / width - 1, 2 * top / height - 1]).view(2, 1, 1)
        points[i] = (points[i] + 1) / ratio + corner
    return points


def _corner(mask: NDArray[np.bool_], ratio: float, draws: list[float]) -> tuple[float, float]:
    """The window's first x and y, in pixels, for four numbers drawn from [0, 1)."""
    parts, count = ndimage.label(mask, structure=np.ones((3, 3)))
    ys, xs = np.nonzero(parts == 1 + int(draws[0] * count))
    pixel = int(draws[1] * len(ys))
    height, width = mask.shape
    return _start(xs, pixel, width, width / ratio, draws[2]), _start(ys, pixel, height, height / ratio, draws[3])


def _start(places: NDArray[np.integer], pixel: int, length: int, window: float, draw: float) -> float:
    """Where a window along one side of the image begins, to show all ``places`` or at least one of them."""
    first, last = int(places.min()), int(places.max()) + 1
    if last - first > window:
        first, last = int(places[pixel]), int(places[pixel]) + 1
    low, high = max(0.0, last - window), min(float(first), length - window)
    return low + draw * (high - low)


def _position(moment: re.Match[str], total: int) -> float:
    value, unit = float(moment[1]), moment[2].lower()
    return value / 100 if unit == "%" else value * (1000 if unit == "k" else 1) / total
