"""The command line: every command calls one function of ``api``; heavy imports happen inside, so help is instant."""

from __future__ import annotations

import contextlib
import errno
import io
import json
import os
import signal
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from compressdefect.errors import CompressDefectError
from compressdefect.options import SearchOptions

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="Find and compress neural networks for visual defect inspection: from a folder of images and a budget to a"
    " tested edge model.\n\nStart with: compressdefect search --data IMAGES --budget-flops 100M",
)

_DEFAULTS = SearchOptions()

# Options that several commands share.
Data = Annotated[str, typer.Option(help="A folder of images in a known layout, or 'synthetic'.")]
OwnData = Annotated[str | None, typer.Option(help="The images again, if they moved; default: where the run has them.")]
Format = Annotated[str | None, typer.Option(help="Layout of the folder; detected when not given.")]
Labels = Annotated[str, typer.Option(help="'all' classes, 'binary' (good or defective), or a,b,c.")]
Good = Annotated[str | None, typer.Option(help="Name of the class of good parts; found by name when not given.")]
Unlabelled = Annotated[
    str | None,
    typer.Option(help="What images of a part without any label file are: 'good', or left out ('skip'). For YOLO."),
]
Group = Annotated[str, typer.Option(help="Keep near duplicates in one split: auto, none, or a REGEX over file names.")]
SplitFile = Annotated[
    Path | None, typer.Option("--split", help="A split.json of an earlier run or of data split, used as it is.")
]
TestShare = Annotated[float | None, typer.Option(help="Share of the images kept for the test.")]
ValShare = Annotated[float, typer.Option(help="Share of the training part that decisions are made on.")]
Input = Annotated[int | None, typer.Option(help="Side of the square input, in pixels; default: the design's own.")]
TileSide = Annotated[
    int | None,
    typer.Option(
        "--tile",
        help="To segment large images: cut them into overlapping squares of so many pixels, each shown to the model at"
        " its input's size.",
    ),
]
Task = Annotated[
    str | None, typer.Option(help="classify or segment; default: the model's own, else as the images are annotated.")
]
TimmTask = Annotated[
    str | None, typer.Option("--task", help="classify or segment, for timm models that can be either.")
]
Metric = Annotated[
    str | None,
    typer.Option(
        help="What is maximised: accuracy (or balanced_accuracy) to classify, dice (or iou, macc) to segment,"
        " escape@overkill for either."
    ),
]
Loss = Annotated[
    str | None,
    typer.Option(
        help="To segment: ce, dice, bce or a sum of them; dice needs another to tell classes apart; default: ce+dice."
    ),
]
Balance = Annotated[
    float | None,
    typer.Option(
        help="How evenly training shows the classes: 0 as often as they occur, 1 all alike; default: 0.5, to segment 1."
    ),
]
Gradual = Annotated[
    str | None,
    typer.Option(
        help="Defects first, magnified, normal images late: 'on', or when to stop magnifying and when to let them in,"
        " such as 20k,80k steps or 22%,89%."
    ),
]
Augment = Annotated[str | None, typer.Option(help="Changes of the training images: standard, paper or none.")]
Overkill = Annotated[float, typer.Option(help="Share of good parts that may be rejected; sets the threshold.")]
Epochs = Annotated[int | None, typer.Option(help="Passes over the training part, at most.")]
Time = Annotated[str | None, typer.Option(help="Whole wall time, everything included, such as 90s, 20m or 2h.")]
Seed = Annotated[int, typer.Option(help="Seed of the split, the samplers and the trainings.")]
RunDir = Annotated[Path | None, typer.Option(help="Where to write; default: a new folder in runs/.")]
Accelerator = Annotated[str, typer.Option(help="auto, cpu or gpu.")]
Peers = Annotated[str, typer.Option(help="Models that the latency is shown beside, or none.")]
Threads = Annotated[int, typer.Option(help="Threads that latency is measured with.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout, everything else on stderr.")]
Model = Annotated[str, typer.Argument(help="A run folder, a bundle folder, a design or timm:NAME.")]
Models = Annotated[list[str], typer.Argument(help="Run folders, bundle folders, designs or timm:NAMEs.")]


