"""``compress``: a trained model, smaller and faster."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compressdefect import units
from compressdefect.compress.delivery import Account, rows_of, ship, tested
from compressdefect.compress.folds import rehearsed, times
from compressdefect.compress.pipeline import EPOCHS_SHARE, Outcome, Plan, check_calibration, compress, reachable
from compressdefect.compress.prune import PruneConfig
from compressdefect.compress.stage import Bench
from compressdefect.compress.target import Target
from compressdefect.cost.latency import instructions
from compressdefect.deploy.assignment import Assignment
from compressdefect.deploy.bundle import Bundle
from compressdefect.deploy.model_ref import ModelRef, resolve_model
from compressdefect.errors import DataError, ModelError, TrainingError, known_names
from compressdefect.flow.finish import parse_peers, recorded, time_beside_peers, write_run_report
from compressdefect.flow.prepare import Prepared, check_accelerator, check_free
from compressdefect.flow.stored import anchored, options_of
from compressdefect.flow.teachers import learned_from
from compressdefect.flow.train import FINISH_S, fit_config, manifest_of, own_images
from compressdefect.flow.voice import Voice
from compressdefect.models.inspector import Inspector
from compressdefect.options import CompressOptions, DataOptions, JobOptions, TrainOptions
from compressdefect.runs import RunFolder
from compressdefect.search.quantity import parse_count, parse_seconds
from compressdefect.train.config import FitConfig
from compressdefect.train.fit import fit
from compressdefect.train.schedule import Deadline

STEPS = ("prune", "quantize")
OUT_OF_FOLD = (
    "There is no validation part: what each step cost, and the thresholds, are out of fold. They are of the model's"
    " design, trained again by its recipe without each third of the training images in turn, and without a teacher that"
    " it may have had, and taken through the same steps."
)


def run_compression(model: str, options: CompressOptions, run_dir: Path | None, *, began: float) -> dict[str, Any]:
    """Take a trained model through the steps; see ``api.compress`` and, for ``began``, ``flow.search.run_search``."""
    seconds = None if options.time is None else parse_seconds(options.time, "--time")
    steps, pruning = _steps(options.steps), PruneConfig(options.importance, options.scope, options.seed)
    _check_numbers(options)
    _check_targets(options, steps)
    check_accelerator(options.accelerator)
    check_free(run_dir)
    ref, voice = resolve_model(model), Voice()
    if steps == ("quantize",):
        _check_float(ref)
    bundle, data, shown = own_images(ref, options, voice, verb="compressed")
    data.check_decidable()
    peers = parse_peers(options.peers, data.task.name, voice)
    config = _recipe(ref, bundle, options, data)
    target = parse_target(options) if "prune" in steps else None
    manifest = manifest_of({"command": "compress"}, model, data, _stored(ref, options, shown))
    deadline = None if seconds is None else Deadline(began + max(seconds - FINISH_S, seconds / 2))
    with tempfile.TemporaryDirectory(prefix="compressdefect-") as folder:
        bench = Bench(data.images, data.split, data.task, Path(folder), options.max_drop / 100, threads=options.threads)
        if "quantize" in steps:
            check_calibration(bench)
        network = bundle.network()
        assert isinstance(network, Inspector)
        first = bench.stage("as it was", bundle.design(), network)
        measured = None if target is None else reachable(target, bench, first)  # refused before there is a run folder
        plan = Plan(measured, pruning, config, int8="quantize" in steps)
        run = RunFolder.create(run_dir, data.task.name, manifest)
        run.write_json("split.json", data.split.to_json(data.images))
        with recorded(run, data.images):
            notes: tuple[str, ...] = ()
            if not len(data.split.val):
                base = _Base(_assignment(bundle, bench, _own_recipe(ref, bundle, options, data), options), voice)
                voice.say(base.cost(plan, bundle))
                bench, plan, notes = rehearsed(
                    bench,
                    first.design,
                    plan,
                    base.train,
                    own_epochs=base.job.config.epochs,
                    deadline=deadline,
                    on_epoch=voice.epoch,
                    say=voice.say,
                )
                first = bench.stage("as it was", first.design, first.network)
            outcome = compress(bench, first, plan, deadline=deadline, on_epoch=voice.epoch, say=voice.say)
            outcome = replace(outcome, notes=(*outcome.notes, *notes))
            result = _deliver(run, bundle, bench, outcome, config, options.threads, voice)
            time_beside_peers(run, peers, threads=options.threads)
    run.finish("complete")
    write_run_report(run, images=data.images)
    return {"run": str(run.path), "task": data.task.name, "metric": data.task.metric, **result}


@dataclass(frozen=True)
class _Base:
    """Trains the model again on parts of its training images, by its own recipe."""

    job: Assignment
    voice: Voice

    def train(self, part: NDArray[np.int64], deadline: Deadline | None) -> Inspector:
        """A network that has seen a part (n,) of the images alone."""
        job = replace(self.job, split=replace(self.job.split, train=part))
        network = job.network()
        fitted = fit(
            network, job.images, part, None, job.task, job.config, deadline=deadline, on_epoch=self.voice.epoch
        )
        if not fitted.history:
            raise TrainingError("there was no time left to train the model", fix="give it more --time")
        return network

    def cost(self, plan: Plan, bundle: Bundle) -> str:
        """What judging out of fold takes, in a line."""
        often, seconds = times(plan, self.job.config.epochs), bundle.manifest.training.get("seconds")
        said = f"no validation part: the steps are judged out of fold, for about {often:.1f} times the model's training"
        return said if seconds is None else f"{said}, {units.duration(often * seconds)} where that was trained"


def _assignment(bundle: Bundle, bench: Bench, config: FitConfig, options: CompressOptions) -> Assignment:
    name = bundle.manifest.name
    return Assignment(name, bundle.design(), bench.images, bench.split, bench.task, config, options.threads)


def _deliver(
    run: RunFolder, bundle: Bundle, bench: Bench, outcome: Outcome, config: FitConfig, threads: int, voice: Voice
) -> dict[str, Any]:
    """Test the model before and after, once, and write the bundle."""
    first, best, shipped = outcome.stages[0], outcome.best, outcome.shipped
    rows = rows_of(outcome, threads)
    run.write_json("steps.json", {"steps": rows, "notes": list(outcome.notes)})
    name = bundle.manifest.name if shipped is first else f"{bundle.manifest.name} compressed"
    known = dict.fromkeys((*bundle.manifest.deviations, *([] if bench.answering is None else [OUT_OF_FOLD])))
    job = Assignment(
        name,
        best.design,
        bench.images,
        bench.split,
        bench.task,
        config,
        threads,
        deviations=tuple(known),
        heard=learned_from(bundle),
    )
    training = (
        {**bundle.manifest.training, "compressed_with": asdict(config)}
        if best is not first
        else bundle.manifest.training
    )
    before = tested(job, bench, first)
    made = ship(run.best, job, bench, outcome, Account(training, rows), say=voice.say)
    return {"steps": rows, "notes": list(outcome.notes), "val": made.val, "before": before.test, "test": made.test}


def _stored(ref: ModelRef, options: CompressOptions, shown: JobOptions) -> dict[str, Any]:
    """The options of this run: the recipe of the model's own, its images, and what was asked of the compression."""
    named = {field.name for field in fields(DataOptions)} - {"seed"} | {"metric", "overkill"}
    images = {name: value for name, value in asdict(anchored(shown)).items() if name in named}
    return {**asdict(options_of(ref.run, TrainOptions, {})), **asdict(options), **images}


