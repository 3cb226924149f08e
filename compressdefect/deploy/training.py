"""The first third of a delivery: train a network to its end, and find the threshold that it ships with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from compressdefect.deploy.assignment import Assignment, Earlier
from compressdefect.deploy.judging import metrics
from compressdefect.errors import TrainingError
from compressdefect.models.inspector import Inspector
from compressdefect.models.weights import load_weights
from compressdefect.train.fit import FitResult, OnEpoch, fit
from compressdefect.train.schedule import Deadline
from compressdefect.train.validate import FOLDS, validate

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
    ships, so that their scores lie where its scores will. They take two thirds of the time.

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
    if job.earlier is not None:
        val = metrics(job.task, job.images, job.earlier.indices, job.earlier.records)
        finished = _finished(job, job.earlier)
        if finished is not None:
            return Trained(finished, val, _taken_over(job, finished, job.earlier))
    elif decides and not len(job.split.val):
        say(f"training {FOLDS} times on parts of the images, for the threshold")
        folds_deadline = None if deadline is None else deadline.part(2 / 3)
        val = validate(
            job.network, job.images, job.split, job.task, job.config, deadline=folds_deadline, on_epoch=on_epoch
        ).metrics
    say("training the final model")
    network = job.network()
    fitted = fit(
        network, job.images, job.split.train, job.split.val, job.task, job.config, deadline=deadline, on_epoch=on_epoch
    )
    if not fitted.history:
        raise TrainingError("there was no time left to train the model", fix="give it more --time")
    if fitted.val_records is not None:
        val = metrics(job.task, job.images, job.split.val, fitted.val_records)
    return Trained(network, val, _described(job, network, fitted))


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
    }
