"""One trial: from a genotype to its validation metric, in whatever process it runs."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from compressdefect.data.images import Images
from compressdefect.data.split import Split
from compressdefect.errors import TrainingError
from compressdefect.models.inspector import Inspector
from compressdefect.models.template import Template
from compressdefect.models.weights import weights_of
from compressdefect.search.held_out import HeldOut, measures_of
from compressdefect.search.probes import probe
from compressdefect.search.rungs import Course, Rung, course, recipe
from compressdefect.search.stopping import StopRule
from compressdefect.search.winner import Measures
from compressdefect.space.genotype import Genotype
from compressdefect.train.batches import steps_per_epoch
from compressdefect.train.calibrate import score_steps
from compressdefect.train.config import FitConfig
from compressdefect.train.fit import EpochReport, fit, using_threads
from compressdefect.train.schedule import Deadline
from compressdefect.train.task import Task
from compressdefect.train.validate import FOLDS, seeded, validate

SHORTENED = "trained for less time, to end within the limit"
NO_TIME = "the time was over before it was trained"
TIMED_EPOCHS, TIMED_STEPS = 4, 4  # to time a step; of fewer to an epoch each pays more for the epoch's begin and end


@dataclass(frozen=True)
class TrialJob:
    """What a worker is asked: a design, how long to train it, from which seed, and when to give up.

    ``seconds`` is the most that it may take from when it begins; its trainings are shortened to end by then.
    ``threads`` are for the CPU; None leaves those that the evaluator was prepared with. On a ``rung`` the training is
    that rung's, and ``epochs`` do not matter; its stages are probed afterwards if they are to be. Of a training to the
    end the result has weights only ``with_weights``.
    """

    genotype: Genotype
    seed: int
    epochs: int
    stop: StopRule = field(default_factory=StopRule)
    seconds: float | None = None
    threads: int | None = None
    rung: Rung | None = None
    probed: bool = False
    with_weights: bool = False


@dataclass(frozen=True)
class TrialResult:
    """What a worker answers.

    ``epochs`` counts those trained, over all folds; ``curve`` holds (share of training done, metric); ``val`` the
    validation figures of a complete trial, ``held_out`` what it answered on each validation image. Of a complete trial
    with a validation part there are ``weights`` too, as the bytes of a safetensors file. A trial on a rung ends as
    ``compared`` and has a ``score`` instead of a metric. Weights, and ``probes`` of a rung's stages, only if asked.
    """

    state: Literal["complete", "compared", "pruned", "failed"]
    seconds: float
    metric: float | None = None
    epochs: int = 0
    curve: tuple[tuple[float, float], ...] = ()
    val: Mapping[str, Any] = field(default_factory=dict)
    reason: str = ""
    held_out: HeldOut | None = field(default=None, compare=False)
    score: float | None = None
    probes: Mapping[str, float] = field(default_factory=dict)
    weights: bytes | None = field(default=None, compare=False, repr=False)


class Interrupted(Exception):
    """The search was stopped while this trial was being trained; nothing is known of it."""


GoOn = Callable[[float], bool]
"""Is told after each epoch which share of the trial is done, and answers whether to go on."""


class Evaluator(Protocol):
    """Trains one design on data it knows; equal jobs without a limit in seconds give equal results.

    In the search's own process it is used as it is. For workers ``without_data`` puts what is large into files and
    leaves it out of what is pickled; the files get to wherever a worker is, and each calls ``prepare`` once with the
    folder that it finds them in. So nothing is said of where a worker runs.
    """

    def __call__(self, job: TrialJob, go_on: GoOn) -> TrialResult:
        """Train and validate; a design that fails is a result, not an error.

        Raises:
            Interrupted: ``go_on`` said no.
        """

    def epoch_s(self, genotype: Genotype, threads: int, patience_s: float = math.inf) -> float:
        """Seconds that an epoch of this design takes, all trainings of a trial and their scores included.

        Infinite when it takes so much longer than ``patience_s`` that it is not worth knowing.

        Raises:
            TrainingError: it cannot be trained.
        """

    def measures(self, indices: NDArray[np.integer]) -> Measures:
        """How answers on these images are compared; asked of an evaluator in the search's own process."""

    def without_data(self, folder: Path) -> Evaluator:
        """A copy that can be pickled cheaply; its data go into files of the folder."""

    def prepare(self, threads: int, folder: Path | None = None) -> Evaluator:
        """Use this many CPU threads, and the data of a folder where it has none of its own."""