def _own_recipe(ref: ModelRef, bundle: Bundle, options: CompressOptions, data: Prepared) -> FitConfig:
    """The recipe that the model was trained by, for as many epochs."""
    given = {"seed": options.seed, "accelerator": options.accelerator}
    config = fit_config(options_of(ref.run, TrainOptions, given), data.shown, data.task.name)
    return replace(config, epochs=bundle.manifest.training.get("epochs_trained", config.epochs))


def _recipe(ref: ModelRef, bundle: Bundle, options: CompressOptions, data: Prepared) -> FitConfig:
    """The model's own recipe for fewer epochs, at its full rate: what a lower one saves is not learned back."""
    given = {"seed": options.seed, "accelerator": options.accelerator}
    own = options_of(ref.run, TrainOptions, given)
    config = fit_config(own, data.shown, data.task.name)
    trained = bundle.manifest.training.get("epochs_trained", config.epochs)
    epochs = options.epochs or max(1, round(EPOCHS_SHARE * trained))
    return replace(config, epochs=epochs, gradual=None)


def _steps(text: str) -> tuple[str, ...]:
    """Read the names of steps, which are done in their own order.

    >>> _steps("quantize, prune")
    ('prune', 'quantize')

    Raises:
        ModelError: one is unknown.
    """
    asked = {name.strip() for name in text.split(",")}
    for name in sorted(asked):
        if name not in STEPS:
            raise ModelError("no such step of a compression", got=name or "nothing", fix=known_names(name, STEPS))
    return tuple(name for name in STEPS if name in asked)


def parse_target(options: CompressOptions) -> Target:
    """What pruning is to reach: one of ``--to-macs``, ``--to-params`` and ``--to-latency``, by default half the macs.

    >>> parse_target(CompressOptions(to_latency="0.5ms"))
    Target(quantity='latency', share=None, limit=0.5)

    Raises:
        SpaceError: it cannot be read.
        ModelError: there are several.
    """
    given = {name: text for name in _PARSERS if (text := getattr(options, f"to_{name}")) is not None}
    if len(given) > 1:
        names = " and ".join(f"--to-{name}" for name in given)
        raise ModelError("pruning has one target", got=names, fix="give one of them")
    ((name, text),) = (given or {"macs": HALF}).items()
    if _is_share(text):
        return Target(name, share=float(text))
    return Target(name, limit=_PARSERS[name](text, f"--to-{name}"))


HALF = "0.5"
_PARSERS: Mapping[str, Callable[[str, str], float]] = {
    "macs": parse_count,
    "params": parse_count,
    "latency": lambda text, name: 1e3 * parse_seconds(text, name),
}


def _check_targets(options: CompressOptions, steps: Sequence[str]) -> None:
    """Refuse a target of a step that is not done."""
    for name in _PARSERS:
        if "prune" not in steps and (text := getattr(options, f"to_{name}")) is not None:
            raise ModelError(
                f"--to-{name} is for pruning", got=f"--steps {options.steps}", fix=f"leave out --to-{name} {text}"
            )


def _check_float(ref: ModelRef) -> None:
    """Refuse to quantize what ships in int8 for this CPU and is to stay as it is in all else."""
    manifest = ref.bundle.manifest if ref.bundle else None
    if manifest and manifest.shipped.precision == "int8" and manifest.shipped.instructions == instructions():
        raise ModelError(
            "the model is quantized already",
            got=ref.name,
            fix="prune it too, or compress the run that it was made from",
        )


def _is_share(text: str) -> bool:
    try:
        return 0 < float(text) < 1
    except ValueError:
        return False


def _check_numbers(options: CompressOptions) -> None:
    for name, least in (("epochs", 1), ("threads", 1), ("seed", 0), ("max_drop", 0)):
        value = getattr(options, name)
        if value is not None and not value >= least:
            raise DataError(f"--{name.replace('_', '-')} must be at least {least}", got=value)
