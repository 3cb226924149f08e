"""What a user can ask of the commands: each option once, with its default and its help.

A class is what its options are about, and ``PANEL`` the heading that ``--help`` shows them under. A command's options
are a class that joins some of these. The command line is made of them, so nothing heavy is imported here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Annotated, Any, ClassVar, NamedTuple, get_args, get_type_hints

PANELS = ("Options", "Compression", "Data", "Budget", "Search", "Training", "Run")  # in the order of --help


PEERS = ("timm:mobilenetv3_large_100", "timm:efficientnet_b0")  # known to many who look at a latency


@dataclass(frozen=True)
class Help:
    """What ``--help`` says of an option.

    Attributes:
        text: a sentence.
        argument: whether it is told by its place on the command line and not by its name.
        panel: its heading, where that is not the one of its class.
    """

    text: str
    argument: bool = False
    panel: str | None = None


class Option(NamedTuple):
    """One option as a command declares it."""

    name: str
    type: Any
    default: Any
    help: Help
    panel: str


def options_in(kind: type) -> Iterator[Option]:
    """The options of a class, under their panels in the order of ``PANELS``."""
    hints = get_type_hints(kind, include_extras=True)
    found = []
    for field in fields(kind):
        type_, said = get_args(hints[field.name])
        owner = next(base for base in kind.__mro__ if field.name in vars(base).get("__annotations__", ()))
        found.append(Option(field.name, type_, field.default, said, said.panel or vars(owner)["PANEL"]))
    yield from sorted(found, key=lambda option: PANELS.index(option.panel))


@dataclass(frozen=True, kw_only=True)
class SplitOptions:
    """Which images, how they are read, and how they are shared out."""

    PANEL: ClassVar[str] = "Data"

    data: Annotated[str, Help("A folder of images in a known layout, or 'synthetic'.")] = "synthetic"
    format: Annotated[str | None, Help("Layout of the folder; detected when not given.")] = None
    labels: Annotated[str, Help("'all' classes, 'binary' (good or defective), or a,b,c.")] = "all"
    good: Annotated[str | None, Help("Name of the class of good parts; found by name when not given.")] = None
    unlabelled: Annotated[
        str | None,
        Help("What images of a part without any label file are: 'good', or left out ('skip'). For YOLO."),
    ] = None
    bits: Annotated[
        int | None,
        Help("Bits that 16-bit images use: 8, 10, 12, 14 or 16; default: the fewest that hold all their values."),
    ] = None
    task: Annotated[
        str | None,
        Help("Such as classify or segment; default: the model's own, else as the images are annotated."),
    ] = None
    group: Annotated[str, Help("Keep near duplicates in one split: auto, none, or a REGEX over file names.")] = "auto"
    test_share: Annotated[float | None, Help("Share of the images kept for the test.")] = None
    val_share: Annotated[float, Help("Share of the training part that decisions are made on.")] = 0.2
    seed: Annotated[int, Help("Seed of the split, the samplers and the trainings.", panel="Run")] = 0


@dataclass(frozen=True, kw_only=True)
class DataOptions(SplitOptions):
    """The images as a network sees them."""

    PANEL: ClassVar[str] = "Data"

    split: Annotated[str | None, Help("A split.json of an earlier run or of data split, used as it is.")] = None
    input: Annotated[int | None, Help("Side of the square input, in pixels; default: the design's own.")] = None
    tile: Annotated[
        int | None,
        Help(
            "To segment large images: cut them into overlapping squares of so many pixels, each shown to the model at"
            " its input's size."
        ),
    ] = None


@dataclass(frozen=True, kw_only=True)
class RecipeOptions:
    """How every training is done; what is not given is the task's own."""

    PANEL: ClassVar[str] = "Training"

    epochs: Annotated[int | None, Help("Passes over the training part, at most.")] = None
    loss: Annotated[
        str | None,
        Help("To segment: ce, dice, bce or a sum of them; dice needs another to tell classes apart; default: ce+dice."),
    ] = None
    balance: Annotated[
        float | None,
        Help(
            "How evenly training shows the classes: 0 as often as they occur, 1 all alike; default: 0.5, to segment 1."
        ),
    ] = None
    gradual: Annotated[
        str | None,
        Help(
            "Defects first, magnified, normal images late: 'on', or when to stop magnifying and when to let them in,"
            " such as 20k,80k steps or 22%,89%."
        ),
    ] = None
    augment: Annotated[str | None, Help("Changes of the training images: standard, paper or none.")] = None
    metric: Annotated[
        str | None,
        Help(
            "What validation is judged by: accuracy (or balanced_accuracy) to classify, dice (or iou, macc) to segment,"
            " escape@overkill for either."
        ),
    ] = None
    overkill: Annotated[float, Help("Share of good parts that may be rejected; sets the threshold.")] = 0.01


