"""The command that repeats a run."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from compressdefect.options import CompressOptions, DistillOptions, SearchOptions, TrainOptions

_OPTIONS: Mapping[str, type[Any]] = {
    "search": SearchOptions,
    "train": TrainOptions,
    "compress": CompressOptions,
    "distill": DistillOptions,
}
_SUBJECTS = ("train", "compress")  # of these commands the model is an argument


def command(manifest: Mapping[str, Any]) -> str | None:
    """What to type to run it again, with every option that is not its default; None where it was another command.

    >>> command({"command": "train", "model": "lw@0.35", "options": {"data": "my plates", "seed": 3, "threads": 1}})
    "compressdefect train lw@0.35 --data 'my plates' --seed 3"
    """
    name, given = str(manifest.get("command")), manifest.get("options")
    if name not in _OPTIONS or not isinstance(given, Mapping):
        return None
    subject = manifest.get("model") if name in _SUBJECTS else given.get("space")
    words = ["compressdefect", name, *([str(subject)] if subject else [])]
    for field in sorted(fields(_OPTIONS[name]), key=lambda field: field.name != "data"):  # the data first
        value = given.get(field.name, field.default)
        if field.name != "space" and value != field.default and value is not None:
            option = f"--{field.name.replace('_', '-')}"
            words += [option] if value is True else [option, str(value)]
    return shlex.join(words)