@app.command()
def search(
    context: typer.Context,
    space: Annotated[str | None, typer.Argument(help="A space by name or .toml path; default: the task's own.")] = None,
    data: Data = "synthetic",
    budget_flops: Annotated[str | None, typer.Option(help="At most so many FLOPs (2 per MAC), such as 100M.")] = None,
    budget_macs: Annotated[str | None, typer.Option(help="At most so many multiply-accumulates.")] = None,
    budget_params: Annotated[str | None, typer.Option(help="At most so many parameters.")] = None,
    budget_memory: Annotated[str | None, typer.Option(help="At most so much peak activation memory: 2MiB.")] = None,
    budget_latency: Annotated[str | None, typer.Option(help="At most so long an image, measured: 2ms.")] = None,
    objective: Annotated[str, typer.Option(help="netscore, or pareto (metric against MACs or latency).")] = "netscore",
    latency_exponent: Annotated[float, typer.Option(help="Weight of latency in NetScore.")] = 0.0,
    sampler: Annotated[str, typer.Option(help="random, tpe, nsga2, nni:evolution or nni:tpe.")] = "tpe",
    trials: Annotated[int | None, typer.Option(help="How many designs to train.")] = None,
    time: Time = None,
    epochs: Epochs = None,
    workers: Annotated[int, typer.Option(help="Processes that train at the same time.")] = 1,
    threads_per_trial: Annotated[int | None, typer.Option(help="Threads of each; default: cores / workers.")] = None,
    threads: Threads = 1,
    storage: Annotated[str | None, typer.Option(help="Optuna storage URL; default: study.db in the run.")] = None,
    study: Annotated[str, typer.Option(help="Name of the Optuna study.")] = "search",
    resume: Annotated[bool, typer.Option(help="Go on with the run in --run-dir.")] = False,
    format: Format = None,
    labels: Labels = "all",
    good: Good = None,
    unlabelled: Unlabelled = None,
    group: Group = "auto",
    split: SplitFile = None,
    test_share: TestShare = None,
    val_share: ValShare = 0.2,
    input: Input = None,
    tile: TileSide = None,
    task: Task = None,
    metric: Metric = None,
    overkill: Overkill = 0.01,
    loss: Loss = None,
    balance: Balance = None,
    gradual: Gradual = None,
    augment: Augment = None,
    accelerator: Accelerator = "auto",
    peers: Peers = _DEFAULTS.peers,
    seed: Seed = 0,
    run_dir: RunDir = None,
    as_json: AsJson = False,
) -> None:
    """Find, train, test and export a compact network under a budget.

    Example: compressdefect search --data IMAGES --budget-flops 100M --time 20m
    """
    _run("search", as_json, **_given(context))


@app.command()
def train(
    context: typer.Context,
    model: Model,
    data: Data = "synthetic",
    epochs: Epochs = None,
    time: Time = None,
    format: Format = None,
    labels: Labels = "all",
    good: Good = None,
    unlabelled: Unlabelled = None,
    group: Group = "auto",
    split: SplitFile = None,
    test_share: TestShare = None,
    val_share: ValShare = 0.2,
    input: Input = None,
    tile: TileSide = None,
    task: Task = None,
    overkill: Overkill = 0.01,
    loss: Loss = None,
    balance: Balance = None,
    gradual: Gradual = None,
    augment: Augment = None,
    optimizer: Annotated[str | None, typer.Option(help="adamw or sgd.")] = None,
    schedule: Annotated[str | None, typer.Option(help="cosine or onecycle.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Peak learning rate.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Images a step.")] = None,
    accelerator: Accelerator = "auto",
    threads: Threads = 1,
    peers: Peers = _DEFAULTS.peers,
    seed: Seed = 0,
    run_dir: RunDir = None,
    as_json: AsJson = False,
) -> None:
    """Train one model, test it once and export it.

    Example: compressdefect train lightdefectnet --data IMAGES --epochs 40
    """
    _run("train", as_json, **_given(context))


