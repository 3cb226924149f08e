"""What an exported graph answers, on the runtime that ships."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from compressdefect.cost.latency import open_session
from compressdefect.data.images import Images
from compressdefect.deploy.export import INPUT
from compressdefect.errors import BundleError
from compressdefect.train.predict import Answering, predict_by
from compressdefect.train.task import Answers, Records, Task


def predict_graph(graph: Path | bytes, images: Images, indices: NDArray[np.integer], task: Task) -> Records:
    """The task's records (n, …) of images as onnxruntime answers them; see ``train.predict.predict``.

    Args:
        graph: of free batch, as ``export_onnx`` writes it, of any precision.
        images: all images.
        indices: those to predict (n,).
        task: makes records of answers.

    Raises:
        BundleError: an answer is not finite.
        ModelError: onnxruntime cannot run the graph.
    """
    return predict_by(graph_answering(graph, task), images, indices, task)


def graph_answering(graph: Path | bytes, task: Task) -> Answering:
    """Has a graph's answers to pixels, with all cores."""
    session = open_session(graph, threads=os.cpu_count() or 1)

    def answering(pixels: Tensor) -> Answers:
        found = session.run([*task.outputs], {INPUT: np.ascontiguousarray(pixels.numpy())})
        if not all(np.isfinite(array).all() for array in found):
            raise BundleError("the graph's answers are not finite", fix="do not ship it")
        return {name: torch.from_numpy(array) for name, array in zip(task.outputs, found, strict=True)}

    return answering
