"""Who may teach."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from compressdefect.errors import DataError
from compressdefect.flow.prepare import Prepared
from compressdefect.flow.teachers import check_leak
from tests.data.conftest import blank_images


@pytest.mark.parametrize("part", ["train", "heard"])
def test_a_teacher_may_know_nothing_that_judges_be_it_through_others(part: str) -> None:
    """Image 2 is a copy of image 3, which is tested on."""
    images = blank_images([0, 1, 0, 1], [0, 1, 2, 2])
    split: Any = SimpleNamespace(val=np.array([], dtype=np.int64), test=np.array([3]))
    known = {"train": [images.hashes[0]]}
    data = Prepared(images, split, task=None)  # type: ignore[arg-type]
    check_leak(_named("one"), _bundle(known), data)
    known = {**known, part: [images.hashes[2]]}
    with pytest.raises(DataError, match="one was trained on images that the student is judged by: got 1, such as"):
        check_leak(_named("one"), _bundle(known), data)


def _named(name: str) -> Any:
    return SimpleNamespace(name=name)


def _bundle(split: dict[str, list[str]]) -> Any:
    return SimpleNamespace(manifest=SimpleNamespace(files={"split.json"}), read=lambda _: json.dumps(split).encode())
