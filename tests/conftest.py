"""Shared fixtures. Real datasets are used where they lie beside the project and skipped elsewhere."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from PIL import Image

if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # of each process: threads of several would wait for one another

_BESIDE = Path(__file__).resolve().parents[2] / "shared" / "data"
SHARED_DATA: Path | None = _BESIDE if _BESIDE.is_dir() else None

settings.register_profile("shared", deadline=None, derandomize=True)  # machines differ in speed; a failure repeats
settings.load_profile("shared")


@pytest.fixture(scope="session")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 40 grey images of 32 × 32 pixels: 20 good parts of noise, 20 with a bright scratch."""
    root, rng = tmp_path_factory.mktemp("data") / "parts", np.random.default_rng(0)
    for label in ("good", "scratch"):
        (root / label).mkdir(parents=True)
        for number in range(20):
            pixels = rng.integers(60, 120, (32, 32)).astype(np.uint8)
            if label == "scratch":
                pixels[rng.integers(4, 28), 4:28] = 250
            Image.fromarray(pixels).save(root / label / f"{number:02}.png")
    return root
