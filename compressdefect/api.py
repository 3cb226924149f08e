"""One function for each command: it resolves names, does the work and returns what the command prints as JSON."""

from __future__ import annotations

import time as clocks
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compressdefect import catalog
from compressdefect import study as studies
from compressdefect.errors import DataError, ModelError, RunError, SpaceError, known_names
from compressdefect.options import (
    BenchmarkOptions,
    CompressOptions,
    CostOptions,
    EvaluateOptions,
    SearchOptions,
    SplitOptions,
    StudyOptions,
    TrainOptions,
)
from compressdefect.runs import RunFolder
from compressdefect.search.quantity import parse_seconds

if TYPE_CHECKING:
    from compressdefect.cost.cost import Cost
    from compressdefect.deploy.model_ref import ModelRef
    from compressdefect.models.graph import Heads


def search(
    space: str | None = None, *, run_dir: Path | str | None = None, resume: bool = False, **options: Any
) -> dict[str, Any]:
    """Search a space under budgets; train, test, export and report the best design.

    Args:
        space: a space by name or path; None is the task's default.
        run_dir: where to write; None is a new folder in ``runs/``.
        resume: resume the run in ``run_dir``, with that run's own options; of those given now the time, the
            number of trials, the workers, their threads and where the data lies count; any other must be the same.
        options: fields of ``SearchOptions``; what is left out keeps its default, or the resumed run's value.

    Raises:
        InfeasibleError: no design of the space meets the budgets.
        CompressDefectError: an option, the data or the run folder is wrong.
    """
    began = clocks.monotonic()
    from compressdefect.flow.search import run_search
    from compressdefect.flow.stored import resumed

    if space is not None:
        options["space"] = space
    if resume:
        if run_dir is None:
            raise RunError("--resume needs the run to resume", fix="give its folder with --run-dir")
        run = RunFolder.open(Path(run_dir))
        return run_search(resumed(run, options), run, began=began)
    return run_search(SearchOptions(**options), None, began=began, run_dir=None if run_dir is None else Path(run_dir))


def train(model: str, *, run_dir: Path | str | None = None, **options: Any) -> dict[str, Any]:
    """Train one design from scratch, test it once, export it; a run's design starts from scratch too, on its own split.

    Args:
        model: a design, a run or bundle folder, a genotype.json, or ``timm:NAME``.
        run_dir: where to write; None is a new folder in ``runs/``.
        options: fields of ``TrainOptions``.
    """
    began = clocks.monotonic()
    from compressdefect.flow.train import run_training

    return run_training(model, TrainOptions(**options), None if run_dir is None else Path(run_dir), began=began)


def evaluate(model: str, **options: Any) -> dict[str, Any]:
    """Measure a trained model on the test images of its own split, found again by file hash.

    Args:
        model: a run or bundle folder.
        options: fields of ``EvaluateOptions``; what is left out is the run's own.
    """
    from compressdefect.flow.train import run_evaluation

    return run_evaluation(model, EvaluateOptions(**options))


def compress(model: str, *, run_dir: Path | str | None = None, **options: Any) -> dict[str, Any]:
    """Make a trained model smaller and faster, as far as its validation images allow; test, export and report it.

    Args:
        model: a run or bundle folder.
        run_dir: where to write; None is a new folder in ``runs/``.
        options: fields of ``CompressOptions``.

    Raises:
        CompressDefectError: the model is not trained, the images are not its own, or a target cannot be reached.
    """
    began = clocks.monotonic()
    from compressdefect.flow.compress import run_compression

    return run_compression(model, CompressOptions(**options), None if run_dir is None else Path(run_dir), began=began)


def distill(teacher: str, student: str, *, run_dir: Path | str | None = None, **options: Any) -> dict[str, Any]:
    """Train a student from scratch that learns from trained models too; on the first one's images and split.

    Args:
        teacher: a run or bundle folder, or several with commas between: their mean answer teaches.
        student: a design, a run or bundle folder, a genotype.json, or ``timm:NAME``.
        run_dir: where to write; None is a new folder in ``runs/``.
        options: further fields of ``DistillOptions``.

    Raises:
        CompressDefectError: a teacher is not trained, answers another question, or knows images that judge its student.
    """
    began = clocks.monotonic()
    from compressdefect.flow.distill import run_distillation

    given = {"teacher": teacher, "student": student, **options}
    return run_distillation(given, None if run_dir is None else Path(run_dir), began=began)


