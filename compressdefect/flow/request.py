"""What a search was asked for, checked before any work is done."""

from __future__ import annotations

import hashlib
import math
import os
from dataclasses import asdict, dataclass
from typing import Any

from compressdefect.catalog import find_space
from compressdefect.deploy.bundle import Bundle
from compressdefect.deploy.model_ref import ModelRef, resolve_model
from compressdefect.errors import DataError, ModelError, SpaceError, known_names
from compressdefect.flow.finish import parse_peers
from compressdefect.flow.prepare import Prepared, budgets_of, check_options, check_split, choose_task
from compressdefect.flow.teachers import trained_bundle
from compressdefect.flow.train import FEW_IMAGES, FINISH_S, fit_config
from compressdefect.flow.voice import Voice
from compressdefect.models.template import Template, check_genes
from compressdefect.models.templates import TEMPLATES
from compressdefect.options import SearchOptions
from compressdefect.search.config import SearchConfig
from compressdefect.search.constraints import Budgets, active_rules
from compressdefect.search.ladder import LADDER, NO_LADDER, Ladder
from compressdefect.search.objective import Objective
from compressdefect.search.plan import NOTHING_AFTER, After
from compressdefect.search.proposal import SearchDimensions
from compressdefect.search.quantity import parse_seconds
from compressdefect.search.rungs import fitted, why_not
from compressdefect.search.samplers import sampler
from compressdefect.space.space import Space
from compressdefect.train.batches import steps_per_epoch
from compressdefect.train.tasks import TASKS
from compressdefect.train.validate import FOLDS

DEFAULT_TIME = "6m"
LEAST_STEPS = 200  # of each training of a trial: after fewer, its metric says little about the design
FINAL_SHARE = 0.4  # most of a time limit that the final training may take, with the folds that give its threshold
ALONE = 0.6  # a training alone on all cores takes so much of its time on one core beside others: 345 images/s, not 200
COMPRESS_SHARE = 0.35  # of a time limit that is kept to compress what was found
FINISH_SHARE = 0.2  # most of a time limit that export, latency and report may take
LADDERS = ("auto", "on", "off")
AUTO_SAMPLERS = ("tpe", "surrogate")  # without a ladder, and on one
MOST_WORKERS = 4  # by default: each holds a network, its gradients and PyTorch, some 0.5 GB
_NOT_RECIPE = ("epochs", "seed", "threads", "accelerator")