@dataclass(frozen=True)
class TrainingEvaluator:
    """Builds a design, trains it and scores it on the validation part, or out of fold where images are few.

    Out of ``FOLDS`` folds, or of the ``first_fold`` alone: whoever trains the winner to the end makes the others then.

    ``template`` describes the designs. ``images`` are None while they are in files alone. ``mean`` and ``std`` are the
    training images' statistics per channel, on the scale 0..255. Of the recipe, epochs and seed are the job's.
    """

    template: Template
    images: Images | None
    split: Split
    task: Task
    config: FitConfig
    mean: tuple[float, ...]
    std: tuple[float, ...]
    first_fold: bool = False
    _courses: dict[Rung, Course] = field(default_factory=dict, repr=False, compare=False)

    def __call__(self, job: TrialJob, go_on: GoOn) -> TrialResult:
        """See ``Evaluator``."""
        assert self.images is not None, "prepare() loads the images"
        began = time.monotonic()
        config = replace(self.config, epochs=job.epochs, seed=job.seed, threads=job.threads or self.config.threads)
        watch = _Watch(began, go_on, job.stop)
        try:
            if job.rung is None:
                return self._trained(job, self.images, config, watch)
            return self._compared(job, self.images, job.rung, config, watch)
        except (TrainingError, MemoryError, torch.OutOfMemoryError) as error:
            return watch.result("failed", reason=str(error) or type(error).__name__)

    def _trained(self, job: TrialJob, images: Images, config: FitConfig, watch: _Watch) -> TrialResult:
        """A trial by the full protocol."""
        watch.folds, watch.epochs_each = self.trainings, job.epochs
        networks: list[Inspector] = []

        def build() -> Inspector:
            networks.append(self.build(job.genotype, images))
            return networks[-1]

        found = validate(
            build,
            images,
            self.split,
            self.task,
            config,
            only=range(self.trainings),
            on_epoch=watch,
            deadline=watch.deadline(job),
        )
        if watch.was_cancelled:
            raise Interrupted
        if watch.was_poor:
            return watch.result("pruned", reason="below the lower quartile of earlier trials")
        if len({report.fold for report in found.history}) < self.trainings:
            return watch.result("pruned", reason=NO_TIME)
        return replace(
            watch.result("complete", reason="" if found.stopped is None else SHORTENED),
            metric=found.score,
            val=found.metrics,
            held_out=HeldOut(found.indices, found.records),
            weights=weights_of(networks[0]) if job.with_weights and len(self.split.val) else None,
        )

    def _compared(self, job: TrialJob, images: Images, rung: Rung, config: FitConfig, watch: _Watch) -> TrialResult:
        """A trial on a short rung."""
        if rung not in self._courses:
            self._courses[rung] = course(images, self.split, self.task, rung)
        track = self._courses[rung]
        short = recipe(config, rung, len(track.train))
        watch.epochs_each = short.epochs
        network = seeded(lambda: self.build(job.genotype, images), job.seed)
        found = fit(
            network,
            track.images,
            track.train,
            track.scored,
            self.task,
            short,
            on_epoch=watch,
            deadline=watch.deadline(job),
        )
        if watch.was_cancelled:
            raise Interrupted
        if found.stopped is not None or found.val_records is None:
            return watch.result("pruned", reason=NO_TIME)
        labels = self.task.labels(track.images, track.scored)
        with using_threads(config.threads):
            probes = probe(network, track, self.task) if job.probed else {}
        score = self.task.fine_score(found.val_records, labels)
        return replace(watch.result("compared"), score=score, probes=probes)

    @property
    def trainings(self) -> int:
        """How many trainings a trial consists of."""
        return 1 if len(self.split.val) or self.first_fold else FOLDS

    def epoch_s(self, genotype: Genotype, threads: int, patience_s: float = math.inf) -> float:
        """See ``Evaluator``; measured by a few steps, scores are taken to cost what their share of passes does."""
        assert self.images is not None, "prepare() loads the images"
        val, train = (len(self.images.rows(part)) for part in (self.split.val, self.split.train))
        scored = val or train // FOLDS
        shown, size = train if val else train - scored, self.config.batch_size
        scoring = score_steps(shown, scored, size) / self.config.score_every
        steps = self.trainings * (steps_per_epoch(shown, size) + scoring)
        try:
            return steps * self._step_s(genotype, self.images, threads, patience_s / steps)
        except (MemoryError, torch.OutOfMemoryError) as error:
            raise TrainingError(
                "the design does not fit into memory",
                got=str(error).split(". ")[0] or type(error).__name__,
                fix="use a smaller --input or fewer --workers",
            ) from error

    def _step_s(self, genotype: Genotype, images: Images, threads: int, patience_s: float) -> float:
        """The median over some epochs of a few steps; the first one also pays for all that happens once."""
        rows = images.rows(self.split.train)
        shown = TIMED_STEPS * self.config.batch_size
        few = rows[:: max(1, len(rows) // shown)][:shown]
        config = replace(self.config, epochs=TIMED_EPOCHS, gradual=None, threads=threads)
        ends: list[float] = []
        fit(
            seeded(lambda: self.build(genotype, images), 0),
            images.pieces,
            few,
            None,
            self.task,
            config,
            on_epoch=lambda report: ends.append(time.monotonic()),
            deadline=None if math.isinf(patience_s) else Deadline.after(2 * TIMED_EPOCHS * TIMED_STEPS * patience_s),
        )
        steps = steps_per_epoch(len(few), config.batch_size)
        return float(np.median(np.diff(ends))) / steps if len(ends) > 2 else math.inf

    def measures(self, indices: NDArray[np.integer]) -> Measures:
        """See ``Evaluator``."""
        assert self.images is not None
        return measures_of(self.task, self.images, indices)

    def build(self, genotype: Genotype, images: Images) -> Inspector:
        """A design's untrained network on raw pixels."""
        network = self.template.describe(genotype, self.task.heads).build(images.shape[0])
        return Inspector.from_statistics(network, self.mean, self.std)

    def without_data(self, folder: Path) -> TrainingEvaluator:
        """See ``Evaluator``."""
        assert self.images is not None
        self.images.save(folder)
        return replace(self, images=None)

    def prepare(self, threads: int, folder: Path | None = None) -> TrainingEvaluator:
        """See ``Evaluator``."""
        images = Images.load(folder) if folder is not None else self.images
        return replace(self, images=images, config=replace(self.config, threads=threads))


class _Watch:
    """Follows the epochs of one trial: writes the curve, and ends it when its rule or the search says so."""

    def __init__(self, began: float, go_on: GoOn, stop: StopRule) -> None:
        self.began, self.go_on, self.stop = began, go_on, stop
        self.curve: list[tuple[float, float]] = []
        self.folds, self.epochs_each, self.epochs = 1, 1, 0
        self.was_cancelled = self.was_poor = False

    def __call__(self, report: EpochReport) -> bool:
        self.epochs += 1
        share = round((report.fold + report.epoch / self.epochs_each) / self.folds, 6)
        if report.metric is not None:
            self.curve.append((share, report.metric))
        self.was_cancelled = not self.go_on(share)
        self.was_poor = share < 1 and self.stop.stops(self.curve)
        return not self.was_cancelled and not self.was_poor

    def deadline(self, job: TrialJob) -> Deadline | None:
        """When the trial must be over."""
        return None if job.seconds is None else Deadline(self.began + job.seconds)

    def result(self, state: Literal["complete", "compared", "pruned", "failed"], *, reason: str = "") -> TrialResult:
        """How the trial ended."""
        seconds = time.monotonic() - self.began
        return TrialResult(state, seconds, epochs=self.epochs, curve=tuple(self.curve), reason=reason)