def cost(models: Sequence[str], **options: Any) -> dict[str, Any]:
    """Count what models cost; untrained ones at 3 channels and 2 classes unless told otherwise.

    A timm model that is not trained classifies, unless ``task`` asks for it as an encoder under our decoder.

    Args:
        models: run and bundle folders, designs and ``timm:NAME``.
        options: fields of ``CostOptions``.
    """
    from compressdefect.cost import counting

    asked = CostOptions(**options)
    _positive(input=asked.input, channels=asked.channels, classes=asked.classes)
    rows = []
    for ref in _resolved(models, asked.task):
        own = ref.trained_input or (3, ref.design.input, ref.design.input)
        shape = (asked.channels or own[0], asked.input or own[1], asked.input or own[2])
        heads = ref.heads(asked.classes)
        found = _priced(ref, shape, heads)
        network = ref.design.build(channels=shape[0], heads=heads)
        rows.append(
            {
                "model": ref.name,
                "input": list(shape),
                "classes": asked.classes or ref.classes(),
                "params": found.params,
                "macs": found.macs,
                "flops": found.flops,
                "peak_bytes": found.peak_bytes,
                "conventions": {"ptflops": counting.ptflops(network, shape)},
                "uncounted": list(found.uncounted),
            }
        )
    return {"models": rows}


def _resolved(models: Sequence[str], task: str | None) -> list[ModelRef]:
    from compressdefect.deploy.model_ref import resolve_model

    refs = [resolve_model(name) for name in models]
    return refs if task is None else [ref.for_task(task) for ref in refs]


def _priced(ref: ModelRef, shape: tuple[int, int, int], heads: Heads) -> Cost:
    try:
        return ref.design.cost(input_shape=shape, heads=heads)
    except AssertionError as error:  # some of timm's networks take one input size only, and say so like this
        raise ModelError(f"{ref.name} cannot be counted at {shape}", got=error, fix="leave --input out") from error


def benchmark(models: Sequence[str], **options: Any) -> dict[str, Any]:
    """Measure models side by side on onnxruntime.

    A timm model that is not trained classifies, unless ``task`` asks for it as an encoder under our decoder.

    Args:
        models: run and bundle folders, designs and ``timm:NAME``.
        options: fields of ``BenchmarkOptions``; batch, threads and precision are lists such as ``1,10``.
    """
    from compressdefect.compress.precision import int8_for_timing
    from compressdefect.deploy.benchmark import Timing
    from compressdefect.deploy.benchmark import benchmark as measure
    from compressdefect.flow.voice import Voice

    asked = BenchmarkOptions(**options)
    _positive(input=asked.input)
    return measure(
        _resolved(models, asked.task),
        input=asked.input,
        timing=Timing(_counts(asked.batch, "--batch"), _counts(asked.threads, "--threads")),
        precisions=[name.strip() for name in asked.precision.split(",")],
        quantize=int8_for_timing,
        say=Voice().say,
    )


def report(run: Path | str, *, data: str | None = None) -> dict[str, Any]:
    """Write a run's ``report.html`` again; with the images its mistakes are shown."""
    from compressdefect.flow.finish import write_run_report

    return {"report": str(write_run_report(RunFolder.open(Path(run)), data=data))}


def study(name: str, *, run_dir: Path | str | None = None, resume: bool = False, **options: Any) -> dict[str, Any]:
    """Run a study's rows that have no result yet; it can be stopped and resumed at any row.

    Args:
        name: a study, or its folder.
        run_dir: where to write; None is a new folder in ``runs/``.
        resume: continue with the first row of the run in ``run_dir`` that has no result.
        options: fields of ``StudyOptions``.
    """
    asked = StudyOptions(**options)
    if not 0 < asked.share <= 1:
        raise RunError(
            "the share of a study must be above 0 and at most 1", got=asked.share, fix="use a value like 0.2"
        )
    seconds = float("inf") if asked.time is None else parse_seconds(asked.time, "--time")
    folder = _study_folder(name)
    module = studies.load_study(folder)
    studies.check_data(module, asked.data)
    studies.chosen(module.rows(asked.share), asked.rows)  # refused before there is a run folder
    path = None if run_dir is None else Path(run_dir)
    run = _study_run(path, folder.name, asked.share) if resume else _new_study_run(path, folder.name, asked)
    deadline = clocks.monotonic() + seconds
    with run.held():
        result = studies.run_study(
            folder,
            run,
            share=asked.share,
            given=studies.Given(asked.data, asked.winner),
            only=asked.rows,
            deadline=deadline,
            on_row=_show_row,
        )
        run.finish("stopped" if result["unfinished"] else "complete")
    return {"run": str(run.path), **result}


def _new_study_run(path: Path | None, name: str, asked: StudyOptions) -> RunFolder:
    data = {"name": asked.data or "synthetic"}
    return RunFolder.create(
        path, f"study-{name}", {"command": "study", "study": name, "share": asked.share, "data": data}
    )


