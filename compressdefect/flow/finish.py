"""The last part of every long command: latency beside peers, and the report."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from compressdefect.data.images import Images
from compressdefect.deploy.benchmark import benchmark
from compressdefect.deploy.bundle import Bundle
from compressdefect.deploy.model_ref import ModelRef, resolve_model
from compressdefect.errors import CompressDefectError, RunError
from compressdefect.flow.prepare import load
from compressdefect.flow.stored import options_of
from compressdefect.flow.voice import Voice
from compressdefect.options import DataOptions
from compressdefect.report.gallery import PICTURE_SIDE, ActivationMap, Layers
from compressdefect.report.html import write_report
from compressdefect.report.outlines import outlines
from compressdefect.runs import RunFolder
from compressdefect.train.activation import class_activation_map
from compressdefect.train.predict import answers
from compressdefect.train.task import Task

_PEER_SECONDS = 2.0


@contextlib.contextmanager
def recorded(run: RunFolder, images: Images) -> Iterator[None]:
    """Leave a run folder that says how its command ended, with a report of what there is.

    Trouble with the folder or the storage stops a run without failing it. What goes wrong while a failure is being
    recorded does not hide the failure.
    """
    try:
        yield
    except BaseException as error:
        with contextlib.suppress(CompressDefectError, OSError):
            run.finish("stopped" if isinstance(error, KeyboardInterrupt | RunError) else "failed")
            write_run_report(run, images=images)
        raise


def parse_peers(text: str, task: str) -> list[ModelRef]:
    """Resolve the models that a result is shown beside, made for its task where they can be; ``none`` is none.

    Raises:
        ModelError: one is unknown.
    """
    found = [] if text == "none" else [resolve_model(name.strip()) for name in text.split(",")]
    return [_made_for(task, peer) if len(peer.tasks) > 1 else peer for peer in found]


def _made_for(task: str, peer: ModelRef) -> ModelRef:
    """A timm model as what a task needs; where that is more than the model itself, its name says so."""
    design = peer.design.for_task(task)
    return replace(peer, name=design.title, design=design)


def time_beside_peers(run: RunFolder, peers: Sequence[ModelRef], *, threads: int) -> list[dict[str, Any]]:
    """Time the delivered model and its peers in one interleaved run; the rows go into the manifest."""
    if not peers:
        return []
    own = resolve_model(str(run.best))
    assert own.bundle is not None
    rows = benchmark([own, *peers], threads=(threads,), max_seconds=_PEER_SECONDS)["rows"]
    for row in rows:
        row["model"] = own.bundle.manifest.name if row["model"] == own.name else row["model"]
    run.update_manifest(peers=rows)
    return list(rows)


def write_run_report(run: RunFolder, *, images: Images | None = None, data: str | None = None) -> Path:
    """Write the report; its gallery shows the images given, or loads them again from where they were.

    Images that can no longer be loaded leave a report that names its mistakes without showing them.
    """
    bundle = Bundle.open(run.best) if (run.best / "bundle.json").is_file() else None
    if bundle is None:
        return write_report(run.path)
    if images is None:
        images = _images_again(run, bundle, data)
    task = bundle.task()
    if "masks" not in task.needs:
        return write_report(run.path, images=images, cam=_activation_maps(bundle))
    return write_report(run.path, images=images, layers=None if images is None else _outlines(bundle, task, images))


def _images_again(run: RunFolder, bundle: Bundle, data: str | None) -> Images | None:
    given = {"bits": bundle.manifest.preprocessing.bits, **({} if data is None else {"data": data})}
    options, voice = options_of(run, DataOptions, given), Voice()
    try:
        return load(options, input=bundle.manifest.input[1], needs=bundle.task().needs, tile=options.tile, voice=voice)
    except CompressDefectError as error:
        if data is not None:
            raise
        voice.say(f"the gallery has no pictures: {error}")
        return None


def _outlines(bundle: Bundle, task: Task, images: Images) -> Layers:
    """Green around the true defects, red around those that the bundle's network finds at its threshold."""
    network, threshold = bundle.network(), bundle.manifest.threshold

    def layer(row: int) -> NDArray[np.uint8]:
        marks = task.marks(answers(network, images, np.array([row]), task), threshold)
        assert marks is not None, "a task of masks says where a defect is"
        return outlines(images.mask(row) > 0, marks[0], PICTURE_SIDE)

    return lambda rows: [layer(row) for row in rows]


def _activation_maps(bundle: Bundle) -> ActivationMap:
    network = bundle.network()

    def maps(pixels: NDArray[np.uint8], index: int) -> NDArray[np.floating[Any]]:
        return class_activation_map(network, torch.from_numpy(np.ascontiguousarray(pixels)), index)

    return maps
