"""Training augmentation of uint8 batches, their masks and their boxes, by name.

``standard`` keeps a defect a defect: mirrored, turned, shifted, slightly zoomed and differently lit plates are still
the same plate, and nothing erases, blurs or covers a small defect. ``paper`` is the combination of Huang et al., "A
Compact Convolutional Neural Network for Surface Defect Inspection" (2020), §4.2.1; its ranges, which the paper does
not give, are ours.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple, TypeVar, overload

import torch
from torch import Tensor
from torch.nn.functional import pad

from compressdefect import compat
from compressdefect.data.augment.effects import Blur, Effect, Illumination, Noise
from compressdefect.data.augment.moves import Affine, Crop, Elastic, Flip, Move, Perspective, PiecewiseAffine
from compressdefect.data.augment.warp import move_boxes, sample_masks, sample_pixels, still_points, to_uint8

compat.install()
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as F

GROUP = 4  # images that share one geometric draw of the standard augmentation

_Change = TypeVar("_Change", Move, Effect)


class Augmented(NamedTuple):
    """A changed batch: pixels uint8 (N, C, H, W), masks (N, H, W) and boxes if there were any."""

    pixels: Tensor
    masks: Tensor | None
    boxes: list[Tensor] | None


class Recipe(ABC):
    """A way to change batches at random; all randomness comes from the generator that a call is given."""

    @overload
    def __call__(self, pixels: Tensor, generator: torch.Generator) -> Tensor: ...

    @overload
    def __call__(self, pixels: Tensor, generator: torch.Generator, masks: Tensor) -> tuple[Tensor, Tensor]: ...

    def __call__(
        self, pixels: Tensor, generator: torch.Generator, masks: Tensor | None = None
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Return a changed copy of ``pixels`` uint8 (N, C, H, W), with that of ``masks`` (N, H, W) if given."""
        changed = self.apply(pixels, generator, masks)
        return changed.pixels if changed.masks is None else (changed.pixels, changed.masks)

    @abstractmethod
    def apply(
        self,
        pixels: Tensor,
        generator: torch.Generator,
        masks: Tensor | None = None,
        boxes: Sequence[Tensor] | None = None,
    ) -> Augmented:
        """Return changed copies; the same pixels and generator give the same pixels whatever goes with them.

        Args:
            pixels: uint8 (N, C, H, W).
            generator: gives all randomness.
            masks: classes of pixels as whole numbers (N, H, W).
            boxes: for each image (n, 4 + k), see ``data.warp.move_boxes``.
        """


