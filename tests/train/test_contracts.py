from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from compressdefect.data.images import Images
from compressdefect.train import classify, segment
from compressdefect.train.classify import Classify
from compressdefect.train.segment import Segment
from tests.contracts import TaskContract


class TestClassify(TaskContract):
    metrics = tuple(classify.METRICS)

    @pytest.fixture
    def plates(self, images: Images) -> Images:
        return images.subset(np.arange(24))

    @pytest.fixture
    def task(self, plates: Images) -> Classify:
        return Classify(plates.classes, plates.good)

    @pytest.fixture
    def net(self, tiny_network: Any) -> nn.Module:
        torch.manual_seed(0)
        return tiny_network()


class TestSegment(TaskContract):
    metrics = tuple(segment.METRICS)

    @pytest.fixture
    def plates(self, marked: Images) -> Images:
        return marked.subset(np.arange(24))

    @pytest.fixture
    def task(self, plates: Images) -> Segment:
        return Segment(("background", *plates.regions))

    @pytest.fixture
    def net(self, tiny_decoder: Any) -> nn.Module:
        torch.manual_seed(0)
        return tiny_decoder()