@app.command()
def evaluate(
    context: typer.Context,
    model: Model,
    data: OwnData = None,
    format: Annotated[str | None, typer.Option(help="Layout of the folder; default: the run's own.")] = None,
    labels: Annotated[str | None, typer.Option(help="As for train; default: the run's own.")] = None,
    good: Annotated[str | None, typer.Option(help="As for train; default: the run's own.")] = None,
    unlabelled: Annotated[str | None, typer.Option(help="As for train; default: the run's own.")] = None,
    as_json: AsJson = False,
) -> None:
    """Measure a trained model on the test images of its own split.

    Example: compressdefect evaluate runs/20260105-093000-classify --data IMAGES
    """
    _run("evaluate", as_json, **_given(context))


@app.command()
def cost(
    context: typer.Context,
    models: Models,
    input: Annotated[int | None, typer.Option(help="Side of the square input, in pixels.")] = None,
    channels: Annotated[int | None, typer.Option(help="Channels of the input.")] = None,
    classes: Annotated[int | None, typer.Option(help="Outputs of the model.")] = None,
    task: TimmTask = None,
    as_json: AsJson = False,
) -> None:
    """Count parameters, multiply-accumulates and peak activation memory.

    Example: compressdefect cost lightdefectnet timm:resnet50 --input 224 --classes 2
    """
    _run("cost", as_json, **_given(context))


@app.command()
def benchmark(
    context: typer.Context,
    models: Models,
    input: Annotated[int | None, typer.Option(help="Side of the square input, in pixels, for all rows.")] = None,
    batch: Annotated[str, typer.Option(help="Batch sizes, such as 1,10.")] = "1",
    threads: Annotated[str, typer.Option(help="Thread counts, such as 1,2.")] = "1",
    precision: Annotated[str, typer.Option(help="Precisions, such as fp32.")] = "fp32",
    task: TimmTask = None,
    as_json: AsJson = False,
) -> None:
    """Measure latency on onnxruntime, interleaved so that drift hits all models alike.

    Example: compressdefect benchmark runs/NAME timm:efficientnet_b0 --batch 1,10
    """
    _run("benchmark", as_json, **_given(context))


@app.command()
def report(
    context: typer.Context,
    run: Annotated[Path, typer.Argument(help="A run folder.")],
    data: OwnData = None,
    as_json: AsJson = False,
) -> None:
    """Write a run's report.html again.

    Example: compressdefect report runs/20260105-093000-classify
    """
    _run("report", as_json, **_given(context))


@app.command()
def study(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="A study by name, or its folder.")],
    data: Annotated[str | None, typer.Option(help="The data, where the study lets you choose.")] = None,
    share: Annotated[float, typer.Option(help="Share of the full training: 0.2 is a quick pass.")] = 1.0,
    time: Time = None,
    resume: Annotated[bool, typer.Option(help="Go on with the run in --run-dir.")] = False,
    run_dir: RunDir = None,
    as_json: AsJson = False,
) -> None:
    """Reproduce a published table, row by row.

    Example: compressdefect study lightdefectnet --share 0.2
    """
    _run("study", as_json, **_given(context))


@app.command("list")
def list_(
    what: Annotated[str, typer.Argument(help="spaces, designs, studies or samplers.")] = "spaces",
    as_json: AsJson = False,
) -> None:
    """List what can be named on the command line.

    Example: compressdefect list spaces
    """
    _run("list_names", as_json, what=what)


data_app = typer.Typer(no_args_is_help=True, help="Check, look at and split a folder of images.")
app.add_typer(data_app, name="data")

DataFolder = Annotated[str, typer.Argument(metavar="DATA", help="A folder of images in a known layout.")]


