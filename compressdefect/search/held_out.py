"""What finished trials answered on validation images: the file it is kept in, and how it is measured.

A trial's answers are one ``.npy`` file in the run folder, named by the design's fingerprint: an index and a task's
record for each image, in a structured array without Python objects. It is there before the trial counts as finished.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from compressdefect.data.images import Images
from compressdefect.data.verdict import defect_scores
from compressdefect.errors import DataError
from compressdefect.runs import atomic_write, make_folder
from compressdefect.search.winner import Figure, Measures
from compressdefect.train.metrics import area_under_roc
from compressdefect.train.task import Records, Task

FOLDER = "validation"
AUC = "area under the ROC curve"


class HeldOut(NamedTuple):
    """A task's records (n, …) of the images ``indices`` (n,), in ascending order."""

    indices: NDArray[np.int64]
    records: Records


def held_out_path(run: Path, fingerprint: str) -> Path:
    """Where a run folder keeps the answers of a design."""
    return run / FOLDER / f"{fingerprint}.npy"


def write_held_out(path: Path, answers: HeldOut) -> None:
    """Keep a trial's answers.

    Raises:
        RunError: the folder cannot be written.
    """
    records = answers.records
    kept = np.empty(len(records), [("index", np.int64), ("record", records.dtype, records.shape[1:])])
    kept["index"], kept["record"] = answers.indices, records
    content = io.BytesIO()
    np.save(content, kept, allow_pickle=False)
    make_folder(path.parent)
    atomic_write(path, content.getvalue())


def read_held_out(path: Path) -> HeldOut | None:
    """A trial's answers; None where there are none, or none that can be read."""
    try:
        kept = np.load(path, allow_pickle=False)
        return HeldOut(kept["index"], kept["record"])
    except (OSError, EOFError, ValueError, IndexError):
        return None


def measures_of(task: Task, images: Images, indices: NDArray[np.integer]) -> Measures:
    """How answers on these images decide: the task's metric and, with a good class, the area under the ROC curve."""
    labels, good = task.labels(images, indices), task.good

    def metric(records: Records, rows: NDArray[np.integer]) -> float:
        try:
            return task.score(records, labels[rows])
        except DataError:  # a draw without the images that the metric is of
            return float("nan")

    def ranking(records: Records, rows: NDArray[np.integer]) -> float:
        return area_under_roc(defect_scores(task.image_probabilities(records), good or 0), labels[rows] != good)

    figures: dict[str, Figure] = {task.metric: metric}
    return Measures(figures if good is None else {**figures, AUC: ranking}, images.groups[indices])
