"""The last part of every long command: latency beside peers, and the report."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from compressdefect.data.images import SYNTHETIC, Images
from compressdefect.deploy.benchmark import SHIPPED, Timing, benchmark
from compressdefect.deploy.bundle import Bundle
from compressdefect.deploy.model_ref import ModelRef, resolve_model
from compressdefect.errors import CompressDefectError, RunError
from compressdefect.flow.prepare import load
from compressdefect.flow.stored import options_of
from compressdefect.flow.voice import Voice
from compressdefect.models.designs import made_for
from compressdefect.options import PEERS, DataOptions, JobOptions
from compressdefect.report.gallery import Explanation, Layer, Part
from compressdefect.report.html import write_report
from compressdefect.report.originals import Loaded, Originals, Pictures, extent_of
from compressdefect.report.outlines import outlines
from compressdefect.report.pictures import SIDE, cropped, heat
from compressdefect.runs import RunFolder
from compressdefect.train.activation import class_activation_map
from compressdefect.train.predict import answers
from compressdefect.train.task import Task
from compressdefect.train.tasks import task_kind

_PEER_SECONDS = 2.0
_MAPS = 16  # images whose activation maps are made at once


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


def parse_peers(text: str | None, task: str, voice: Voice) -> list[ModelRef]:
    """Resolve the models that a result is shown beside; ``none`` is none.

    One for several tasks is made for the result's, one for another task alone is shown as it is. When nobody named any,
    those of the defaults that cannot be made for the task are left out.

    Raises:
        ModelError: one is unknown, or for several tasks but not for this one.
    """
    if text == "none":
        return []
    peers = [resolve_model(name.strip()) for name in (PEERS if text is None else text.split(","))]
    if text is None:
        lacking = [peer.name for peer in peers if task not in peer.tasks]
        peers = [peer for peer in peers if task in peer.tasks]
        if lacking:
            voice.say(f"no latency is shown of {' and '.join(lacking)}, which cannot {task}; name others with --peers")
    return [_made_for(task, peer) if len(peer.tasks) > 1 else peer for peer in peers]


def _made_for(task: str, peer: ModelRef) -> ModelRef:
    """A timm model as what a task needs; where that is more than the model itself, its name says so."""
    design = made_for(peer.design, task)
    return replace(peer, name=design.title, design=design)


def time_beside_peers(run: RunFolder, peers: Sequence[ModelRef], *, threads: int) -> list[dict[str, Any]]:
    """Time the delivered model and its peers in one interleaved run; the rows go into the manifest."""
    if not peers:
        return []
    own = resolve_model(str(run.best))
    assert own.bundle is not None
    rows = benchmark(
        [own, *peers], precisions=(SHIPPED,), timing=Timing(threads=(threads,), max_seconds=_PEER_SECONDS)
    )["rows"]
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
    given = {"bits": bundle.manifest.preprocessing.bits, **({} if data is None else {"data": data})}
    options = options_of(run, JobOptions, given)
    if images is None:
        images = _images_again(options, bundle, given=data is not None)
    if images is None:
        return write_report(run.path)
    task = bundle.task()
    explanation = _explanation(bundle, task, images)
    return write_report(run.path, images=_pictures(options, images), explanation=explanation)


def _images_again(options: DataOptions, bundle: Bundle, *, given: bool) -> Images | None:
    voice = Voice()
    try:
        kind = task_kind(bundle.manifest.task)
        return load(options, kind, input=bundle.manifest.input[1], tile=options.tile, voice=voice)
    except CompressDefectError as error:
        if given:
            raise
        voice.say(f"the gallery has no pictures: {error}")
        return None


def _pictures(options: DataOptions, images: Images) -> Pictures:
    """The images' own files, or where there are none what the network was shown."""
    if options.data == SYNTHETIC:
        return Loaded(images)
    try:
        return Originals.open(
            options.data,
            format=options.format,
            labels=options.labels,
            good=options.good,
            unlabelled=options.unlabelled,
            bits=images.bits,
        )
    except CompressDefectError:
        return Loaded(images)


def _explanation(bundle: Bundle, task: Task, images: Images) -> Explanation | None:
    """What is shown beside a mistake: where defects are, where the network looked, or nothing if neither is known."""
    network, threshold = bundle.network(), bundle.manifest.threshold
    if task.marks(answers(network, images, np.array([0]), task), threshold) is not None:
        return _outlines(network, threshold, task, images)
    answers_classes = tuple(task.heads.values()) == (task.classes,)
    return _activation_maps(network, images) if answers_classes else None


def _outlines(network: nn.Module, threshold: float | None, task: Task, images: Images) -> Explanation:
    """Where the true defects are, as far as that is known, and what the network would reject the part for."""
    rows = {name: row for row, name in enumerate(images.names)}

    def layer(name: str) -> Layer | None:
        row = rows[name]
        marks = task.marks(answers(network, images, np.array([row]), task), threshold)
        if marks is None:
            return None
        answer = marks[0]
        truth = np.zeros_like(answer) if images.masks is None else images.mask(row) > 0
        extent = extent_of(answer)

        def draw(part: Part) -> NDArray[np.uint8]:
            box = part.box(*truth.shape)
            return outlines(cropped(truth, box), cropped(answer, box), SIDE)

        return Layer(draw, Part.of(extent.box, *answer.shape) if extent else None)

    defects = "" if images.masks is None else "blue around the defects that are marked, "
    note = f"Each picture stands beside itself with outlines over it: {defects}orange around the pixels that the model"
    note += " would reject the part for."
    return Explanation(note, "outlines", lambda asked: [layer(name) for name, _ in asked])


def _activation_maps(network: nn.Module, images: Images) -> Explanation:
    """What spoke for a class."""
    rows = {name: row for row, name in enumerate(images.names)}

    def layers(asked: Sequence[tuple[str, int]]) -> list[Layer]:
        drawn: list[Layer] = []
        for few in (asked[start : start + _MAPS] for start in range(0, len(asked), _MAPS)):
            pixels = torch.from_numpy(np.ascontiguousarray(images.pixels[[rows[name] for name, _ in few]]))
            maps = class_activation_map(network, pixels, torch.tensor([index for _, index in few]))
            drawn += [Layer(partial(_heat, values)) for values in maps]
        return drawn

    note = "Each picture stands beside itself with the class activation map over it: the redder, the more that place"
    note += " spoke for the class named under it, and clear where none did. Of a defect that is there it is that class,"
    note += " also where the model missed it."
    return Explanation(note, "map of {}", layers)


def _heat(values: NDArray[np.floating[Any]], part: Part) -> NDArray[np.uint8]:
    return heat(cropped(values, part.box(*values.shape)))