def _study_run(path: Path | None, name: str, share: float) -> RunFolder:
    """The run of this study that is resumed."""
    if path is None:
        raise RunError("--resume needs the run to resume", fix="give its folder with --run-dir")
    run = RunFolder.open(path)
    known, had = run.manifest.get("study"), run.manifest.get("share")
    if (known, had) != (name, share):
        raise RunError(
            "the run is of another study or share",
            got=f"{known} at {had}",
            fix="give the same NAME and --share, or start a new run",
        )
    return run


def _study_folder(name: str) -> Path:
    path = Path(name)
    if (path / "study.py").is_file():
        return path
    known = catalog.studies()
    if name not in known:
        raise SpaceError("no such study", got=name, fix=f"{known_names(name, known)}; or give its folder")
    return known[name]


def _show_row(key: str, done: int, total: int) -> None:
    from rich.console import Console

    Console(stderr=True).print(f"row {done + 1} of {total}: {key}", highlight=False, markup=False)


def data_check(
    data: str,
    *,
    format: str | None = None,
    good: str | None = None,
    unlabelled: str | None = None,
    bits: int | None = None,
    html: str | None = None,
) -> dict[str, Any]:
    """Open every image of a folder and tell what is wrong with the data.

    Args:
        data: a folder in a known layout.
        format: the layout; detected when not given.
        good: the class of good parts; found by name, or by its empty masks, when not given.
        unlabelled: what the images of parts without any label file are: ``good``, or left out (``skip``).
        bits: how many 16-bit images use; the fewest that hold all values when not given.
        html: where the page with pictures goes; None is ``runs/check-NAME.html``, ``"none"`` writes none.

    Raises:
        DataError: the folder, its layout or the good class is wrong.
    """
    from compressdefect.flow.data import run_check

    return run_check(data, format=format, good=good, unlabelled=unlabelled, bits=bits, html=html)


def data_preview(
    data: str,
    *,
    format: str | None = None,
    bits: int | None = None,
    out: str | None = None,
    per_class: int = 8,
    seed: int = 0,
) -> dict[str, Any]:
    """Draw a contact sheet of a folder as PNG: images of each class, and what each augmentation does.

    Raises:
        DataError: the folder or its layout is wrong, or no image can be read.
    """
    from compressdefect.flow.preview import run_preview

    return run_preview(data, format=format, bits=bits, out=out, per_class=per_class, seed=seed)


def data_split(data: str, *, out: str = "split.json", folds: int | None = None, **options: Any) -> dict[str, Any]:
    """Split the images of a folder into a file that every command takes back as ``--split``.

    Args:
        data: a folder in a known layout, or ``synthetic``.
        out: the file; with ``folds``, one for each, with its number added to the name.
        folds: so many splits, in which every image is tested once; an official test part stays, and the rest takes
            turns in validation.
        options: further fields of ``SplitOptions``.

    Raises:
        DataError: the data cannot be split so.
    """
    from compressdefect.flow.data import run_split

    return run_split(SplitOptions(data=data, **options), out, folds)


def list_names(what: str = "spaces") -> dict[str, Any]:
    """List what can be named: spaces with their size, designs, studies or samplers."""
    listers = {"spaces": _list_spaces, "designs": _list_designs, "studies": _list_studies, "samplers": _list_samplers}
    if what not in listers:
        raise ModelError("nothing of that kind can be listed", got=what, fix=known_names(what, listers))
    return {"what": what, "names": listers[what]()}


def _list_spaces() -> list[dict[str, str]]:
    rows, hiding = [], catalog.hiding_spaces()
    for name, path in catalog.spaces().items():
        space = catalog.find_space(str(path))
        hides = f"; {path} hides the space that ships" if name in hiding else ""
        rows.append({"name": name, "size": f"{space.size:.2e} designs", "summary": space.summary + hides})
    return rows


def _list_designs() -> list[dict[str, str]]:
    return [
        {"name": name, "size": "", "summary": f"a design of the space {space.name}"}
        for name, space in catalog.designs().items()
    ]


def _list_studies() -> list[dict[str, str]]:
    return [{"name": name, "size": "", "summary": str(path)} for name, path in catalog.studies().items()]


def _list_samplers() -> list[dict[str, str]]:
    from compressdefect.search.samplers import SAMPLERS

    return [{"name": name, "size": "", "summary": ""} for name in SAMPLERS]


def _positive(**sizes: int | None) -> None:
    for name, value in sizes.items():
        if value is not None and not 1 <= value <= _LARGEST:
            raise DataError(f"--{name} must be at least 1 and at most {_LARGEST}", got=value)


_LARGEST = 10_000


def _counts(text: str, option: str) -> list[int]:
    try:
        counts = [int(part) for part in text.split(",")]
    except ValueError:
        counts = [0]
    if min(counts) < 1:
        raise DataError(f"{option} takes positive whole numbers", got=text, fix="write them like 1,10")
    return counts
