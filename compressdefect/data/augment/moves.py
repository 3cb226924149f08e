"""Geometric changes, each a way to move the sampling points of ``data.warp``; applied in turn they stay one sampling.

A move takes points (N, 2, H, W) and a generator and returns new points; every picture gets a draw of its own.
Distances are shares of the picture's shorter side.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

Move = Callable[[Tensor, torch.Generator], Tensor]


@dataclass(frozen=True)
class Flip:
    """Mirror left to right, top to bottom, or both."""

    def __call__(self, points: Tensor, generator: torch.Generator) -> Tensor:
        """Return the mirrored points."""
        kind = torch.randint(1, 4, (len(points), 1), generator=generator)
        signs = 1 - 2 * (kind >> torch.arange(2) & 1)
        return points * signs[..., None, None]


@dataclass(frozen=True)
class Affine:
    """Turn and shear by up to so many degrees, zoom by a factor of up to 1 ± ``zoom``, shift."""

    turn: float = 20.0
    shear: float = 8.0
    zoom: float = 0.2
    shift: float = 0.08

    def __call__(self, points: Tensor, generator: torch.Generator) -> Tensor:
        """Return the points moved by one matrix and one offset per picture."""
        height, width = points.shape[2:]
        turn, shear, zoom, x, y = _spread(5, len(points), generator)
        angle, slope = torch.deg2rad(self.turn * turn), torch.tan(torch.deg2rad(self.shear * shear))
        scale = 1 / (1 + self.zoom * zoom)
        cosine, sine, aspect = scale * torch.cos(angle), scale * torch.sin(angle), width / height
        rows = (  # turned and sheared in square units, whatever the picture's shape
            torch.stack([cosine, (cosine * slope - sine) / aspect], dim=1),
            torch.stack([sine * aspect, sine * slope + cosine], dim=1),
        )
        moved = torch.bmm(torch.stack(rows, dim=1), points.flatten(2)).view_as(points)
        return moved.add_(self.shift * torch.stack([x, y], dim=1)[..., None, None] * _short_side(points))


@dataclass(frozen=True)
class Crop:
    """Show a window of at least 1 - ``share`` of each side, anywhere in the picture."""

    share: float = 0.2

    def __call__(self, points: Tensor, generator: torch.Generator) -> Tensor:
        """Return the points inside the window."""
        sides, places = torch.rand(2, len(points), 2, 1, 1, generator=generator)
        kept = 1 - self.share * sides
        return points * kept + (1 - kept) * (2 * places - 1)


@dataclass(frozen=True)
class Perspective:
    """Look at the picture at a slant, across or along: a side is up to (1 + s) / (1 - s) times the opposite."""

    slant: float = 0.1

    def __call__(self, points: Tensor, generator: torch.Generator) -> Tensor:
        """Return the points of a projection that stays within the picture."""
        slants = self.slant * _spread(2, len(points), generator).T
        depth = 1 + torch.bmm(slants[:, None], points.flatten(2)).view(-1, 1, *points.shape[2:])
        return points * (1 - slants.abs().sum(dim=1)).view(-1, 1, 1, 1) / depth


@dataclass(frozen=True)
class Elastic:
    """Pull the picture about smoothly: a cubic B-spline over ``cells`` × ``cells`` cells with random weights."""

    strength: float = 0.025
    cells: int = 8

    def __call__(self, points: Tensor, generator: torch.Generator) -> Tensor:
        """Return the pulled points."""
        return _pull(points, self.strength, self.cells + 3, _cubic, generator)


@dataclass(frozen=True)
class PiecewiseAffine:
    """Move the crossings of a grid of ``cells`` × ``cells`` and everything between them in proportion."""

    strength: float = 0.02
    cells: int = 4

    def __call__(self, points: Tensor, generator: torch.Generator) -> Tensor:
        """Return the pulled points."""
        return _pull(points, self.strength, self.cells + 1, _linear, generator)


def _pull(
    points: Tensor, strength: float, knots: int, basis: Callable[[int, int], Tensor], generator: torch.Generator
) -> Tensor:
    """Add a random field, spanned by ``knots`` × ``knots`` normal weights and drawn to a strength of its own."""
    height, width = points.shape[2:]
    weights = torch.randn(len(points), 2, knots, knots, generator=generator).clamp_(-2, 2)
    weights *= strength * torch.rand(len(points), 1, 1, 1, generator=generator) * _short_side(points)
    return points + basis(height, knots) @ weights @ basis(width, knots).T


def _linear(length: int, knots: int) -> Tensor:
    """Hat functions (length, knots) at the centres of ``length`` pixels."""
    return (1 - _distances(length, knots, knots - 1, 0)).clamp(min=0)


def _cubic(length: int, knots: int) -> Tensor:
    """Cubic B-splines (length, knots) at the centres of ``length`` pixels."""
    t = _distances(length, knots, knots - 3, 1)
    return torch.where(t < 1, 2 / 3 - t**2 + t**3 / 2, (2 - t).clamp(min=0) ** 3 / 6)


def _distances(length: int, knots: int, cells: int, first: int) -> Tensor:
    """How many cells lie between each pixel and each knot; knot ``first`` sits on the picture's edge."""
    places = (torch.arange(length) + 0.5) / length * cells + first
    return (places[:, None] - torch.arange(knots)).abs()


def _short_side(points: Tensor) -> Tensor:
    """Twice the shorter side as a share of width and height: what a share of it is in ``points``, (2, 1, 1)."""
    height, width = points.shape[2:]
    return torch.tensor([2 * min(height, width) / side for side in (width, height)]).view(2, 1, 1)


def _spread(kinds: int, count: int, generator: torch.Generator) -> Tensor:
    """Numbers (kinds, count) from -1 to 1."""
    return torch.rand(kinds, count, generator=generator) * 2 - 1
