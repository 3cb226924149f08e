from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from compressdefect.data.images import Images
from compressdefect.data.truth import Truth
from compressdefect.train.classify import Classify
from compressdefect.train.segment import Segment
from compressdefect.train.task import Answers, Task
from tests.contracts import TaskContract


class TestClassify(TaskContract):
    def perfect(self, task: Task, truth: Truth) -> Answers:
        return {"probabilities": nn.functional.one_hot(truth.labels, len(task.classes)).float()}

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
    def perfect(self, task: Task, truth: Truth) -> Answers:
        assert truth.masks is not None
        sure = nn.functional.one_hot(truth.masks.long(), len(task.classes))
        return {"probabilities": sure.movedim(-1, 1).float()}

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