@data_app.command("check")
def data_check(
    context: typer.Context,
    data: DataFolder,
    format: Format = None,
    good: Good = None,
    unlabelled: Unlabelled = None,
    html: Annotated[
        str | None, typer.Option(help="Where the page with pictures goes, or none; default: runs/check-NAME.html.")
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 if anything was found.")] = False,
    as_json: AsJson = False,
) -> None:
    """Open every image and say what is wrong with the data: copies, leaks, wrong labels, broken files.

    Example: compressdefect data check IMAGES --strict
    """
    options = {name: value for name, value in _given(context).items() if name != "strict"}
    if _run("data_check", as_json, **options)["findings"] and strict:
        raise typer.Exit(1)


@data_app.command("preview")
def data_preview(
    context: typer.Context,
    data: DataFolder,
    format: Format = None,
    out: Annotated[Path | None, typer.Option(help="The PNG to write; default: runs/preview-NAME.png.")] = None,
    per_class: Annotated[int, typer.Option(help="Images of each class.")] = 8,
    seed: Annotated[int, typer.Option(help="Seed of the choice of images and of what augmentation does.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Draw a contact sheet: images of each class with what is marked in them, and what each augmentation does.

    Example: compressdefect data preview IMAGES --out sheet.png
    """
    _run("data_preview", as_json, **_given(context))


@data_app.command("split")
def data_split(
    context: typer.Context,
    data: DataFolder,
    out: Annotated[Path, typer.Option(help="The file to write; with --folds, one for each, numbered.")] = Path(
        "split.json"
    ),
    format: Format = None,
    labels: Labels = "all",
    good: Good = None,
    unlabelled: Unlabelled = None,
    group: Group = "auto",
    task: Annotated[
        str | None, typer.Option(help="segment: only images whose defects are marked, as in that training.")
    ] = None,
    test_share: TestShare = None,
    val_share: ValShare = 0.2,
    folds: Annotated[int | None, typer.Option(help="So many splits, in which every image is tested once.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the split.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Split the images by class, groups of near duplicates kept together, into a file that --split takes back.

    Example: compressdefect data split IMAGES --out split.json --folds 5
    """
    _run("data_split", as_json, **_given(context))


def _given(context: typer.Context) -> dict[str, Any]:
    """What was typed; the rest is left to the defaults of ``api``, or to the run that is resumed."""
    typed = {name: value for name, value in context.params.items() if _is_typed(context, name) and name != "as_json"}
    return {name: str(value) if isinstance(value, Path) else value for name, value in typed.items()}


def _is_typed(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name != "DEFAULT"


def _run(function: str, as_json: bool, **options: Any) -> dict[str, Any]:
    """Call one function of ``api``, print its result and return it; only the result reaches stdout."""
    with contextlib.redirect_stdout(sys.stderr):
        from compressdefect import api, console

        result: dict[str, Any] = getattr(api, function)(**options)
    typer.echo(json.dumps(result)) if as_json else console.show(function, result)
    if result.get("status") == "stopped":
        raise typer.Exit(_STOPPED)
    return result


def main() -> None:
    """Run the command line; a user's mistake is one line on stderr and exit code 2. SIGTERM stops as Ctrl-C does."""
    signal.signal(signal.SIGTERM, _terminate)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # as stderr does: names may hold what cannot be printed
    try:
        code = app(standalone_mode=False)
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - sorted into the user's mistakes and our defects
        code = _explain(error)
    if code == _STOPPED:
        typer.echo("stopped", err=True)
    sys.exit(code if isinstance(code, int) else 0)


def _terminate(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def _explain(error: BaseException) -> int:
    """Print the one line that a user needs and return the exit code; what is a defect of ours goes on as it is."""
    if isinstance(error, CompressDefectError):
        return _fail(str(error), error.exit_code)
    if isinstance(error, KeyboardInterrupt):
        return _STOPPED
    if hasattr(error, "format_message"):  # the parser's own errors
        return _fail(" ".join(error.format_message().split()) or "see --help", 2)
    if isinstance(error, BrokenPipeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    if isinstance(error, OSError) and error.errno in _DISK_ERRORS:
        return _fail(f"cannot write {error.filename or 'a file'}: got {error.strerror}; free space or permissions", 2)
    raise error


_STOPPED = 130  # the shell's own code for Ctrl-C
_DISK_ERRORS = (errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EDQUOT, errno.EPERM)


def _fail(message: str, code: int) -> int:
    typer.echo(f"error: {message}", err=True)
    return code


if __name__ == "__main__":
    main()
