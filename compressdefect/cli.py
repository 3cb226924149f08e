"""The command line: every command calls one function of ``api``; heavy imports happen inside, so help is instant."""

from __future__ import annotations

import contextlib
import errno
import inspect
import io
import json
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import MISSING
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from compressdefect.errors import CompressDefectError
from compressdefect.options import (
    BenchmarkOptions,
    CompressOptions,
    CostOptions,
    DistillOptions,
    EvaluateOptions,
    Option,
    SearchOptions,
    SplitOptions,
    StudyOptions,
    TrainOptions,
    options_in,
)

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="Find and compress neural networks for visual defect inspection: from a folder of images and a budget to a"
    " tested edge model.\n\nStart with: compressdefect search --data IMAGES --budget-flops 100M",
)

# What several commands take that is not for their options.
RunDir = Annotated[
    Path | None, typer.Option(help="Where to write; default: a new folder in runs/.", rich_help_panel="Run")
]
Resume = Annotated[bool, typer.Option("--resume", help="Resume the run in --run-dir.", rich_help_panel="Run")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout, everything else on stderr.")]
Model = Annotated[str, typer.Argument(help="A run folder, a bundle folder, a design or timm:NAME.")]
Models = Annotated[list[str], typer.Argument(help="Run folders, bundle folders, designs or timm:NAMEs.")]

Command = TypeVar("Command", bound=Callable[..., None])


def takes(kind: type, *names: str) -> Callable[[Command], Command]:
    """Give a command a parameter for each option of a class, or for these of them; those it declares are its own."""

    def declare(command: Command) -> Command:
        signature = inspect.signature(command, eval_str=True)
        own = [p.replace(kind=p.KEYWORD_ONLY) for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
        declared = {parameter.name for parameter in own}
        taken = [
            _parameter(option)
            for option in options_in(kind)
            if option.name not in declared and (not names or option.name in names)
        ]
        command.__signature__ = signature.replace(parameters=[*taken, *own])  # type: ignore[attr-defined]
        return command

    return declare


def _parameter(option: Option) -> inspect.Parameter:
    text = option.help.text
    flags = [f"--{option.name.replace('_', '-')}"] if option.type is bool else []  # without a --no-…
    shown: Any = typer.Option(*flags, help=text, rich_help_panel=option.panel)
    return inspect.Parameter(
        option.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=inspect.Parameter.empty if option.default is MISSING else option.default,
        annotation=Annotated[option.type, typer.Argument(help=text) if option.help.argument else shown],
    )


@app.command()
@takes(SearchOptions)
def search(
    context: typer.Context, run_dir: RunDir = None, resume: Resume = False, as_json: AsJson = False, **options: Any
) -> None:
    """Find, train, test and export a compact network under a budget.

    Example: compressdefect search --data IMAGES --budget-flops 100M --time 20m

    The same, pruned and quantized: compressdefect search --data IMAGES --budget-latency 1ms --compress
    """
    _run("search", as_json, **_given(context))


@app.command()
@takes(TrainOptions)
def train(
    context: typer.Context, model: Model, run_dir: RunDir = None, as_json: AsJson = False, **options: Any
) -> None:
    """Train one model, test it once and export it.

    Example: compressdefect train lightdefectnet --data IMAGES --epochs 40
    """
    _run("train", as_json, **_given(context))


@app.command()
@takes(EvaluateOptions)
def evaluate(context: typer.Context, model: Model, as_json: AsJson = False, **options: Any) -> None:
    """Measure a trained model on the test images of its own split.

    Example: compressdefect evaluate runs/20260105-093000-classify --data IMAGES
    """
    _run("evaluate", as_json, **_given(context))


@app.command()
@takes(CompressOptions)
def compress(
    context: typer.Context,
    model: Annotated[str, typer.Argument(help="A run folder or a bundle folder.")],
    run_dir: RunDir = None,
    as_json: AsJson = False,
    **options: Any,
) -> None:
    """Prune and quantize a trained model, as far as its validation images allow, and test it once.

    Example: compressdefect compress runs/20260105-093000-classify --to-macs 0.5
    """
    _run("compress", as_json, **_given(context))


@app.command()
@takes(DistillOptions)
def distill(context: typer.Context, run_dir: RunDir = None, as_json: AsJson = False, **options: Any) -> None:
    """Train a model that learns from trained ones as well as from the images.

    Example: compressdefect distill --teacher runs/20260105-093000-classify --student lw@0.35
    """
    _run("distill", as_json, **_given(context))


@app.command()
@takes(CostOptions)
def cost(context: typer.Context, models: Models, as_json: AsJson = False, **options: Any) -> None:
    """Count parameters, multiply-accumulates and peak activation memory.

    Example: compressdefect cost lightdefectnet timm:resnet50 --input 224 --classes 2
    """
    _run("cost", as_json, **_given(context))


@app.command()
@takes(BenchmarkOptions)
def benchmark(context: typer.Context, models: Models, as_json: AsJson = False, **options: Any) -> None:
    """Measure latency on onnxruntime, interleaved so that drift hits all models alike.

    Example: compressdefect benchmark runs/NAME timm:efficientnet_b0 --batch 1,10
    """
    _run("benchmark", as_json, **_given(context))


@app.command()
@takes(EvaluateOptions, "data")
def report(
    context: typer.Context,
    run: Annotated[Path, typer.Argument(help="A run folder.")],
    as_json: AsJson = False,
    **options: Any,
) -> None:
    """Write a run's report.html again.

    Example: compressdefect report runs/20260105-093000-classify
    """
    _run("report", as_json, **_given(context))


@app.command()
@takes(StudyOptions)
def study(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="A study by name, or its folder.")],
    run_dir: RunDir = None,
    resume: Resume = False,
    as_json: AsJson = False,
    **options: Any,
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
@takes(SplitOptions, "format", "good", "unlabelled", "bits")
def data_check(
    context: typer.Context,
    data: DataFolder,
    html: Annotated[
        str | None, typer.Option(help="Where the page with pictures goes, or none; default: runs/check-NAME.html.")
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 if anything was found.")] = False,
    as_json: AsJson = False,
    **options: Any,
) -> None:
    """Open every image and say what is wrong with the data: copies, leaks, wrong labels, broken files.

    Example: compressdefect data check IMAGES --strict
    """
    given = {name: value for name, value in _given(context).items() if name != "strict"}
    if _run("data_check", as_json, **given)["findings"] and strict:
        raise typer.Exit(1)


@data_app.command("preview")
@takes(SplitOptions, "format", "bits")
def data_preview(
    context: typer.Context,
    data: DataFolder,
    out: Annotated[Path | None, typer.Option(help="The PNG to write; default: runs/preview-NAME.png.")] = None,
    per_class: Annotated[int, typer.Option(help="Images of each class.")] = 8,
    seed: Annotated[int, typer.Option(help="Seed of the choice of images and of what augmentation does.")] = 0,
    as_json: AsJson = False,
    **options: Any,
) -> None:
    """Draw a contact sheet: images of each class with what is marked in them, and what each augmentation does.

    Example: compressdefect data preview IMAGES --out sheet.png
    """
    _run("data_preview", as_json, **_given(context))


@data_app.command("split")
@takes(SplitOptions)
def data_split(
    context: typer.Context,
    data: DataFolder,
    out: Annotated[Path, typer.Option(help="The file to write; with --folds, one for each, numbered.")] = Path(
        "split.json"
    ),
    folds: Annotated[int | None, typer.Option(help="So many splits, in which every image is tested once.")] = None,
    as_json: AsJson = False,
    **options: Any,
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
    """Print the one line that a user needs and return the exit code; what is a defect of ours is raised again."""
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
