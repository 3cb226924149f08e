"""A genotype is one design as plain data: it can be stored, compared and built, and is never changed in place."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from compressdefect.errors import SpaceError
from compressdefect.space.domain import Value

Genes = Mapping[str, Value]


@dataclass(frozen=True)
class StageGenes:
    """The genes of one stage and of each of its columns."""

    genes: Genes
    columns: tuple[Genes, ...] = ()


@dataclass(frozen=True)
class Genotype:
    """One design of a family: the genes of the whole net and of each stage; only active genes are in it."""

    template: str
    net: Genes
    stages: tuple[StageGenes, ...] = ()

    @cached_property
    def fingerprint(self) -> str:
        """16 hex digits that are equal exactly when the designs are."""
        canonical = json.dumps(self.to_json(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]

    def to_json(self) -> dict[str, Any]:
        """The design as JSON values."""
        return {
            "template": self.template,
            "net": dict(self.net),
            "stages": [{"genes": dict(s.genes), "columns": [dict(c) for c in s.columns]} for s in self.stages],
        }

    @classmethod
    def from_json(cls, data: Any) -> Genotype:
        """Read what ``to_json`` wrote.

        Raises:
            SpaceError: the data does not have that form.
        """
        try:
            stages = tuple(
                StageGenes(_genes(s["genes"]), tuple(_genes(c) for c in s["columns"])) for s in data["stages"]
            )
            return cls(str(data["template"]), _genes(data["net"]), stages)
        except (KeyError, TypeError) as error:
            raise SpaceError(
                "not a genotype", got=repr(data)[:80], fix="use a genotype.json as a run wrote it"
            ) from error


def _genes(data: Any) -> dict[str, Value]:
    if not isinstance(data, dict) or not all(isinstance(v, bool | int | float | str) for v in data.values()):
        raise TypeError("genes are a table of plain values")
    return dict(data)
