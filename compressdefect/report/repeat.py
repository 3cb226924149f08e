"""The command that repeats a run."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from compressdefect.options import DataOptions, SearchOptions, TrainOptions

_OPTIONS: Mapping[str, type[DataOptions]] = {"search": SearchOptions, "train": TrainOptions}


def command(manifest: Mapping[str, Any]) -> str | None:
    """What to type to run it again, with every option that is not its default; None where it was no search or training.

    >>> command({"command": "train", "model": "lw@0.35", "options": {"data": "my plates", "seed": 3, "threads": 1}})
    "compressdefect train lw@0.35 --data 'my plates' --seed 3"
    """
    name, given = str(manifest.get("command")), manifest.get("options")
    if name not in _OPTIONS or not isinstance(given, Mapping):
        return None
    subject = manifest.get("model") if name == "train" else given.get("space")
    words = ["compressdefect", name, *([str(subject)] if subject else [])]
    for field in sorted(fields(_OPTIONS[name]), key=lambda field: field.name != "data"):  # the data first
        value = given.get(field.name, field.default)
        if field.name != "space" and value != field.default and value is not None:
            words += [f"--{field.name.replace('_', '-')}", str(value)]
    return shlex.join(words)
