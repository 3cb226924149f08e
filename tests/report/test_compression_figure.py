"""The figure of a compression, from the steps in a bundle's manifest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from compressdefect.report.evidence import Evidence
from compressdefect.report.figures import compression
from compressdefect.report.gallery import compute as gallery_of
from compressdefect.report.html import render

WHOLE = {
    "title": "as it was",
    "metric": 0.9,
    "escape": 0.1,
    "params": 9000,
    "macs": 9000,
    "reasons": [],
    "ships": False,
}
STEPS: list[dict[str, Any]] = [
    {**WHOLE, "latency_ms": 2.0, "bytes": 4 * 2**20},
    {**WHOLE, "title": "pruned", "metric": 0.8, "latency_ms": 1.0, "bytes": 2 * 2**20, "reasons": ["lost"]},
    {**WHOLE, "title": "int8, U8S8", "metric": 0.895, "latency_ms": 0.5, "bytes": 2**20, "ships": True},
]


@pytest.fixture
def compressed(evidence_of: Callable[..., Evidence]) -> Evidence:
    found = evidence_of(trials=0)
    assert found.best is not None
    manifest = found.best.manifest.model_copy(update={"steps": tuple(STEPS), "metrics": {"val": {"n": 100}}})
    options = {**found.manifest.get("options", {}), "max_drop": 0.5}
    return replace(found, manifest={**found.manifest, "options": options}, best=found.best._replace(manifest=manifest))


def test_each_step_is_a_point_in_both_panels(compressed: Evidence) -> None:
    data = compression.compute(compressed)
    assert [(step.holds, step.ships) for step in data.steps] == [(True, False), (False, False), (True, True)]
    assert data.floor == pytest.approx(0.9 - 1 / 100)  # one image is more than half a point
    drawn = compression.draw(data)
    ways = [trace for trace in drawn.data if trace.line.dash == "dot"]
    assert [list(way.x) for way in ways] == [[2.0, 1.0, 0.5], [4.0, 2.0, 1.0]]
    assert all(list(way.y) == pytest.approx([90, 80, 89.5]) for way in ways)
    stars = [trace for trace in drawn.data if trace.name == "ships"]
    assert [(trace.xaxis, list(trace.x)) for trace in stars] == [("x", [0.5]), ("x2", [1.0])]
    assert stars[0].text == ("int8, U8S8<br>89.5 % at 0.500 ms",)


def test_a_model_that_was_not_compressed_has_no_such_figure(evidence_of: Callable[..., Evidence]) -> None:
    assert compression.compute(evidence_of(trials=0)) is None


def test_the_report_shows_it(compressed: Evidence) -> None:
    assert 'id="figure-compression"' in render(compressed, gallery_of(compressed, None, None))
