"""``distill``: a design that learns from trained models."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from compressdefect import units
from compressdefect.compress.lesson import METHODS, Further, TeacherLesson
from compressdefect.compress.matching import METHODS as MAP_METHODS
from compressdefect.compress.taps import Tap, pairs_of, taps_of
from compressdefect.compress.teaching import Teacher
from compressdefect.data.truth import Mark, Needs
from compressdefect.data.unlabelled import Unlabelled, load_unlabelled
from compressdefect.deploy.bundle import Bundle
from compressdefect.deploy.model_ref import ModelRef, resolve_model, whole_model
from compressdefect.errors import DataError, ModelError, known_names
from compressdefect.flow.beginner import TIME_SHARE, Beginner, beginner
from compressdefect.flow.prepare import Prepared
from compressdefect.flow.stored import options_of
from compressdefect.flow.teachers import check_fits, check_leak, learned_from, trained_bundle
from compressdefect.flow.train import fit_config, run_training
from compressdefect.flow.voice import Voice
from compressdefect.models.designs import made_for
from compressdefect.models.inspector import Inspector
from compressdefect.options import DataOptions, DistillOptions
from compressdefect.search.quantity import parse_seconds
from compressdefect.train.predict import predict_by
from compressdefect.train.schedule import Deadline

UNTRAINED = "train it first, and give its run; a timm:NAME can have --teacher-weights"


def run_distillation(given: dict[str, Any], run_dir: Path | None, *, began: float) -> dict[str, Any]:
    """Train a student with its teachers; see ``api.distill`` and, for ``began``, ``flow.search.run_search``.

    What is not ``given`` of the images is the first teacher's own, its split included.
    """
    options = DistillOptions(**given)
    _check_numbers(options)
    _check_heard(options, given)
    seconds = None if options.time is None else parse_seconds(options.time, "--time")
    refs = [resolve_model(name.strip()) for name in options.teacher.split(",")]
    begun = beginner(refs[0], options)
    if begun is not None and len(refs) > 1:
        raise ModelError("a teacher that is fine-tuned first teaches alone", got=options.teacher, fix="give one")
    bundles = [] if begun is not None else [trained_bundle(ref, UNTRAINED) for ref in refs]
    if bundles:
        options = _as_taught(options, given, refs[0], bundles[0])
    elif "data" not in given:
        raise DataError("the images are not known", got=f"the teacher {refs[0].name}", fix="give --data")
    lecture = _Lecture(options, refs, bundles, begun, None if seconds is None else began + TIME_SHARE * seconds)
    told = {"command": "distill", "teacher": [whole_model(ref.name) for ref in refs]}
    result = run_training(options.student, options, run_dir, began=began, teach=lecture.lesson, told=told)
    if lecture.score is not None:
        _say_who_is_better(lecture.score, result["val"].get(result["metric"]))
    return {**result, "teacher": lecture.score}


class _Lecture:
    """What is made of the teachers once the images are known."""

    def __init__(
        self,
        options: DistillOptions,
        refs: list[ModelRef],
        bundles: list[Bundle],
        begun: Beginner | None,
        until: float | None,
    ) -> None:
        """Take what is known of them: those that are trained, or the one that is not and until when it may be."""
        self.options, self.refs, self.bundles = options, refs, bundles
        self.begun, self.until = begun, until
        self.score: float | None = None  # of the teachers on validation images

    def lesson(self, data: Prepared) -> TeacherLesson:
        """Check that they may teach, and have them ready."""
        options, begun = self.options, self.begun
        if begun is None:
            for ref, bundle in zip(self.refs, self.bundles, strict=True):
                check_fits(ref, bundle, data)
                check_leak(ref, bundle, data)
        if options.method in MAP_METHODS:
            _check_maps(resolve_model(options.student), self.refs[0], data)
        notes = _deviations(options, data)
        for note in notes:
            Voice().say(note)
        unlabelled = _unlabelled(options, data)
        teacher = Teacher(self._networks(data), data.task)
        if len(data.split.val):
            labels = data.task.labels(data.images, data.split.val)
            self.score = data.task.score(predict_by(teacher, data.images, data.split.val, data.task), labels)
        facts = {**_facts(options, self.refs), **_told_of(unlabelled, options)}
        return TeacherLesson(
            teacher,
            data.images.shape,
            options.method,
            options.teacher_share,
            options.temperature,
            options.maps_weight,
            marks=_marks(data),
            further=None if unlabelled is None else _further(unlabelled, options, data),
            facts=facts if begun is None else {**facts, **begun.facts(options)},
            deviations=(*(() if begun is None else begun.deviations), *notes),
            heard=frozenset().union(
                *(learned_from(bundle) for bundle in self.bundles),
                () if unlabelled is None else unlabelled.images.hashes,
            ),
        )

    def _networks(self, data: Prepared) -> list[nn.Module]:
        if self.begun is None:
            return [bundle.network() for bundle in self.bundles]
        return [self.begun.fine_tuned(self.options, data, None if self.until is None else Deadline(self.until))]


def _facts(options: DistillOptions, refs: list[ModelRef]) -> dict[str, Any]:
    """What manifest and card say of the teaching."""
    names = ("method", "teacher_share", "temperature", *(["maps_weight"] if options.method in MAP_METHODS else []))
    return {"teachers": [ref.name for ref in refs], **{name: getattr(options, name) for name in names}}


def _unlabelled(options: DistillOptions, data: Prepared) -> Unlabelled | None:
    """Load the images without labels, if there are any, and tell what becomes of them."""
    if options.unlabelled_images is None:
        return None
    voice, images, split = Voice(), data.images, data.split
    judging = np.concatenate([split.val, split.test])
    with voice.bar() as bar:
        work = bar.add_task("loading unlabelled images", total=None)
        found = load_unlabelled(
            options.unlabelled_images,
            images,
            judging,
            options.data,
            progress=lambda done, total: bar.update(work, completed=done, total=total),
        )
    said = f"{len(found.images)} unlabelled images join, {found.left_out} are left out: they resemble validation or"
    voice.say(f"{said} test images; {len(found.skipped)} cannot be read")
    return found


def _further(unlabelled: Unlabelled, options: DistillOptions, data: Prepared) -> Further:
    config = fit_config(options, data.shown, data.task.name)
    count = max(1, round(options.unlabelled_ratio * min(config.batch_size, data.shown)))
    return Further(unlabelled.images, count, config.augment, config.seed)


def _told_of(unlabelled: Unlabelled | None, options: DistillOptions) -> dict[str, Any]:
    if unlabelled is None:
        return {}
    counts = {"joined": len(unlabelled.images), "left_out": unlabelled.left_out, "unread": len(unlabelled.skipped)}
    return {"unlabelled_images": {**counts, "for_each_labelled": options.unlabelled_ratio}}


def _deviations(options: DistillOptions, data: Prepared) -> tuple[str, ...]:
    if len(data.split.val) or not options.val_share:  # with which nothing is decided
        return ()
    return (
        "There is no validation part: the out-of-fold figures, and the threshold that they gave, are of students whose"
        " teacher has seen all training images. They may be too good.",
    )


def _marks(data: Prepared) -> Needs:
    """The annotations that are there beside those of the task."""
    found: set[Mark] = set()
    if data.images.masks is not None:
        found.add("masks")
    if data.images.boxes is not None:
        found.add("boxes")
    return frozenset(found)


def _check_maps(student: ModelRef, teacher: ModelRef, data: Prepared) -> None:
    """Refuse a student or a teacher without maps, before anything is trained.

    Raises:
        ModelError: one has none.
    """
    pairs_of(_taps(student, data), _taps(teacher, data))


def _taps(ref: ModelRef, data: Prepared) -> dict[int, Tap]:
    """Where a network like the model's has maps, whatever its weights are."""
    shape = data.images.shape
    bare = made_for(ref.design, data.task.name).build(channels=shape[0], heads=data.task.heads)
    return taps_of(Inspector.from_statistics(bare, [0.0] * shape[0], [1.0] * shape[0]), shape)


