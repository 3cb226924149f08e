"""Defects of light guide plates, drawn into small patches of a brightness map.

A defect is a function of (generator, contrast) that returns a square patch of brightness changes in grey levels.
Arithmetic is limited to what IEEE 754 rounds exactly (+ − × ÷ √), so the same seed draws the same defect everywhere.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Patch = np.ndarray  # (side, side) float64
Defect = Callable[[np.random.Generator, float], Patch]


def unit_vector(rng: np.random.Generator) -> tuple[float, float]:
    """A random direction from the rational points of the circle, without a platform's sine."""
    t = rng.uniform(-1, 1)
    x, y = (1 - t * t) / (1 + t * t), 2 * t / (1 + t * t)
    return (x, y) if rng.random() < 0.5 else (-y, x)


def bump(squared_distance: np.ndarray, radius: float) -> np.ndarray:
    """A smooth hill of height 1: (1 − d²/r²)² inside the radius, 0 outside."""
    return np.square(np.clip(1 - squared_distance / radius**2, 0, None))


def scratch(rng: np.random.Generator, contrast: float) -> Patch:
    """A thin, slightly bent line that fades towards its ends, brighter or darker than the plate."""
    half = rng.uniform(16, 36)
    width, bend = rng.uniform(1.6, 2.6), rng.uniform(-0.2, 0.2)
    x, y = _grid(half + 4)
    ux, uy = unit_vector(rng)
    along, across = (x * ux + y * uy) / half, y * ux - x * uy
    line = bump((across - bend * half * (along * along - 0.33)) ** 2, 1.6 * width)
    sign = 1.0 if rng.random() < 0.7 else -1.0
    return sign * 1.1 * contrast * line * np.clip(1 - np.square(along * along), 0, None)


def bright_spot(rng: np.random.Generator, contrast: float) -> Patch:
    """A round spot of light where the plate's microstructure is damaged."""
    radius = rng.uniform(6, 11)
    x, y = _grid(radius + 1)
    return 1.3 * contrast * bump(x * x + y * y, radius)


def dark_spot(rng: np.random.Generator, contrast: float) -> Patch:
    """A round shadow, wider and softer than a bright spot."""
    radius = rng.uniform(9, 16)
    x, y = _grid(radius + 1)
    return -1.1 * contrast * bump(x * x + y * y, radius)


def impurity(rng: np.random.Generator, contrast: float) -> Patch:
    """An irregular inclusion: a dark grain of several lobes with a bright edge."""
    radius = rng.uniform(5, 9)
    x, y = _grid(2.5 * radius)
    grain = np.zeros_like(x)
    for _ in range(rng.integers(3, 6)):
        cx, cy = rng.uniform(-0.8, 0.8, 2) * radius
        grain = np.maximum(grain, bump((x - cx) ** 2 + (y - cy) ** 2, radius * rng.uniform(0.6, 1)))
    gx, gy = unit_vector(rng)
    edge = 2 * (gx * np.gradient(grain, axis=1) + gy * np.gradient(grain, axis=0))
    return 1.4 * contrast * (edge - grain)


DEFECTS: dict[str, Defect] = {
    "scratch": scratch,
    "bright_spot": bright_spot,
    "dark_spot": dark_spot,
    "impurity": impurity,
}


def _grid(half: float) -> tuple[np.ndarray, np.ndarray]:
    reach = int(half) + 1
    axis = np.arange(-reach, reach + 1, dtype=np.float64)
    return np.broadcast_to(axis, (len(axis),) * 2), np.broadcast_to(axis[:, None], (len(axis),) * 2)
