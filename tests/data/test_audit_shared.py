"""The audit finds by itself what is odd about the real datasets."""

from __future__ import annotations

from collections import Counter
from functools import cache

import pytest

from compressdefect.data.audit.audit import Audit, audit
from compressdefect.data.read import read_all
from tests.conftest import SHARED_DATA

pytestmark = pytest.mark.skipif(SHARED_DATA is None, reason="shared data not present")


@cache
def audited(name: str) -> Audit:
    assert SHARED_DATA is not None
    return audit(read_all(SHARED_DATA / name))


def files_of(result: Audit, kind: str) -> set[str]:
    return {name for finding in result.findings if finding.kind == kind for name in finding.files}


def test_neu_det() -> None:
    result = audited("neu_det")
    assert len(result.samples) == 1800
    assert set(result.classes.values()) == {300}
    assert files_of(result, "duplicate") == {"IMAGES/patches_101.jpg", "IMAGES/patches_105.jpg"}
    assert len(files_of(result, "class-mismatch")) == 123
    (depth,) = [finding for finding in result.findings if finding.kind == "metadata-mismatch"]
    assert len(depth.files) == 1800
    assert depth.message == "the annotation says 1 channel, the image has 3"
    assert files_of(result, "near-duplicate") == {"IMAGES/pitted_surface_171.jpg", "IMAGES/pitted_surface_292.jpg"}
    kinds = Counter(finding.kind for finding in result.findings)
    assert kinds == {"class-mismatch": 123, "metadata-mismatch": 1, "duplicate": 1, "near-duplicate": 1}


def test_magnetic_tile() -> None:
    result = audited("magnetic_tile")
    assert len(result.samples) == 1344
    assert result.good == "MT_Free"
    empty = files_of(result, "empty-mask")
    assert len(empty) == 4
    assert all(name.startswith("MT_Uneven/") for name in empty)
    assert {finding.kind for finding in result.findings} == {"empty-mask", "near-duplicate"}
    assert 0.76 < result.leak < 0.82  # 79 % of the test images have a near twin in training after a half split
    assert result.twins > 1100
    typical, _ = Counter(result.groups).most_common(1)[0]
    assert typical == 6  # exposures of a tile


def test_crackforest() -> None:
    result = audited("crackforest")
    assert len(result.samples) == 155
    assert len(files_of(result, "unlabelled")) == 37
    assert {finding.kind for finding in result.findings} == {"unlabelled"}
    assert result.sizes == {(320, 480): 153, (480, 320): 2}


def test_dagm_sample() -> None:
    result = audited("dagm_sample")
    assert result.findings == ()
    assert {part: sum(counts.values()) for part, counts in result.splits.items()} == {"train": 24, "test": 24}
