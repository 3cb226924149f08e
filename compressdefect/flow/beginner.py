"""A teacher that begins with weights of other images: a timm model, fine-tuned on what its student is trained on."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from compressdefect.deploy.model_ref import ModelRef
from compressdefect.errors import DataError, ModelError, TrainingError
from compressdefect.flow.prepare import Prepared
from compressdefect.flow.train import fit_config
from compressdefect.flow.voice import Voice
from compressdefect.models.designs import made_for
from compressdefect.models.inspector import Inspector
from compressdefect.models.pretrained import OWN, Weights, check_weights, statistics
from compressdefect.models.timm_design import TimmDesign
from compressdefect.options import DistillOptions
from compressdefect.train.fit import fit
from compressdefect.train.schedule import Deadline
from compressdefect.train.validate import seeded

RATE_SHARE = 1 / 3  # of the peak learning rate of a training from scratch
TIME_SHARE = 1 / 3  # of the whole time


@dataclass(frozen=True)
class Beginner:
    """A timm model and the weights that it begins with."""

    name: str
    design: TimmDesign
    weights: Weights

    def fine_tuned(self, options: DistillOptions, data: Prepared, deadline: Deadline | None) -> Inspector:
        """Train it on the student's training part, at a lower rate than from scratch.

        Raises:
            ModelError: timm has no such weights, or they cannot be had.
            TrainingError: there was no time for it.
        """
        task, voice = data.task, Voice()
        channels = data.images.shape[0]
        design = made_for(self.design, task.name)
        assert isinstance(design, TimmDesign)
        bare = seeded(lambda: design.begun(self.weights, channels=channels, heads=task.heads), options.seed)
        network = Inspector.from_statistics(bare, *statistics(self.design.model, channels))
        own = fit_config(options, data.shown, task.name)
        config = replace(own, epochs=options.teacher_epochs, learning_rate=RATE_SHARE * own.learning_rate, gradual=None)
        voice.say(f"fine-tuning the teacher {self.name} for {config.epochs} epochs")
        done = fit(network, data.images, data.split.train, None, task, config, deadline=deadline, on_epoch=voice.epoch)
        if not done.history:
            raise TrainingError("there was no time left to fine-tune the teacher", fix="give it more --time")
        return network

    def facts(self, options: DistillOptions) -> dict[str, Any]:
        """What manifest and card say of it."""
        said = {"teacher_epochs": options.teacher_epochs}
        if isinstance(self.weights, Path):
            digest = hashlib.sha256(self.weights.read_bytes()).hexdigest()
            return {"teacher_weights": self.weights.name, "teacher_weights_sha256": digest, **said}
        return {"teacher_weights": "timm's own", **said}

    @property
    def deviations(self) -> tuple[str, ...]:
        """Where its weights may come from."""
        origin = "timm's own" if self.weights == OWN else f"those of the file {self.weights}"
        return (
            f"The teacher {self.name} began with weights of unknown origin, {origin}: nothing here tells on which"
            " images they were trained, and whether these are among them.",
        )


def beginner(ref: ModelRef, options: DistillOptions) -> Beginner | None:
    """The teacher, where the options give it weights to begin with; None where it is trained.

    Raises:
        DataError: a number is out of range.
        ModelError: the weights are of no use.
    """
    if options.teacher_weights is None and not options.teacher_pretrained:
        return None
    if options.teacher_weights is not None and options.teacher_pretrained:
        raise ModelError("a teacher begins with one set of weights", got="--teacher-weights and --teacher-pretrained")
    if options.teacher_epochs < 1:
        raise DataError("--teacher-epochs must be at least 1", got=options.teacher_epochs)
    if not isinstance(ref.design, TimmDesign) or ref.bundle is not None:
        raise ModelError("only a timm model begins with given weights", got=ref.name, fix="give --teacher timm:NAME")
    if options.teacher_weights is None:
        return Beginner(ref.name, ref.design, OWN)
    path = Path(options.teacher_weights)
    check_weights(ref.design.model, path)
    return Beginner(ref.name, ref.design, path)
