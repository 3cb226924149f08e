from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from compressdefect.data.images import Images
from compressdefect.data.truth import Truth
from compressdefect.search.held_out import AUC, HeldOut, held_out_path, measures_of, read_held_out, write_held_out
from compressdefect.train.classify import Classify
from compressdefect.train.segment import Segment
from compressdefect.train.task import Task

LABELS = np.array([0, 0, 0, 1, 1, 1])


def images(good: int | None = 0) -> Images:
    masks = np.zeros((6, 4, 4), dtype=np.uint8)
    masks[3:, 1:3, 1:3] = 1
    names = tuple(f"{i}.png" for i in range(6))
    pixels = np.zeros((6, 1, 4, 4), dtype=np.uint8)
    return Images(pixels, LABELS, names, names, ("good", "scratch"), np.arange(6) // 2, good=good, masks=masks)


def classified() -> np.ndarray:
    defect = np.array([0.1, 0.4, 0.2, 0.35, 0.9, 0.8], dtype=np.float32)
    return np.stack([1 - defect, defect], axis=1)


def segmented() -> np.ndarray:
    task, probabilities = Segment(("background", "scratch")), torch.full((6, 2, 4, 4), 0.1)
    probabilities[:, 0] = 0.9
    probabilities[4:, 1, 1:3, 1:3] = 0.8
    probabilities[4:, 0, 1:3, 1:3] = 0.2
    return task.record({"probabilities": probabilities}, Truth.of(images(), np.arange(6), task.needs))


@pytest.mark.parametrize("records", [classified(), segmented()], ids=["classify", "segment"])
def test_answers_are_read_back_as_they_were(tmp_path: Path, records: np.ndarray) -> None:
    path = held_out_path(tmp_path, "0123456789abcdef")
    write_held_out(path, HeldOut(np.array([2, 3, 5, 7, 11, 13]), records))
    found = read_held_out(path)
    assert found is not None
    assert found.indices.tolist() == [2, 3, 5, 7, 11, 13]
    assert found.records.dtype == records.dtype
    assert (found.records == records).all()


@pytest.mark.parametrize("content", [None, b"", b"\x93NUMPY", b"junk"])
def test_answers_that_cannot_be_read_are_none(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "a.npy").write_bytes(content)
    assert read_held_out(tmp_path / "a.npy") is None


def test_another_array_is_none(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros(3))
    assert read_held_out(tmp_path / "a.npy") is None


def test_a_classifier_is_measured_by_its_metric_and_how_it_ranks() -> None:
    """Of the nine pairs of a defective and a good image one is ranked wrongly: 0.35 under 0.4."""
    rows, measures = np.arange(6), measures_of(Classify(("good", "scratch"), 0), images(), np.arange(6))
    found = {name: figure(classified(), rows) for name, figure in measures.figures.items()}
    assert found == {"accuracy": pytest.approx(5 / 6), AUC: pytest.approx(8 / 9)}
    assert measures.groups.tolist() == [0, 0, 1, 1, 2, 2]


def test_without_a_good_class_the_metric_is_alone() -> None:
    measures = measures_of(Classify(("a", "b"), None), images(None), np.arange(6))
    assert list(measures.figures) == ["accuracy"]


def test_a_segmentation_is_measured_on_pooled_pixels_and_whole_images() -> None:
    """Two of three equal defects are found whole: Dice = 2 · 8 / (8 + 12); the third image scores as the good ones."""
    rows, measures = np.arange(6), measures_of(Segment(("background", "scratch")), images(), np.arange(6))
    found = {name: figure(segmented(), rows) for name, figure in measures.figures.items()}
    assert found == {"dice": pytest.approx(0.8), AUC: pytest.approx((6 + 3 * 0.5) / 9)}


@pytest.mark.parametrize(
    ("task", "records"),
    [
        (Segment(("background", "scratch")), segmented()),
        (Classify(("good", "scratch"), 0, metric="escape@overkill"), classified()),
    ],
)
def test_images_that_give_no_figure_give_nan(task: Task, records: np.ndarray) -> None:
    good = np.array([0, 1, 1])
    measures = measures_of(task, images(), np.arange(6))
    assert all(np.isnan(figure(records[good], good)) for figure in measures.figures.values())
