"""Pictures of a noisy surface with masks beside them, every second with a bright scratch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

Place = tuple[slice, slice]


def write_scratched(
    root: Path, count: int, shape: tuple[int, int], scratch: Callable[[np.random.Generator], Place]
) -> Path:
    """Write ``count`` grey pictures of ``shape`` (H, W) and their masks into a new folder; ``scratch`` says where."""
    root.mkdir()
    rng = np.random.default_rng(0)
    for number in range(count):
        pixels, mask = rng.integers(60, 120, shape).astype(np.uint8), np.zeros(shape, dtype=np.uint8)
        if number % 2:
            mask[scratch(rng)] = 255
            pixels[mask > 0] = 250
        Image.fromarray(pixels).save(root / f"{number:02}.png")
        Image.fromarray(mask).save(root / f"{number:02}_mask.png")
    return root
