"""The second third of a delivery: what a finished network does on the test images, once."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from compressdefect.data.images import Images
from compressdefect.deploy.assignment import Assignment
from compressdefect.train.fit import using_threads
from compressdefect.train.predict import predict
from compressdefect.train.task import Records, Task


@dataclass(frozen=True)
class Judged:
    """The figures on the test images, and the answers for each of them as JSON text."""

    test: dict[str, Any]
    predictions: str


def judge(job: Assignment, network: nn.Module, threshold: float | None) -> Judged:
    """Predict the test part at the threshold that validation gave."""
    with using_threads(job.config.threads):
        records = predict(network, job.images, job.split.test, job.task)
    return judged(job, records, threshold)


def judged(job: Assignment, records: Records, threshold: float | None) -> Judged:
    """The figures of what was answered on the test part, by a network or by a graph."""
    test = metrics(job.task, job.images, job.split.test, records, threshold=threshold, choose=False)
    return Judged(test, _predictions(job, records, threshold))


def metrics(
    task: Task,
    images: Images,
    indices: NDArray[np.int64],
    records: Records,
    *,
    threshold: float | None = None,
    choose: bool = True,
) -> dict[str, Any]:
    """A task's figures on some of the images; intervals are over their groups. See ``Task.metrics``."""
    labels, groups = task.labels(images, indices), images.groups[indices]
    return task.metrics(records, labels, threshold=threshold, groups=groups, choose=choose)


def _predictions(job: Assignment, records: Records, threshold: float | None) -> str:
    """The answers for whole test images, as JSON."""
    test = job.split.test
    return json.dumps(
        {
            "split": "test",
            "names": [job.images.names[i] for i in test],
            "labels": job.task.labels(job.images, test).tolist(),
            "groups": job.images.groups[test].tolist(),
            "probabilities": job.task.image_probabilities(records).astype(float).tolist(),
            "threshold": threshold,
        }
    )
