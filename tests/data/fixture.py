"""Generated photographs of parts that lie in a fixture under a fixed camera: one background, many parts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage

SIDE = 96
_ROOM = 4  # pixels that the part may be shifted by


def smooth(rng: np.random.Generator, coarse: int, amplitude: float, side: int = SIDE) -> np.ndarray:
    """A random pattern (side, side) of about ``coarse`` spots in each direction, between ± ``amplitude``."""
    spots = rng.uniform(-amplitude, amplitude, (coarse, coarse)).astype(np.float32)
    return np.asarray(Image.fromarray(spots).resize((side, side), Image.Resampling.BICUBIC), dtype=np.float64)


class Fixture:
    """What a fixed camera sees: the same background each time, a part with its own texture, and other light."""

    def __init__(self, seed: int = 0, *, light: float = 0.05, noise: float = 4, shift: float = 0, slope: float = 0):
        self.rng = np.random.default_rng(seed)
        self.background = 125 + smooth(self.rng, 8, 95, SIDE + 2 * _ROOM)
        self.light, self.noise, self.shift, self.slope = light, noise, shift, slope

    def part(self, scratched: bool, texture: float = 8) -> np.ndarray:
        """What only one part shows (H, W): its texture, and a scratch where it has one."""
        own = smooth(self.rng, 24, texture)
        if scratched:
            y, x = self.rng.integers(8, SIDE - 40, 2)
            own[y : y + 3, x : x + 30] += 60
        return own

    def photograph(self, part: np.ndarray) -> np.ndarray:
        """One image uint8 (H, W) of a part."""
        view = ndimage.shift(self.background, self.rng.uniform(-self.shift, self.shift, 2), order=1)
        slope = self.rng.uniform(-self.slope, self.slope, (2, 1))
        across = np.linspace(-1, 1, SIDE)
        light = (
            self.rng.uniform(1 - self.light, 1 + self.light) + slope[0][:, None] * across + slope[1] * across[:, None]
        )
        inner = view[_ROOM:-_ROOM, _ROOM:-_ROOM] + part
        return np.clip(inner * light + self.rng.normal(0, self.noise, part.shape), 0, 255).astype(np.uint8)


def photographs(fixture: Fixture, parts: int, each: int = 1) -> list[np.ndarray]:
    """``each`` images of each of ``parts`` parts, part by part; every other part is scratched."""
    return [fixture.photograph(part) for n in range(parts) for part in [fixture.part(n % 2 == 1)] for _ in range(each)]


def write(root: Path, images: list[np.ndarray], each: int = 1) -> Path:
    """Class folders of ``photographs``."""
    for number, image in enumerate(images):
        path = root / ("good", "scratch")[number // each % 2] / f"{number:03}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
    return root
