"""``bundle.json``: everything about a shipped model that is not a tensor."""

from __future__ import annotations

import json
from pathlib import PurePosixPath
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from compressdefect.errors import BundleError
from compressdefect.runs import now, versions

SCHEMA_VERSION = 1


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Preprocessing(_Strict):
    """How a decoded image becomes ``pixels``; ``mean`` and ``std`` are applied inside the graph, never before it.

    With ``tile`` an image is resized so that a square of so many of its own pixels gets the input's size, and cut into
    such squares as ``data.tiles.Tiling.of`` says; their answers are joined by its ``join``.
    """

    pixels: Literal["uint8 (N, C, H, W), 0..255"] = "uint8 (N, C, H, W), 0..255"
    resize: Literal["bilinear, antialiased"] = "bilinear, antialiased"
    mean: tuple[float, ...]
    std: tuple[float, ...]
    tile: int | None = Field(default=None, ge=1)


class CostFigures(_Strict):
    """Static cost at the bundle's input size, batch 1."""

    params: int
    macs: int
    flops: int
    peak_bytes: int


class LatencyFigures(_Strict):
    """Milliseconds per sample of one graph."""

    precision: str = "fp32"
    batch: int
    threads: int
    median_ms: float
    p95_ms: float


class Parity(_Strict):
    """Largest difference of probabilities between the network and its graph, on this many real images or tiles."""

    images: int
    max_difference: float


class BundleManifest(_Strict):
    """What ships and the evidence for it.

    ``metrics`` holds the validation's and the test's figures under ``val`` and ``test``. ``files`` is filled in when
    the bundle is written: every file but ``bundle.json`` itself, with its SHA-256.
    """

    schema_version: Literal[1] = 1
    created: str = Field(default_factory=now)
    name: str
    genotype: dict[str, Any] | None = None
    timm: str | None = None
    task: str
    classes: tuple[str, ...] = Field(min_length=2)
    good: int | None
    input: tuple[int, int, int]
    preprocessing: Preprocessing
    threshold: float | None = None
    metrics: dict[str, dict[str, Any]] = {}
    cost: CostFigures
    latency: tuple[LatencyFigures, ...] = ()
    machine: dict[str, Any] = {}
    parity: Parity | None = None
    budgets: dict[str, float] = {}
    data: dict[str, Any] = {}
    training: dict[str, Any] = {}
    deviations: tuple[str, ...] = ()
    versions: dict[str, str] = Field(default_factory=versions)
    default_graph: str = "fp32.onnx"
    files: dict[str, str] = {}

    @model_validator(mode="after")
    def _is_consistent(self) -> BundleManifest:
        if (self.genotype is None) == (self.timm is None):
            raise ValueError("a bundle has either a genotype or a timm name")
        if self.good is not None and not 0 <= self.good < len(self.classes):
            raise ValueError(f"good is {self.good}, but there are {len(self.classes)} classes")
        if not len(self.preprocessing.mean) == len(self.preprocessing.std) == self.input[0]:
            raise ValueError("mean and std have one value per channel of the input")
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
    if data.get("schema_version") != SCHEMA_VERSION:
        raise BundleError(
            "unknown schema version of bundle.json",
            got=data.get("schema_version", "none"),
            fix=f"this release reads version {SCHEMA_VERSION}; install the one that wrote {source}",
        )
    try:
        return BundleManifest.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "as a whole"
        raise BundleError(f"bundle.json is wrong at {where}", got=first["msg"], fix=f"see {source}") from error
