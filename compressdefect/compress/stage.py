"""A model on its way through a compression, and how every stage of it is measured."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compressdefect.compress.drop import MAX_DROP, Drop, compare
from compressdefect.cost.cost import Cost
from compressdefect.data.images import Images
from compressdefect.data.split import Split
from compressdefect.deploy.export import export_onnx
from compressdefect.deploy.judging import metrics
from compressdefect.deploy.scoring import predict_graph
from compressdefect.models.design import Design
from compressdefect.models.inspector import Inspector
from compressdefect.train.task import Records, Task


@dataclass(frozen=True)
class Stage:
    """A model as one step left it.

    Attributes:
        title: what was done, in a few words.
        design: what its network is built from.
        network: the float network.
        graph: what is run: the network's own graph, or one of it in another precision.
        precision: "fp32" or "int8".
        cost: of one sample.
        records: what it answers on the images that decide.
        drop: what it costs against the model that the compression began with; of that one itself, nothing.
    """

    title: str
    design: Design
    network: Inspector
    graph: Path
    precision: str
    cost: Cost
    records: Records
    drop: Drop

    @property
    def bytes(self) -> int:
        """Of the graph's file."""
        return self.graph.stat().st_size


@dataclass(frozen=True)
class Bench:
    """What every stage is measured on.

    Attributes:
        images: all images.
        split: its validation part decides, or where there is none the training part; the test part is never looked
            at here.
        task: what the models are for.
        folder: where graphs are written.
        max_drop: how much of the metric may be lost, as a share.
        answering: says what a graph answers on the images that decide, where they are no validation part; see
            ``compress.folds``.
        threads: CPU threads that latency is measured with.
    """

    images: Images
    split: Split
    task: Task
    folder: Path
    max_drop: float = MAX_DROP
    answering: Callable[[Path], Records] | None = None
    threads: int = 1
    _numbers: Iterator[int] = field(default_factory=count, repr=False)

    @property
    def deciding(self) -> NDArray[np.int64]:
        """The images that decide (n,)."""
        return self.split.val if len(self.split.val) else self.split.train

    @cached_property
    def labels(self) -> NDArray[np.int64]:
        """Of the images that decide (n,)."""
        return self.task.labels(self.images, self.deciding)

    def stage(self, title: str, design: Design, network: Inspector, *, first: Stage | None = None) -> Stage:
        """Export a float network and measure it, against the stage that a compression began with."""
        graph = self.new_file()
        export_onnx(network, self.task, graph, input_shape=self.images.shape)
        cost = design.cost(input_shape=self.images.shape, heads=self.task.heads, memory=False)
        records = self.answers(graph)
        drop = self.drop(records if first is None else first.records, records)
        return Stage(title, design, network, graph, "fp32", cost, records, drop)

    def answers(self, graph: Path) -> Records:
        """The records of the images that decide, on the runtime that ships."""
        if self.answering is not None:
            return self.answering(graph)
        return predict_graph(graph, self.images, self.deciding, self.task)

    def drop(self, before: Records, after: Records) -> Drop:
        """What answers to the images that decide cost against others."""
        return compare(self.task, self.labels, before, after, max_drop=self.max_drop)

    def figures(self, stage: Stage) -> dict[str, Any]:
        """A stage's figures on the images that decide, with the threshold that they give."""
        return metrics(self.task, self.images, self.deciding, stage.records)

    def new_file(self) -> Path:
        """A path for one more graph."""
        return self.folder / f"{next(self._numbers)}.onnx"
