"""NetScore against the figures that the paper's own table gives (accuracy, params, FLOPs of Table 1)."""

from __future__ import annotations

import math

import pytest

from compressdefect.cost.netscore import netscore

# name: accuracy, params, flops (2 per mac), NetScore computed from them by hand
TABLE = {
    "lightdefectnet": (0.982, 0.77e6, 93e6, 94.15),
    "mobilenetv3_large": (0.978, 5.4e6, 438e6, 78.89),
    "mnasnet": (0.894, 3.9e6, 630e6, 77.16),
    "efficientnet_b0": (0.980, 5.3e6, 780e6, 76.50),
    "resnet50": (0.928, 25.6e6, 8200e6, 58.49),
}


@pytest.mark.parametrize("name", TABLE)
def test_golden_values(name: str) -> None:
    accuracy, params, flops, expected = TABLE[name]
    assert round(netscore(accuracy, int(params), int(flops / 2)), 2) == expected


def test_latency_counts_only_with_an_exponent() -> None:
    plain = netscore(0.9, 10**6, 10**8)
    assert netscore(0.9, 10**6, 10**8, latency_ms=10.0) == plain
    assert netscore(0.9, 10**6, 10**8, latency_ms=10.0, delta=0.5) == pytest.approx(plain - 10)


def test_zeros_are_guarded() -> None:
    assert netscore(0.0, 10**6, 10**8) == -math.inf
    assert math.isfinite(netscore(1.0, 0, 0))
