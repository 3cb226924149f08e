"""The first third of a delivery: train a network to its end, and find the threshold that it ships with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compressdefect.deploy.assignment import Assignment, Earlier
from compressdefect.deploy.judging import metrics
from compressdefect.errors import TrainingError
from compressdefect.models.inspector import Inspector
from compressdefect.models.weights import load_weights
from compressdefect.train.fit import FitResult, OnEpoch, fit
from compressdefect.train.schedule import Deadline
from compressdefect.train.task import Records
from compressdefect.train.validate import FOLDS, parts_of, validate

Say = Callable[[str], None]


@dataclass(frozen=True)
class Trained:
    """A finished network, its figures on validation images (none where nothing was decided), and how it was trained."""

    network: Inspector
    val: dict[str, Any]
    training: dict[str, Any]


def train_to_end(
    job: Assignment,
    *,
    decides: bool = True,
    deadline: Deadline | None = None,
    on_epoch: OnEpoch | None = None,
    say: Say = lambda step: None,
) -> Trained:
    """Train a design by its recipe.

    The validation part is left out of the training and gives the threshold. Where there is none, all training images
    are used, and the threshold comes from out-of-fold trainings by the same recipe: of networks as good as the one that
    ships, so that their scores lie where its scores will. Folds that were trained earlier are not trained again, and
    the others for as many epochs as these.

    Args:
        job: what to train.
        decides: whether anything is decided; if not, there is no threshold, and no escape and overkill either.
        deadline: for all trainings.
        on_epoch: sees every epoch of every training.
        say: is told each step in a few words.

    Raises:
        TrainingError: the training diverged, or there was no time for it.
    """
    val: dict[str, Any] = {}
    if job.earlier is not None and len(job.split.val):
        val = metrics(job.task, job.images, job.earlier.indices, job.earlier.records)
        finished = _finished(job, job.earlier)
        if finished is not None:
            return Trained(finished, val, _taken_over(job, finished, job.earlier))
        say("the weights that were trained before are missing or damaged: they are trained again")
    elif decides and not len(job.split.val):
        val = metrics(job.task, job.images, *_out_of_fold(job, deadline, on_epoch, say))
    say("training the final model")
    network = job.network()
    pupil, split = job.pupil(network), job.split
    fitted = fit(
        pupil, job.images, split.train, split.val, job.learned, job.config, deadline=deadline, on_epoch=on_epoch
    )
    if not fitted.history:
        raise TrainingError("there was no time left to train the model", fix="give it more --time")
    if fitted.val_records is not None:
        val = metrics(job.task, job.images, job.split.val, fitted.val_records)
    return Trained(network, val, _described(job, network, fitted))


def _out_of_fold(
    job: Assignment, deadline: Deadline | None, on_epoch: OnEpoch | None, say: Say
) -> tuple[NDArray[np.int64], Records]:
    """The training images and what networks answer on them that have not seen them."""
    known, config = job.earlier, job.config
    held_out = [part for _, part in parts_of(job.images, job.split)]
    left = [fold for fold in range(FOLDS) if known is None or not np.isin(held_out[fold], known.indices).all()]
    if known is not None:
        config = replace(config, epochs=known.epochs)
        if not left:
            return known.indices, known.records
    say(f"training {len(left)} times on parts of the images, for the threshold")
    if deadline is not None:
        folds_epochs = len(left) * (FOLDS - 1) / FOLDS * config.epochs
        deadline = deadline.part(folds_epochs / (folds_epochs + job.config.epochs))
    found = validate(
        lambda: job.pupil(job.network()),
        job.images,
        job.split,
        job.learned,
        config,
        only=left,
        deadline=deadline,
        on_epoch=on_epoch,
    )
    if known is None:
        return found.indices, found.records
    indices = np.concatenate([known.indices, found.indices])
    records = np.concatenate([known.records, found.records])
    order = np.argsort(indices)
    return indices[order], records[order]


def _finished(job: Assignment, earlier: Earlier) -> Inspector | None:
    """The network as it was trained; None where its weights are not there, or are damaged."""
    network = job.network()
    if earlier.weights is None:
        return None
    try:
        load_weights(network, earlier.weights)
    except ValueError:
        return None
    return network.eval()


def _taken_over(job: Assignment, network: Inspector, earlier: Earlier) -> dict[str, Any]:
    return {
        **asdict(job.config),
        "epochs_trained": earlier.epochs,
        "seconds": round(earlier.seconds, 1),
        "weights": _count(network),
    }


def _count(network: Inspector) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def _described(job: Assignment, network: Inspector, fitted: FitResult) -> dict[str, Any]:
    return {
        **asdict(job.config),
        "epochs_trained": len(fitted.history),
        "seconds": round(fitted.seconds, 1),
        "images_per_s": round(fitted.images_per_s, 1),
        "weights": _count(network),
        **({} if job.lesson is None else {"lesson": dict(job.lesson.facts)}),
    }