@dataclass(frozen=True, kw_only=True)
class TimeOptions:
    """How long a command may take."""

    PANEL: ClassVar[str] = "Run"

    time: Annotated[str | None, Help("Whole wall time, everything included, such as 90s, 20m or 2h.")] = None


@dataclass(frozen=True, kw_only=True)
class RunOptions(TimeOptions):
    """Where a command computes, and what its result is shown beside."""

    PANEL: ClassVar[str] = "Run"

    accelerator: Annotated[str, Help("auto, cpu or gpu.")] = "auto"
    threads: Annotated[int, Help("Threads that latency is measured with.")] = 1
    peers: Annotated[
        str | None,
        Help(f"Models that the latency is shown beside, or none; default, as far as they fit: {', '.join(PEERS)}."),
    ] = None


@dataclass(frozen=True, kw_only=True)
class JobOptions(DataOptions, RecipeOptions, RunOptions):
    """What every command that trains is asked."""


@dataclass(frozen=True, kw_only=True)
class TrainOptions(JobOptions):
    """``train``: of the recipe also what a search leaves alone."""

    PANEL: ClassVar[str] = "Training"

    optimizer: Annotated[str | None, Help("adamw or sgd.")] = None
    schedule: Annotated[str | None, Help("cosine or onecycle.")] = None
    learning_rate: Annotated[float | None, Help("Peak learning rate.")] = None
    batch_size: Annotated[int | None, Help("Images a step.")] = None


@dataclass(frozen=True, kw_only=True)
class DistillOptions(TrainOptions):
    """``distill``: who teaches whom, and how much is listened to."""

    PANEL: ClassVar[str] = "Compression"

    teacher: Annotated[
        str, Help("A run or bundle folder; several, such as run1,run2: their mean answer; or timm:NAME with weights.")
    ]
    student: Annotated[str, Help("A design, a genotype.json, a run or timm:NAME; it is trained from scratch.")]
    teacher_weights: Annotated[
        str | None, Help("Of timm:NAME: safetensors, or a checkpoint of nothing but weights. It is fine-tuned first.")
    ] = None
    teacher_pretrained: Annotated[bool, Help("Take timm's own weights instead, from the network.")] = False
    teacher_epochs: Annotated[int, Help("Passes of that fine-tuning over the student's training part.")] = 20
    method: Annotated[
        str,
        Help("What is learned from: the teacher's answers; its maps too, all alike (feature) or by its attention."),
    ] = "answers"
    teacher_share: Annotated[float, Help("Share of the teacher's answers in the loss, from 0 to 1.")] = 0.7
    temperature: Annotated[float, Help("By which the answers of both are softened before they are compared.")] = 4.0
    maps_weight: Annotated[float, Help("Weight of the maps beside these, with feature and attention.")] = 1.0
    unlabelled_images: Annotated[
        str | None, Help("A folder of further images without labels: the teacher's answers to them are learned too.")
    ] = None
    unlabelled_ratio: Annotated[float, Help("So many of them join each step, for each labelled image in it.")] = 1.0


@dataclass(frozen=True, kw_only=True)
class BudgetOptions:
    """What a design may cost."""

    PANEL: ClassVar[str] = "Budget"

    budget_flops: Annotated[str | None, Help("At most so many FLOPs (2 per MAC), such as 100M.")] = None
    budget_macs: Annotated[str | None, Help("At most so many multiply-accumulates.")] = None
    budget_params: Annotated[str | None, Help("At most so many parameters.")] = None
    budget_memory: Annotated[str | None, Help("At most so much peak activation memory, such as 2MiB.")] = None
    budget_size: Annotated[str | None, Help("At most so large a graph file, such as 200k or 0.5M.")] = None
    budget_latency: Annotated[str | None, Help("At most so long for an image, measured, such as 2ms.")] = None


