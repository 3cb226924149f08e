"""Light guide plates drawn by numpy: the embedded dataset.

A plate is a pattern of printed dots that grow denser or larger along it, under uneven light, sensor noise and a few
bad pixels; no two share pitch, direction, gradient and light. A defective plate carries one to three small defects,
on a quarter of them so faint that they hide between the dots. Numbers of images and the 205/617 split follow Li, Li
and Dai, IEEE Access 9, 2021 (LGPSDD).
"""

from __future__ import annotations

import hashlib

import numpy as np

from compressdefect.data.images import SYNTHETIC, Images
from compressdefect.data.sample import Progress
from compressdefect.data.synthetic.defects import DEFECTS, bump, unit_vector

CLASSES = ("good", "defective")
TEST_SHARE = 617 / 822
BAD_PIXELS = 16
MAX_DEFECTS = 3
PLAIN, FAINT = (22, 42), (3, 10)  # contrast of defects in grey levels
FAINT_SHARE = 0.25  # of defective plates; they decide between a fair network and a good one
MARGIN = 14  # pixels between the border and the middle of a defect


def plates(
    n_defective: int = 422, n_good: int = 400, size: int = 224, seed: int = 0, *, progress: Progress | None = None
) -> Images:
    """Draw grey plates of ``size`` × ``size`` pixels; image i of a seed is the same on every machine."""
    assert size > 2 * MARGIN
    labels = np.arange(n_good + n_defective) >= n_good
    pixels = np.empty((len(labels), 1, size, size), dtype=np.uint8)
    for i, defective in enumerate(labels):
        pixels[i, 0] = draw_plate(np.random.default_rng((seed, i)), size, bool(defective))
        if progress is not None:
            progress(i + 1, len(labels))
    return Images(
        pixels,
        labels=labels.astype(np.int64),
        names=tuple(f"{CLASSES[int(label)]}/{i:04d}.png" for i, label in enumerate(labels)),
        hashes=tuple(hashlib.sha256(plate.tobytes()).hexdigest() for plate in pixels),
        classes=CLASSES,
        groups=np.arange(len(labels), dtype=np.int64),
        good=0,
        name=SYNTHETIC,
        test_share=TEST_SHARE,
    )


def draw_plate(rng: np.random.Generator, size: int, defective: bool) -> np.ndarray:
    """One plate uint8 (size, size), exposed to about the same mean brightness as every other."""
    plate = rng.uniform(100, 120) * _light(rng, size) + rng.uniform(9, 15) * _dots(rng, size)
    if defective:
        names = list(DEFECTS)
        contrast = rng.uniform(*(FAINT if rng.random() < FAINT_SHARE else PLAIN))
        for _ in range(rng.integers(1, MAX_DEFECTS + 1)):
            draw = DEFECTS[names[rng.integers(len(names))]]
            _add_patch(rng, plate, draw(rng, contrast))
    _add_noise(rng, plate)
    return np.clip(np.rint(plate), 0, 255).astype(np.uint8)


def _dots(rng: np.random.Generator, size: int) -> np.ndarray:
    """Dots between 0 and 1 on a turned lattice whose pitch and radius change along the plate."""
    axis = np.arange(size) / size - 0.5
    ux, uy = unit_vector(rng)
    u, v = axis * ux + axis[:, None] * uy, axis[:, None] * ux - axis * uy  # in plate sizes, from the middle
    pitch, density = rng.uniform(4, 6.5), rng.uniform(-0.25, 0.25)
    row = (v * size / pitch) + 64
    column = (u + density * u * u) * size / pitch + 64
    row_index = np.floor(row)
    if rng.random() < 0.5:  # every other row shifted by half a pitch
        column = column + 0.5 * (row_index % 2)
    column_index = np.floor(column)
    cell = (row_index.astype(np.intp) % 128) * 128 + column_index.astype(np.intp) % 128
    wobble, strength = rng.uniform(-0.07, 0.07, (2, 128 * 128)), rng.uniform(0.8, 1.0, 128 * 128)
    du = column - column_index - 0.5 + wobble[0][cell]
    dv = row - row_index - 0.5 + wobble[1][cell]
    radius = rng.uniform(0.28, 0.38) + rng.uniform(-0.1, 0.1) * u
    return strength[cell] * np.clip((radius - np.sqrt(du * du + dv * dv)) * pitch * 0.5 + 0.5, 0, 1)


def _light(rng: np.random.Generator, size: int) -> np.ndarray:
    """Uneven brightness around 1: a slope away from the lamp and a few wide, weak clouds."""
    axis = np.arange(size) / size - 0.5
    x, y = np.broadcast_to(axis, (size, size)), np.broadcast_to(axis[:, None], (size, size))
    ux, uy = unit_vector(rng)
    light = 1 + rng.uniform(0.02, 0.15) * (x * ux + y * uy)
    for _ in range(4):
        cx, cy = rng.uniform(-0.6, 0.6, 2)
        light += rng.uniform(-0.08, 0.08) * bump((x - cx) ** 2 + (y - cy) ** 2, rng.uniform(0.25, 0.6))
    return light


def _add_noise(rng: np.random.Generator, plate: np.ndarray) -> None:
    """Sensor noise, and single hot and dead pixels, which are no defect of the plate."""
    plate += rng.uniform(1.5, 3) * rng.standard_normal(plate.shape)
    rows, columns = rng.integers(len(plate), size=(2, BAD_PIXELS))
    plate[rows, columns] += rng.uniform(-95, 95, BAD_PIXELS)


def _add_patch(rng: np.random.Generator, plate: np.ndarray, patch: np.ndarray) -> None:
    """Add a patch at a random place; what reaches over the border is cut."""
    size, side = len(plate), len(patch)
    top, left = rng.integers(MARGIN, size - MARGIN, 2) - side // 2
    rows = slice(max(0, top), min(size, top + side))
    columns = slice(max(0, left), min(size, left + side))
    plate[rows, columns] += patch[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
