"""16-bit images are converted for a model as they were for its training."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from compressdefect import api
from compressdefect.deploy.bundle import Bundle
from compressdefect.errors import DataError

TINY: dict[str, Any] = {"input": 32, "epochs": 1, "peers": "none", "test_share": 0.5}


@pytest.fixture(scope="module")
def deep_parts(parts: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The grey parts in 16-bit files, up to 4000 of 65535."""
    root = tmp_path_factory.mktemp("deep") / "parts"
    for path in parts.rglob("*.png"):
        pixels = np.asarray(Image.open(path)).astype(np.uint16) * 16
        (root / path.parent.name).mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(root / path.parent.name / path.name)
    return root


@pytest.fixture(scope="module")
def trained(deep_parts: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("runs") / "run"
    return api.train("lightdefectnet", data=str(deep_parts), run_dir=folder, **TINY)


def test_the_bundle_says_how_many_bits_it_takes(trained: dict[str, Any]) -> None:
    best = Path(trained["run"]) / "best"
    manifest = Bundle.open(best).manifest
    assert manifest.preprocessing.bits == 12
    assert 60 < manifest.preprocessing.mean[0] < 120  # grey as in the 8-bit files, not black
    assert "of 16-bit files 12 bits" in (best / "card.md").read_text()


def test_a_model_is_evaluated_on_its_own_bits(trained: dict[str, Any], deep_parts: Path, tmp_path: Path) -> None:
    assert api.evaluate(trained["run"])["test"] == trained["test"]
    root = tmp_path / "parts"
    shutil.copytree(deep_parts, root)
    Image.fromarray(np.full((32, 32), 9000, dtype=np.uint16)).save(root / "good" / "bright.png")
    with pytest.raises(DataError, match=r"good/bright\.png is brighter than --bits 12 allows: got 9000, where 4095"):
        api.evaluate(trained["run"], data=str(root))


def test_other_bits_are_taken_at_a_word(deep_parts: Path, tmp_path: Path) -> None:
    found = api.train("lightdefectnet", data=str(deep_parts), run_dir=tmp_path / "run", bits=14, **TINY)
    assert Bundle.open(Path(found["run"]) / "best").manifest.preprocessing.bits == 14
