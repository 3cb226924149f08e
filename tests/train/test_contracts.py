from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from compressdefect.data.images import Images
from compressdefect.data.load import load_images
from compressdefect.data.truth import Truth
from compressdefect.models.inspector import Inspector
from compressdefect.train.classify import Classify
from compressdefect.train.segment import Segment
from compressdefect.train.task import Answers, Task
from tests.contracts import TaskContract
from tests.toys.family import Toy, design
from tests.toys.locate import SIDE, Locate
from tests.toys.pictures import write_voc


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


class TestLocate(TaskContract):
    """A task from outside, of two heads and two answers."""

    def perfect(self, task: Task, truth: Truth) -> Answers:
        assert isinstance(task, Locate)
        assert truth.boxes is not None
        first = torch.stack([rows[0] if len(rows) else torch.full((5,), -1.0) for rows in truth.boxes])
        kinds = torch.arange(len(task.kinds)) == first[:, 4:]
        return {"scores": kinds.float(), "boxes": first[:, :4]}

    @pytest.fixture
    def plates(self, tmp_path: Path) -> Images:
        folder = write_voc(tmp_path / "voc", count=24, side=SIDE)
        return load_images(folder, input=SIDE, boxes=True, group="none")

    @pytest.fixture
    def task(self, plates: Images) -> Locate:
        return Locate(plates.regions)

    @pytest.fixture
    def net(self, task: Locate) -> nn.Module:
        torch.manual_seed(0)
        return Inspector.from_statistics(Toy().describe(design(), task.heads).build(1), [120.0], [60.0])
