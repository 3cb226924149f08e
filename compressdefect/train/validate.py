"""Scores to decide by: of a held-out part, or out of fold where images are few."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from compressdefect.data.images import Images
from compressdefect.data.split import Split
from compressdefect.data.split import folds as make_folds
from compressdefect.train.config import FitConfig
from compressdefect.train.fit import EpochReport, FitResult, OnEpoch, fit
from compressdefect.train.schedule import Deadline
from compressdefect.train.task import Records, Task

FOLDS = 3


@dataclass(frozen=True)
class Validation:
    """How a design does on images it was not trained on.

    ``records`` (n, …) belong to the images ``indices`` (n,). ``history`` holds the epochs of all folds, one after
    the other. When ``stopped`` by ``on_epoch``, the later folds were not trained and their images are missing.
    """

    metrics: dict[str, Any]
    score: float
    records: Records
    indices: NDArray[np.int64]
    history: list[EpochReport]
    seconds: float
    images_per_s: float
    stopped: str | None


def validate(
    build: Callable[[], nn.Module],
    images: Images,
    split: Split,
    task: Task,
    config: FitConfig,
    *,
    folds: int = FOLDS,
    only: Sequence[int] | None = None,
    on_epoch: OnEpoch | None = None,
    deadline: Deadline | None = None,
) -> Validation:
    """Train a design on part of the training images and score it on the rest; the test part is not touched.

    With a validation part the network is trained once. Without one (fewer than about 300 training images) it is trained
    ``folds`` times, and every training image is predicted by the network that did not see it.

    Args:
        build: makes a fresh network; called under ``config.seed``, so every fold starts from the same weights.
        images: all images.
        split: its ``train`` and ``val`` parts are used.
        task: gives the loss and the figures.
        config: the recipe of each training.
        folds: number of trainings where there is no validation part.
        only: which of these are made, from 0; all when None.
        on_epoch: sees every epoch (``report.fold`` counts from 0); returning False ends the whole validation.
        deadline: folds share the time that is left equally.
    """
    parts = parts_of(images, split, folds)
    turns = range(len(parts)) if only is None else only
    results: list[FitResult] = []
    for done, fold in enumerate(turns):
        train, held_out = parts[fold]
        network = seeded(build, config.seed)
        fold_deadline = None if deadline is None else deadline.part(1 / (len(turns) - done))
        seen = _numbered(on_epoch, fold)
        results.append(fit(network, images, train, held_out, task, config, on_epoch=seen, deadline=fold_deadline))
        if results[-1].stopped == "on_epoch":
            break
    held = {fold: (parts[fold][1], result) for fold, result in zip(turns, results, strict=False)}
    return _gather(held, images, task)


def seeded(build: Callable[[], nn.Module], seed: int) -> nn.Module:
    """Build a network whose initial weights depend on the seed alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build()


def parts_of(images: Images, split: Split, count: int = FOLDS) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """What a design is trained and scored on: the training and validation part, or that of each fold in turn."""
    if len(split.val):
        return [(split.train, split.val)]
    part = split.train
    pairs = make_folds(images.labels[part], images.groups[part], count, split.seed)
    return [(part[train], part[held_out]) for train, held_out in pairs]


def _numbered(on_epoch: OnEpoch | None, fold: int) -> OnEpoch | None:
    return None if on_epoch is None else lambda report: on_epoch(replace(report, fold=fold))


def _gather(held: dict[int, tuple[NDArray[np.int64], FitResult]], images: Images, task: Task) -> Validation:
    """Put the folds' predictions together, in the order of the images."""
    results = [result for _, result in held.values()]
    indices = np.concatenate([held_out for held_out, _ in held.values()])
    records = np.concatenate([r.val_records for r in results if r.val_records is not None])
    order = np.argsort(indices)
    indices, records = indices[order], records[order]
    labels, seconds = task.labels(images, indices), sum(result.seconds for result in results)
    return Validation(
        metrics=task.metrics(records, labels, groups=images.groups[indices]),
        score=task.score(records, labels),
        records=records,
        indices=indices,
        history=[replace(epoch, fold=fold) for fold, (_, result) in held.items() for epoch in result.history],
        seconds=seconds,
        images_per_s=sum(result.images_per_s * result.seconds for result in results) / max(seconds, 1e-9),
        stopped=next((result.stopped for result in results if result.stopped), None),
    )
