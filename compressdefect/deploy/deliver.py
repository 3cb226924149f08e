"""The end of every training: train to the end, judge once, package."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from compressdefect.deploy.assignment import Assignment
from compressdefect.deploy.bundle import Bundle
from compressdefect.deploy.judging import judge
from compressdefect.deploy.packaging import package
from compressdefect.deploy.training import Say, train_to_end
from compressdefect.runs import RunFolder
from compressdefect.train.fit import OnEpoch
from compressdefect.train.schedule import Deadline


@dataclass(frozen=True)
class Delivered:
    """A finished model: its bundle, and its figures on validation and test images."""

    bundle: Bundle
    val: dict[str, Any]
    test: dict[str, Any]

    @property
    def latency_ms(self) -> float:
        """Of the graph that ships, in milliseconds per image."""
        return self.bundle.manifest.shipped.latency[0].median_ms


def deliver(
    run: RunFolder,
    job: Assignment,
    *,
    decides: bool = True,
    deadline: Deadline | None = None,
    on_epoch: OnEpoch | None = None,
    say: Say = lambda step: None,
) -> Delivered:
    """Train a design and leave it as ``best/`` in the run folder; for the arguments see ``train_to_end``.

    Raises:
        TrainingError: the training diverged, or there was no time for it.
        BundleError: the exported graph does not reproduce the network.
    """
    trained = train_to_end(job, decides=decides, deadline=deadline, on_epoch=on_epoch, say=say)
    say("testing")
    judged = judge(job, trained.network, trained.val.get("threshold"))
    bundle = package(run.best, job, trained, judged, say)
    return Delivered(bundle, trained.val, judged.test)