@dataclass(frozen=True)
class Request:
    """Everything that was asked for, checked before any work is done; the space holds designs for the task alone."""

    options: SearchOptions
    task: str
    space: Space
    budgets: Budgets
    objective: Objective
    peers: list[ModelRef]
    limit_s: float | None
    teachers: tuple[tuple[ModelRef, Bundle], ...] = ()

    @classmethod
    def make(cls, options: SearchOptions, voice: Voice | None = None) -> Request:
        """Check the options; ``voice`` says what is left out.

        Raises:
            SpaceError: a space, budget, time or sampler is wrong.
            MissingExtraError: the sampler needs a package that is not installed.
            ModelError: a peer is unknown, or not for the task.
            DataError: another option, or the data folder, is wrong.
        """
        task, space = _space(options)
        if space.template not in TEMPLATES:
            raise SpaceError(
                f"{space.name} has no known template", got=space.template, fix=known_names(space.template, TEMPLATES)
            )
        check_options(options, task)
        check_split(options)
        fit_config(options, FEW_IMAGES, task)
        check_genes(space, TEMPLATES[space.template])
        active_rules(space.rules)
        objective = Objective(
            options.objective,
            axis="latency_ms" if options.budget_latency else "macs",
            latency_exponent=options.latency_exponent,
        )
        if options.ladder not in LADDERS:
            raise SpaceError("--ladder is one of " + ", ".join(LADDERS), got=options.ladder)
        if options.sampler != "auto":
            sampler(options.sampler, SearchDimensions(space.dimensions, objective.directions, {}))
        timed = options.time or (None if options.trials else DEFAULT_TIME)
        return cls(
            options,
            task,
            space,
            Budgets.parse(**budgets_of(options)),
            objective,
            parse_peers(options.peers, task, voice or Voice()),
            None if timed is None else parse_seconds(timed, "--time"),
            _teachers(options),
        )

    @property
    def template(self) -> Template:
        """The family that is searched."""
        return TEMPLATES[self.space.template]

    def config(self, data: Prepared) -> SearchConfig:
        """What the driver is told."""
        options, ladder = self.options, self.ladder(data)
        recipe = fit_config(options, data.shown, self.task)
        steps = steps_per_epoch(data.shown_to_decide, recipe.batch_size)
        return SearchConfig(
            objective=self.objective,
            sampler=self.sampler(ladder),
            seed=options.seed,
            trials=options.trials,
            epochs=options.epochs,
            whole=recipe.epochs if ladder.top else None,
            least_epochs=math.ceil(LEAST_STEPS / steps),
            ladder=ladder,
            after=self._after(data, ladder),
            workers=self.workers(ladder),
            threads=options.threads_per_trial,
            storage=options.storage,
            study=options.study,
            data=_fingerprint(data),
            recipe=self.recipe(data),
            compress=options.compress,
        )

    def _after(self, data: Prepared, ladder: Ladder) -> After:
        """The winner's other folds and the final training, where a trial on the top of a ladder is the first fold."""
        if not ladder.top or len(data.split.val):
            return NOTHING_AFTER
        alone = ALONE if self.workers(ladder) > 1 else 1.0
        return After(folds=alone * (FOLDS - 1), final=alone * FOLDS / (FOLDS - 1))

    def ladder(self, data: Prepared) -> Ladder:
        """The short trainings that come first, as far as these images can be used for them."""
        if not self._wants_ladder or self.why_no_ladder(data) is not None:
            return NO_LADDER
        assert LADDER.short is not None
        return Ladder(fitted(LADDER.short, data.images, data.split))

    def why_no_ladder(self, data: Prepared) -> str | None:
        """Why there are no short trainings though they are wanted, in words."""
        return why_not(data.images, data.split, data.task) if self._wants_ladder else None

    @property
    def _wants_ladder(self) -> bool:
        return self.space.ladder if self.options.ladder == "auto" else self.options.ladder == "on"

    def sampler(self, ladder: Ladder) -> str:
        """The sampler by name; one that models the metric needs the many comparisons of a ladder."""
        asked, (without, on_ladder) = self.options.sampler, AUTO_SAMPLERS
        return asked if asked != "auto" else on_ladder if ladder.top else without

    def workers(self, ladder: Ladder) -> int:
        """How many trainings there are at a time: two of one thread get through more than one of two."""
        if self.options.workers is not None:
            return self.options.workers
        return min(MOST_WORKERS, os.cpu_count() or 1) if ladder.top else 1

    def recipe(self, data: Prepared) -> dict[str, Any]:
        """How trials are trained, but for what a trial sets itself and what only says where it is trained."""
        config = asdict(fit_config(self.options, data.shown, self.task))
        return {name: value for name, value in config.items() if name not in _NOT_RECIPE}

    @property
    def compress_s(self) -> float:
        """Seconds to leave for compressing what was found."""
        return COMPRESS_SHARE * self.limit_s if self.options.compress and self.limit_s is not None else 0.0

    def reserve(self, data: Prepared, ladder: Ladder, epoch_s: float) -> float:
        """Seconds to leave for what follows the search, from seconds per epoch of a trial.

        The final training is not among it on a ladder, whose trials to the end are like it: there the search itself
        counts with it. It is not either where what was found is compressed, which begins with its weights.
        """
        if ladder.top or self.options.compress:
            return self.finish_s + self.compress_s
        final_s = fit_config(self.options, data.shown, self.task).epochs * epoch_s
        if not len(data.split.val):
            final_s *= 1.5  # a trial's epoch passes over the images twice, in three folds of two thirds; then once more
        return min(final_s, FINAL_SHARE * (self.limit_s or final_s)) + self.finish_s

    @property
    def finish_s(self) -> float:
        """Seconds to leave after the final training."""
        return FINISH_S if self.limit_s is None else min(FINISH_S, FINISH_SHARE * self.limit_s)


def _teachers(options: SearchOptions) -> tuple[tuple[ModelRef, Bundle], ...]:
    """The trained models that are to teach the winner.

    Raises:
        ModelError: one is not trained, or nobody is to be taught.
        DataError: the drop that is allowed is none.
    """
    if not options.max_drop >= 0:
        raise DataError("--max-drop must be at least 0", got=options.max_drop)
    if options.teacher is None:
        return ()
    if not options.compress:
        raise ModelError("--teacher is for what a search compresses", fix="give --compress too, or use distill")
    refs = [resolve_model(name.strip()) for name in options.teacher.split(",")]
    return tuple((ref, trained_bundle(ref)) for ref in refs)


def _space(options: SearchOptions) -> tuple[str, Space]:
    """The task, and the space as far as it has designs for it."""
    if options.space is None:
        task = choose_task(options, tuple(TASKS))
        space = find_space(TASKS[task].space)
    else:
        space = find_space(options.space)
        task = choose_task(options, space.tasks)
    return task, space.for_task(task)


def _fingerprint(data: Prepared) -> str:
    """Of the images, how they are shown, what they are told apart by, and how they are split."""
    images, split = data.images, data.split
    shown = (images.shape, images.tile, images.bits)
    parts = (images.fingerprint, *shown, data.task, split.train.tolist(), split.val.tolist())
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]