@dataclass(frozen=True, kw_only=True)
class SearchOptions(JobOptions, BudgetOptions):
    """``search``: where to search, and how."""

    PANEL: ClassVar[str] = "Search"

    space: Annotated[str | None, Help("A space by name or .toml path; default: the task's own.", argument=True)] = None
    objective: Annotated[str, Help("netscore, or pareto (metric against MACs or latency).")] = "netscore"
    latency_exponent: Annotated[float, Help("Weight of latency in NetScore.")] = 0.0
    sampler: Annotated[
        str,
        Help(
            "random, tpe, nsga2, surrogate, generative, nni:evolution, nni:tpe; auto: surrogate on a ladder, else tpe."
        ),
    ] = "auto"
    trials: Annotated[int | None, Help("How many designs to train.")] = None
    time: Annotated[
        str | None,
        Help(
            "Whole wall time, everything included, such as 90s, 20m or 2h; default: 6m, or no limit with --trials.",
            panel="Run",
        ),
    ] = None
    ladder: Annotated[
        str,
        Help(
            "Compare many designs by short trainings before a few are trained to the end: on, off or auto (by space)."
        ),
    ] = "auto"
    workers: Annotated[
        int | None, Help("Processes that train at the same time; default: 1, on a ladder one for each core, up to 4.")
    ] = None
    threads_per_trial: Annotated[int | None, Help("Threads of each; default: cores / workers.")] = None
    storage: Annotated[str | None, Help("Optuna storage URL; default: study.db in the run.")] = None
    compress: Annotated[
        bool,
        Help("Quantize the finalists, then teach, prune and quantize the winner.", panel="Compression"),
    ] = False
    max_drop: Annotated[
        float, Help("With --compress: points of the validation metric that it may cost.", panel="Compression")
    ] = 0.5
    teacher: Annotated[
        str | None,
        Help("Who teaches the winner: runs, such as run1,run2; default: the best finalists.", panel="Compression"),
    ] = None
    study: Annotated[str, Help("Name of the Optuna study.")] = "search"


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions:
    """``evaluate``: which of a run's own options may be changed."""

    PANEL: ClassVar[str] = "Data"

    data: Annotated[str | None, Help("The images again, if they moved; default: where the run has them.")] = None
    format: Annotated[str | None, Help("Layout of the folder; default: the run's own.")] = None
    labels: Annotated[str | None, Help("As for train; default: the run's own.")] = None
    good: Annotated[str | None, Help("As for train; default: the run's own.")] = None
    unlabelled: Annotated[str | None, Help("As for train; default: the run's own.")] = None
    group: Annotated[str | None, Help("As for train; default: the run's own.")] = None


@dataclass(frozen=True, kw_only=True)
class CompressOptions(EvaluateOptions, RunOptions):
    """``compress``: which steps, how far, and what they may cost."""

    PANEL: ClassVar[str] = "Compression"

    steps: Annotated[str, Help("What is done, in this order: prune,quantize or one of them.")] = "prune,quantize"
    to_macs: Annotated[
        str | None,
        Help("What pruning leaves of the multiply-accumulates: a share, or a number such as 20M; default: 0.5."),
    ] = None
    to_params: Annotated[str | None, Help("Instead, what it leaves of the weights: a share, or such as 500k.")] = None
    to_latency: Annotated[
        str | None, Help("Instead, what it leaves of the float graph's latency: a share, or a time such as 0.5ms.")
    ] = None
    importance: Annotated[
        str, Help("What says which channels matter least: taylor, magnitude, bn_scale or random.")
    ] = "taylor"
    scope: Annotated[
        str, Help("Whether layers lose as much as their channels matter (global), or all the same share (layer).")
    ] = "global"
    max_drop: Annotated[float, Help("Points of the validation metric that all steps together may cost.")] = 0.5
    epochs: Annotated[
        int | None,
        Help("Passes over the training part after each round of pruning; default: a quarter of the model's own."),
    ] = None
    seed: Annotated[int, Help("Seed of the trainings and of random importance.", panel="Run")] = 0


@dataclass(frozen=True, kw_only=True)
class CostOptions:
    """``cost``: at which input and outputs; a trained model's own, else 3 channels and 2 classes."""

    PANEL: ClassVar[str] = "Options"

    input: Annotated[int | None, Help("Side of the square input, in pixels; default: each model's own.")] = None
    channels: Annotated[int | None, Help("Channels of the input.")] = None
    classes: Annotated[int | None, Help("Outputs of the model.")] = None
    task: Annotated[str | None, Help("classify or segment, for timm models that can be either.")] = None


@dataclass(frozen=True, kw_only=True)
class BenchmarkOptions:
    """``benchmark``: at which input, and all pairs of what is listed."""

    PANEL: ClassVar[str] = "Options"

    input: Annotated[int | None, Help("Side of the square input, in pixels, for all rows.")] = None
    batch: Annotated[str, Help("Batch sizes, such as 1,10.")] = "1"
    threads: Annotated[str, Help("Thread counts, such as 1,2.")] = "1"
    precision: Annotated[str, Help("Precisions, such as fp32,int8; what has no int8 graph is quantized.")] = "fp32"
    task: Annotated[str | None, Help("classify or segment, for timm models that can be either.")] = None


@dataclass(frozen=True, kw_only=True)
class StudyOptions(TimeOptions):
    """``study``: on which data, and how much of it."""

    PANEL: ClassVar[str] = "Options"

    data: Annotated[str | None, Help("The data, where the study lets you choose.")] = None
    share: Annotated[float, Help("Share of the full training: 0.2 is a quick pass.")] = 1.0
    rows: Annotated[str | None, Help("Only these rows, such as 'cost,train-*'; the others stay unfinished.")] = None
    winner: Annotated[str | None, Help("The run of a search, where the study takes one.")] = None
