"""``train`` and ``evaluate``: one model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, fields, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from compressdefect.deploy.assignment import Assignment, Lesson, describe_data
from compressdefect.deploy.bundle import Bundle
from compressdefect.deploy.deliver import deliver
from compressdefect.deploy.judging import metrics
from compressdefect.deploy.model_ref import ModelRef, resolve_model, whole_model
from compressdefect.deploy.scoring import predict_graph
from compressdefect.errors import DataError, ModelError
from compressdefect.flow.finish import parse_peers, recorded, time_beside_peers, write_run_report
from compressdefect.flow.prepare import (
    Prepared,
    check_free,
    check_options,
    check_split,
    choose_task,
    prepare,
    say_what_hides,
)
from compressdefect.flow.stored import anchored, options_of
from compressdefect.flow.voice import Voice
from compressdefect.models.designs import made_for
from compressdefect.options import DataOptions, EvaluateOptions, JobOptions, TrainOptions
from compressdefect.runs import RunFolder
from compressdefect.search.quantity import parse_seconds
from compressdefect.train.batches import steps_per_epoch
from compressdefect.train.config import FitConfig
from compressdefect.train.gradual import Gradual
from compressdefect.train.schedule import Deadline
from compressdefect.train.tasks import task_kind

FEW_IMAGES, SMALL_BATCH = 500, 16
_SETTINGS = (  # of a recipe that an option of the same name changes
    "epochs",
    "optimizer",
    "schedule",
    "learning_rate",
    "batch_size",
    "balance",
    "gradual",
    "augment",
    "accelerator",
    "seed",
)
FINISH_S = 40.0  # export, latency beside two peers and the report, on two cores


Teach = Callable[[Prepared], Lesson]


def run_training(
    model: str,
    options: TrainOptions,
    run_dir: Path | None,
    *,
    began: float,
    teach: Teach | None = None,
    told: Mapping[str, Any] = MappingProxyType({"command": "train"}),
) -> dict[str, Any]:
    """Train a model from scratch and deliver it; see ``api.train`` and, for ``began``, ``flow.search.run_search``.

    With ``teach`` the model has a lesson, which is made once the images are known; ``told`` is what the run's manifest
    says of the command.
    """
    seconds = None if options.time is None else parse_seconds(options.time, "--time")
    ref = resolve_model(model)
    task = choose_task(options, ref.tasks)
    design = made_for(ref.design, task)
    check_options(options, task)
    fit_config(options, FEW_IMAGES, task)  # a recipe that cannot be is refused before any image is loaded
    check_free(run_dir)
    voice = Voice()
    peers = parse_peers(options.peers, task, voice)
    options = replace(
        options,
        split=options.split or _own_split(ref),
        tile=options.tile or _own_tile(ref),
        bits=options.bits or _own_bits(ref),
    )
    check_split(options)
    say_what_hides(voice)
    data = prepare(options, input=options.input or design.input, task=task, voice=voice)
    if options.val_share and not len(data.split.val):
        data.check_decidable()  # out-of-fold figures are scored, those of a validation part need not be
    config = fit_config(options, data.shown, task)
    _check_length(config, data.shown_to_decide if options.val_share else data.shown)
    lesson = None if teach is None else teach(data)
    said = told if lesson is None else {**told, "lesson": dict(lesson.facts)}
    manifest = manifest_of(said, model, data, asdict(anchored(options)))
    run = RunFolder.create(run_dir, data.task.name, manifest)
    run.write_json("split.json", data.split.to_json(data.images))
    notes = () if lesson is None else lesson.deviations
    job = Assignment(
        _title(ref),
        design,
        data.images,
        data.split,
        data.task,
        config,
        options.threads,
        deviations=notes,
        lesson=lesson,
        heard=frozenset() if lesson is None else lesson.heard,
    )
    deadline = None if seconds is None else Deadline(began + max(seconds - FINISH_S, seconds / 2))
    with recorded(run, data.images):
        done = deliver(run, job, decides=options.val_share > 0, deadline=deadline, on_epoch=voice.epoch, say=voice.say)
        time_beside_peers(run, peers, threads=options.threads)
    run.finish("complete")
    write_run_report(run, images=data.images)
    return {
        "run": str(run.path),
        "task": data.task.name,
        "metric": data.task.metric,
        "val": done.val,
        "test": done.test,
    }


def manifest_of(told: Mapping[str, Any], model: str, data: Prepared, options: Mapping[str, Any]) -> dict[str, Any]:
    """What the manifest of a run on one model says; ``told`` is of its command."""
    return {
        **told,
        "task": data.task.name,
        "model": whole_model(model),
        "metric": data.task.metric,
        "seed": options["seed"],
        "data": describe_data(data.images, data.split),
        "skipped": [list(entry) for entry in data.images.skipped],
        "options": dict(options),
    }


def run_evaluation(model: str, given: EvaluateOptions) -> dict[str, Any]:
    """Measure the graph that ships of a trained model on its own test images; see ``api.evaluate``."""
    ref = resolve_model(model)
    voice = Voice()
    bundle, found, _ = own_images(ref, given, voice, verb="evaluated")
    manifest, task, figures = bundle.manifest, bundle.task(), {}
    name = bundle.graph_here(voice.say)
    graph, threshold = bundle.file(name), bundle.threshold_of(name)
    for part, indices in (("val", found.split.val), ("test", found.split.test)):
        if len(indices):
            records = predict_graph(graph, found.images, indices, task)
            figures[part] = metrics(task, found.images, indices, records, threshold=threshold, choose=False)
    val = figures.get("val", manifest.metrics.get("val", {}))
    return {
        "run": str(ref.run.path if ref.run else bundle.path),
        "task": task.name,
        "val": val,
        "test": figures["test"],
    }


def own_images(
    ref: ModelRef, given: EvaluateOptions, voice: Voice, *, verb: str
) -> tuple[Bundle, Prepared, JobOptions]:
    """A trained model's bundle, the images and the split that it was made with, and the options that say which.

    Args:
        ref: the model.
        given: what is said of its data now, in place of what its run has.
        voice: says what was found.
        verb: what is to be done with it, for messages.

    Raises:
        ModelError: it is not trained.
        DataError: the images are not there, or do not fit.
    """
    split_file = _own_split(ref)
    if ref.bundle is None or split_file is None:
        raise ModelError(f"only a trained model can be {verb}", got=ref.name, fix="give a run or bundle folder")
    manifest = ref.bundle.manifest
    if ref.run is None and given.data is None:
        raise DataError("the images are not known", got=f"a bundle without its run: {ref.name}", fix="give --data")
    names = {field.name for field in fields(EvaluateOptions)}
    anew = {name: value for name, value in vars(given).items() if name in names and value is not None}
    own = {"split": split_file, "tile": _own_tile(ref), "bits": _own_bits(ref)}
    data = options_of(ref.run, DataOptions, {**anew, **own})
    aim = options_of(ref.run, JobOptions, {})
    options = JobOptions(**vars(data), metric=aim.metric, overkill=aim.overkill)  # of its recipe no more than the aim
    found = prepare(options, input=manifest.input[1], task=manifest.task, voice=voice)
    if found.task.classes != manifest.classes or found.images.shape != manifest.input:
        raise DataError(
            "the images do not fit the model",
            got=f"{', '.join(found.task.classes)} at {found.images.shape}",
            fix=f"it knows {', '.join(manifest.classes)} at {manifest.input}",
        )
    if found.task.good != manifest.good:
        asked, known = ("none" if good is None else manifest.classes[good] for good in (found.task.good, manifest.good))
        raise DataError("the class of good parts is not the model's", got=asked, fix=f"the model has {known}")
    return ref.bundle, found, options


def fit_config(options: JobOptions, train: int, task: str) -> FitConfig:
    """The recipe that the options ask for; what they leave open is the task's own.

    A few images or tiles (``train``) are shown in smaller batches, so that an epoch still makes some steps.
    """
    few = FitConfig(batch_size=SMALL_BATCH) if train < FEW_IMAGES else FitConfig()
    standard = replace(few, **task_kind(task).recipe)
    asked = {name: getattr(options, name, None) for name in _SETTINGS}
    return replace(standard, **{name: value for name, value in asked.items() if value is not None})


def _check_length(config: FitConfig, shown: int) -> None:
    """Refuse gradual training that is not over when its shortest training ends, before there is a run folder."""
    if config.gradual is not None:
        Gradual.parse(config.gradual, config.epochs * steps_per_epoch(shown, config.batch_size))


def _own_split(ref: ModelRef) -> str | None:
    """A trained model's split, so that its test images stay test images."""
    if ref.bundle is None or "split.json" not in ref.bundle.manifest.files:
        return None
    return str(ref.bundle.file("split.json"))


def _own_tile(ref: ModelRef) -> int | None:
    """The side of the tiles that a trained model sees, if it sees tiles."""
    return ref.bundle.manifest.preprocessing.tile if ref.bundle else None


def _own_bits(ref: ModelRef) -> int | None:
    """How many bits of 16-bit images a trained model sees."""
    return ref.bundle.manifest.preprocessing.bits if ref.bundle else None


def _title(ref: ModelRef) -> str:
    return ref.bundle.manifest.name if ref.bundle else ref.name
