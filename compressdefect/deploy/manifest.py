"""``bundle.json``: everything about a shipped model that is not a tensor."""

from __future__ import annotations

import json
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from compressdefect.errors import BundleError
from compressdefect.runs import now, versions

if TYPE_CHECKING:
    from compressdefect.train.task import Task

SCHEMA_VERSION = 3
READABLE = (2, 3)  # 3 tells of several graphs; what 2 has is in it


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Preprocessing(_Strict):
    """How a decoded image becomes ``pixels``; ``mean`` and ``std`` are applied inside the graph, never before it.

    With ``tile`` an image is resized so that a square of so many of its own pixels gets the input's size, and cut into
    such squares as ``data.tiles.Tiling.of`` says; their answers are joined by its ``join``. Of a 16-bit image so many
    ``bits`` are used: 2**bits - 1 becomes 255.
    """

    pixels: Literal["uint8 (N, C, H, W), 0..255"] = "uint8 (N, C, H, W), 0..255"
    resize: Literal["bilinear, antialiased"] = "bilinear, antialiased"
    mean: tuple[float, ...]
    std: tuple[float, ...]
    tile: int | None = Field(default=None, ge=1)
    bits: int | None = Field(default=None, ge=8, le=16)


class CostFigures(_Strict):
    """Static cost at the bundle's input size, batch 1."""

    params: int
    macs: int
    flops: int
    peak_bytes: int


class LatencyFigures(_Strict):
    """Milliseconds per sample of one graph."""

    batch: int
    threads: int
    median_ms: float
    p95_ms: float


class Parity(_Strict):
    """Largest difference of any answer between the network and its graph, on this many real images or tiles."""

    images: int
    max_difference: float


class Agreement(_Strict):
    """A graph of another precision beside the float32 one, on so many validation images.

    Attributes:
        images: how many.
        verdicts: share of them that both call the same: accepted or rejected by each one's own threshold, or, where no
            class is good, the most probable class.
        mean_difference: of the probabilities of whole images.
    """

    images: int
    verdicts: float
    mean_difference: float


class GraphFigures(_Strict):
    """One of the graphs that ship: what it is, and what was measured of it.

    Attributes:
        precision: "fp32" or "int8".
        bytes: of the file.
        parity: with the network, of a graph that computes as it does.
        agreement: with the float32 graph, of one that does not.
        threshold: its own, from its own answers on validation images.
        latency: measured in turns with the other graphs.
        instructions: of the CPU that chose how it computes, where that was chosen.
        made: how it was made, in words.
    """

    precision: str
    bytes: int
    parity: Parity | None = None
    agreement: Agreement | None = None
    threshold: float | None = None
    latency: tuple[LatencyFigures, ...] = ()
    instructions: tuple[str, ...] = ()
    made: str = ""


class Reading(_Strict):
    """How to read what the model answers.

    Attributes:
        outputs: the graph's outputs and their shapes.
        figures: key and title of each figure that tables show.
        notes: what a reader of the figures should know.
        claim: what the model does, with {} for the first figure.
        basis: what is counted in it.
        decided_by: what of an image is compared with the threshold.
    """

    outputs: dict[str, str]
    figures: tuple[tuple[str, str], ...]
    notes: str
    claim: str
    basis: str
    decided_by: str

    @classmethod
    def of(cls, task: Task) -> Reading:
        """What a task says of itself."""
        return cls(
            outputs=dict(task.outputs),
            figures=tuple((figure.key, figure.title) for figure in task.figures),
            notes=task.notes,
            claim=task.claim,
            basis=task.basis,
            decided_by=task.decided_by,
        )


class BundleManifest(_Strict):
    """What ships and the evidence for it.

    ``design`` is the JSON of a ``models.design.Design``. ``heads`` names the outputs of each head of the network,
    ``classes`` those that whole images are told apart by; ``graphs`` are the ONNX files by name.
    ``metrics`` holds the validation's and the test's figures under ``val`` and ``test``. ``files`` is filled in when
    the bundle is written: every file but ``bundle.json`` itself, with its SHA-256. ``threshold`` is that of the default
    graph, and ``steps`` are those of a compression, with the figures of each on validation images.
    """

    schema_version: int = SCHEMA_VERSION
    created: str = Field(default_factory=now)
    name: str
    design: dict[str, Any]
    task: str
    heads: dict[str, tuple[str, ...]] = Field(min_length=1)
    reading: Reading
    classes: tuple[str, ...] = Field(min_length=2)
    good: int | None
    input: tuple[int, int, int]
    preprocessing: Preprocessing
    threshold: float | None = None
    metrics: dict[str, dict[str, Any]] = {}
    cost: CostFigures
    graphs: dict[str, GraphFigures]
    machine: dict[str, Any] = {}
    budgets: dict[str, float] = {}
    data: dict[str, Any] = {}
    training: dict[str, Any] = {}
    deviations: tuple[str, ...] = ()
    steps: tuple[dict[str, Any], ...] = ()
    versions: dict[str, str] = Field(default_factory=versions)
    default_graph: str
    files: dict[str, str] = {}

    @property
    def shipped(self) -> GraphFigures:
        """The graph that is used unless another is asked for."""
        return self.graphs[self.default_graph]

    def graph_of(self, precision: str) -> str | None:
        """The file of a graph by its precision, if there is one."""
        return next((name for name, graph in self.graphs.items() if graph.precision == precision), None)

    @model_validator(mode="after")
    def _is_consistent(self) -> BundleManifest:
        if self.good is not None and not 0 <= self.good < len(self.classes):
            raise ValueError(f"good is {self.good}, but there are {len(self.classes)} classes")
        if not len(self.preprocessing.mean) == len(self.preprocessing.std) == self.input[0]:
            raise ValueError("mean and std have one value per channel of the input")
        if self.default_graph not in self.graphs:
            raise ValueError(f"the default graph {self.default_graph} is not among its graphs")
        for name, digest in self.files.items():
            _check_file(name, digest)
        return self


def _check_file(name: str, digest: str) -> None:
    """A listed name stays in the folder, on any system."""
    path = PurePosixPath(name)
    if (
        path.is_absolute()
        or ".." in path.parts
        or "\\" in name
        or ":" in name
        or path.as_posix() != name
        or name == "."
    ):
        raise ValueError(f"the listed file {name!r} leaves the folder")
    if len(digest) != 64 or set(digest) - set("0123456789abcdef"):
        raise ValueError(f"the checksum of {name} is not a SHA-256")


def parse_manifest(text: str | bytes, *, source: object) -> BundleManifest:
    """Read the text of a ``bundle.json``.

    Raises:
        BundleError: it is not JSON, of another schema version, or a field is missing, unknown or wrong.
    """
    try:
        data = json.loads(text)
    except ValueError as error:
        raise BundleError("bundle.json is not JSON", got=source, fix="export the model again") from error
    if not isinstance(data, dict):
        raise BundleError("bundle.json does not hold an object", got=source, fix="export the model again")
    if data.get("schema_version") not in READABLE:
        raise BundleError(
            "unknown schema version of bundle.json",
            got=data.get("schema_version", "none"),
            fix=f"this release reads versions {READABLE[0]} to {READABLE[-1]}; install the one that wrote {source}",
        )
    try:
        return BundleManifest.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "as a whole"
        raise BundleError(f"bundle.json is wrong at {where}", got=first["msg"], fix=f"see {source}") from error
