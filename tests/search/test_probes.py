from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from compressdefect.data.synthetic.plates import plates
from compressdefect.models.inspector import Inspector
from compressdefect.search.probes import probe
from compressdefect.search.rungs import Course
from compressdefect.train.classify import Classify


class Bright(nn.Module):
    """Says how bright an image is; what stage 2 gives is not looked at."""

    def __init__(self) -> None:
        super().__init__()
        self.stage1 = nn.Sequential(nn.Identity(), nn.AdaptiveAvgPool2d(1))
        self.stage2 = nn.Sequential(nn.Identity())

    def forward(self, x: Tensor) -> Tensor:
        found = self.stage1(x).flatten(1)
        self.stage2(found)
        return torch.cat([-found, found], dim=1)


@pytest.fixture
def track() -> Course:
    images = plates(20, 20, 48)
    images.pixels[images.labels == 1] = 255
    return Course(images, np.arange(10), np.arange(40))


def test_a_stage_that_matters_costs_score_when_it_is_noised(track: Course) -> None:
    network = Inspector.from_statistics(Bright(), (100.0,), (80.0,))
    task = Classify(track.images.classes, 0)
    drops = probe(network, track, task)
    assert drops["stage1"] > 0.02
    assert drops["stage2"] == 0.0
    assert probe(network, track, task) == drops


def test_no_more_images_are_probed_than_it_says(track: Course, monkeypatch: pytest.MonkeyPatch) -> None:
    scored: list[int] = []

    def count(task: Classify, records: NDArray[np.floating], labels: NDArray[np.integer]) -> float:
        scored.append(len(records))
        return 0.5

    monkeypatch.setattr(Classify, "fine_score", count)
    network = Inspector.from_statistics(Bright(), (100.0,), (80.0,))
    for most, found in ((24, 20), (40, 40), (100, 40)):
        monkeypatch.setattr("compressdefect.search.probes.PROBED", most)
        probe(network, track, Classify(track.images.classes, 0))
        assert scored[-1] == found
