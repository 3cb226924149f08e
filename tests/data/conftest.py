"""Small datasets on disk and in memory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from compressdefect.data.images import Images
from compressdefect.data.load import load_images
from tests.conftest import SHARED_DATA

WriteImage = Callable[..., Path]


@pytest.fixture
def write_image(tmp_path: Path) -> WriteImage:
    """Write a random picture under tmp_path: grey unless told otherwise, different for every name."""

    def write(name: str, size: tuple[int, int] = (24, 32), channels: int = 1) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng(list(name.encode()))
        coarse = rng.integers(0, 256, (6, 8, channels), dtype=np.uint8).squeeze()
        Image.fromarray(coarse).resize(size[::-1], Image.Resampling.BICUBIC).save(path)
        return path

    return write


@pytest.fixture
def good_and_defective(tmp_path: Path, write_image: WriteImage) -> Path:
    """Six good and four defective images in class folders."""
    for i in range(6):
        write_image(f"good/{i}.png")
    for i in range(4):
        write_image(f"defective/{i}.png")
    return tmp_path


@pytest.fixture(scope="session")
def neu() -> Images:
    """The NEU database at 64², where it is present."""
    if SHARED_DATA is None:
        pytest.skip("shared data not present")
    return load_images(SHARED_DATA / "neu_det", input=64)


def blank_images(labels: list[int], groups: list[int] | None = None, **fields: object) -> Images:
    """Images whose pixels do not matter."""
    count = len(labels)
    values: dict[str, object] = {
        "pixels": np.zeros((count, 1, 4, 4), dtype=np.uint8),
        "labels": np.array(labels, dtype=np.int64),
        "names": tuple(f"{i}.png" for i in range(count)),
        "hashes": tuple(f"{i:064x}" for i in range(count)),
        "classes": tuple(f"class{i}" for i in range(max(labels) + 1)),
        "groups": np.array(range(count) if groups is None else groups, dtype=np.int64),
    }
    return Images(**(values | fields))  # type: ignore[arg-type]