def _say_who_is_better(teacher: float, student: float | None) -> None:
    """Their scores on validation, as far as the student's figures have it: ``escape@overkill`` is no figure."""
    if student is not None:
        said = f"the teacher has {units.percent(teacher)} on validation, its student {units.percent(student)}"
        Voice().say(said if student <= teacher else f"{said}: it is better than what taught it")


def _as_taught(options: DistillOptions, given: dict[str, Any], ref: ModelRef, bundle: Bundle) -> DistillOptions:
    """The options with the teacher's own images, split and input where nothing else was asked for."""
    names = {field.name for field in fields(DataOptions)} | {"metric", "overkill"}
    own = options_of(ref.run, DistillOptions, {"teacher": "", "student": ""})
    taken = {name: getattr(own, name) for name in names - {"input"} if name not in given}
    if "data" not in given and ref.run is None:
        raise DataError("the images are not known", got=f"a bundle without its run: {ref.name}", fix="give --data")
    if "split" not in given:  # other images are shared out anew
        taken["split"] = None if "data" in given else str(bundle.file("split.json"))
    if taken.get("split", options.split) is not None:
        taken.pop("test_share", None)  # the split has it
    if "task" not in given:
        taken["task"] = bundle.manifest.task
    return replace(options, **taken, input=given.get("input") or bundle.manifest.input[1])


def _check_heard(options: DistillOptions, given: dict[str, Any]) -> None:
    """Refuse what was given and would change nothing."""
    begins = options.teacher_weights is not None or options.teacher_pretrained
    for name, counts, beside in (
        ("maps_weight", options.method in MAP_METHODS, f"--method {' or '.join(MAP_METHODS)}"),
        ("unlabelled_ratio", options.unlabelled_images is not None, "--unlabelled-images"),
        ("teacher_epochs", begins, "--teacher-weights or --teacher-pretrained"),
    ):
        if name in given and not counts:
            option = f"--{name.replace('_', '-')}"
            raise ModelError(f"{option} changes nothing here", got=given[name], fix=f"give it with {beside}")


def _check_numbers(options: DistillOptions) -> None:
    if not 0 <= options.teacher_share <= 1:
        raise DataError("--teacher-share must be from 0 to 1", got=options.teacher_share)
    if options.method not in METHODS:
        raise ModelError("no such method to teach by", got=options.method, fix=known_names(options.method, METHODS))
    if not 0 <= options.maps_weight < 1000:
        raise DataError("--maps-weight must be at least 0 and below 1000", got=options.maps_weight)
    if not 0 < options.unlabelled_ratio <= 100:
        raise DataError("--unlabelled-ratio must be above 0 and at most 100", got=options.unlabelled_ratio)
    if not 0 < options.temperature < 1000:
        raise DataError("--temperature must be above 0 and below 1000", got=options.temperature)