@dataclass(frozen=True)
class Augmentation(Recipe):
    """Ranges of the random changes, as fractions: ``shift`` of the side, ``zoom`` ± around 1, light likewise.

    ``turn`` are rotations by 90°, for square images only. Geometry is drawn once per few images, so it costs little
    next to a training step.
    """

    flip: bool = True
    turn: bool = True
    shift: float = 0.06
    zoom: float = 0.1
    brightness: float = 0.1
    contrast: float = 0.2

    def apply(
        self,
        pixels: Tensor,
        generator: torch.Generator,
        masks: Tensor | None = None,
        boxes: Sequence[Tensor] | None = None,
    ) -> Augmented:
        """Flip, turn, shift, zoom and relight."""
        _check(pixels, masks, boxes)
        changed = torch.empty_like(pixels)
        moved_masks: list[Tensor] = []
        moved_boxes: list[Tensor] = []
        for start in range(0, len(pixels), GROUP):
            group = slice(start, start + GROUP)
            draws = torch.rand(6, generator=generator).tolist()
            changed[group] = self._relight(self._move(pixels[group], draws), generator)
            if masks is not None:
                moved_masks.append(self._move(masks[group, None], draws, exact=True)[:, 0])
            if boxes is not None:
                points = self._move(still_points(1, *pixels.shape[-2:]), draws)
                moved_boxes += move_boxes(boxes[group], points.expand(len(boxes[group]), -1, -1, -1))
        return Augmented(
            changed,
            torch.cat(moved_masks) if moved_masks else masks,
            None if boxes is None else moved_boxes,
        )

    def _move(self, images: Tensor, draws: Sequence[float], *, exact: bool = False) -> Tensor:
        """Pixels, masks (``exact``: no new values) or sampling points, which tell where each pixel came from."""
        height, width = images.shape[-2:]
        if self.flip and draws[0] < 0.5:
            images = F.horizontal_flip(images)
        if self.flip and draws[1] < 0.5:
            images = F.vertical_flip(images)
        if self.turn and height == width and draws[2] < 0.5:  # with both flips: all eight symmetries, equally often
            images = images.transpose(-1, -2)
        if not (self.shift or self.zoom):
            return images
        scale = 1 / (1 + self.zoom * (2 * draws[3] - 1))
        crop = round(height * scale), round(width * scale)
        margin = [
            math.ceil(side * (self.shift + max(0.0, 1 / (1 - self.zoom) - 1) / 2)) + 1 for side in (height, width)
        ]
        padded = pad(
            images, (margin[1], margin[1], margin[0], margin[0]), mode="reflect"
        )  # v2's own goes through float
        top = margin[0] + (height - crop[0]) / 2 + height * self.shift * (2 * draws[4] - 1)
        left = margin[1] + (width - crop[1]) / 2 + width * self.shift * (2 * draws[5] - 1)
        cropped = F.crop(padded, int(top), int(left), *crop)
        if exact:
            return F.resize(cropped, [height, width], InterpolationMode.NEAREST_EXACT)
        return _resize(cropped, height, width)

    def _relight(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Scale each image's contrast around its mean and shift its brightness."""
        if not (self.brightness or self.contrast):
            return images
        draws = torch.rand(2, len(images), 1, generator=generator) * 2 - 1
        gain, shift = 1 + self.contrast * draws[0], 255 * self.brightness * draws[1]
        mean = images.flatten(1).float().mean(dim=1, keepdim=True)
        table = (torch.arange(256) - mean) * gain + mean + shift  # what each of the 256 levels becomes, per image
        table = table.round_().clamp_(0, 255).to(torch.uint8)
        return table.gather(1, images.flatten(1).long()).view_as(images)


@dataclass(frozen=True)
class Combination(Recipe):
    """Each image gets a random combination of changes, each of them with the same ``probability``.

    All moves become one sampling, so an image is interpolated once however many of them it gets.
    """

    moves: tuple[Move, ...] = ()
    effects: tuple[Effect, ...] = ()
    probability: float = 0.5

    def apply(
        self,
        pixels: Tensor,
        generator: torch.Generator,
        masks: Tensor | None = None,
        boxes: Sequence[Tensor] | None = None,
    ) -> Augmented:
        """Draw, move and change."""
        _check(pixels, masks, boxes)
        points = still_points(len(pixels), *pixels.shape[-2:])
        for move in self.moves:
            points = self._change(move, points, generator)
        changed = sample_pixels(pixels, points)
        for effect in self.effects:
            changed = self._change(effect, changed, generator)
        return Augmented(
            to_uint8(changed),
            None if masks is None else sample_masks(masks, points),
            None if boxes is None else move_boxes(boxes, points),
        )

    def _change(self, change: _Change, values: Tensor, generator: torch.Generator) -> Tensor:
        """Values in which each image was changed or left, in place of what they were."""
        chosen = torch.rand(len(values), generator=generator) < self.probability
        if chosen.any():
            values[chosen] = change(values[chosen], generator)
        return values


_MOVES: Mapping[str, Move] = MappingProxyType(
    {
        "flip": Flip(),
        "affine": Affine(),
        "crop": Crop(),
        "elastic": Elastic(),
        "perspective": Perspective(),
        "piecewise-affine": PiecewiseAffine(),
    }
)
_EFFECTS: Mapping[str, Effect] = MappingProxyType(
    {"blur": Blur(), "illumination": Illumination(), "noise": Noise()}  # light falls before the sensor adds its noise
)

RECIPES: Mapping[str, Recipe] = MappingProxyType(
    {"standard": Augmentation(), "paper": Combination(tuple(_MOVES.values()), tuple(_EFFECTS.values()))}
)

SINGLE_CHANGES: Mapping[str, Recipe] = MappingProxyType(  # each of the paper's changes by itself, always made
    {name: Combination(moves=(move,), probability=1) for name, move in _MOVES.items()}
    | {name: Combination(effects=(effect,), probability=1) for name, effect in _EFFECTS.items()}
)


def _check(pixels: Tensor, masks: Tensor | None, boxes: Sequence[Tensor] | None) -> None:
    assert pixels.dtype == torch.uint8
    assert pixels.ndim == 4
    assert masks is None or (masks.shape == (len(pixels), *pixels.shape[2:]) and not masks.is_floating_point())
    assert boxes is None or len(boxes) == len(pixels)


def _resize(images: Tensor, height: int, width: int) -> Tensor:
    """Antialiased bilinear resize, in the memory layout that torch's uint8 kernel is fast in."""
    if images.shape[1] == 1:  # grey images as the channels of one
        return F.resize(images.transpose(0, 1), [height, width], antialias=True).transpose(0, 1)
    return F.resize(images.contiguous(), [height, width], antialias=True)
