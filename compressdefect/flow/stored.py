"""The options that a run was made with: how they are stored, and how a later command reads them again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any, TypeVar

from compressdefect.data.images import SYNTHETIC
from compressdefect.errors import RunError
from compressdefect.options import SearchOptions, SplitOptions
from compressdefect.runs import RunFolder

RESUMABLE = ("time", "trials", "workers", "threads_per_trial", "data")  # what a resumed search may change

Options = TypeVar("Options", bound=SplitOptions)


def anchored(options: Options) -> Options:
    """The options with whole paths, so that a run can be resumed from any folder."""
    changes: dict[str, Any] = {}
    for name in ("data", "split", "space"):
        text = getattr(options, name, None)
        if text not in (None, SYNTHETIC) and Path(text).exists():
            changes[name] = str(Path(text).resolve())
    return replace(options, **changes)


def options_of(run: RunFolder | None, kind: type[Options], given: Mapping[str, Any]) -> Options:
    """The options of one kind that a run was made with, and those given now in their place; None is no run."""
    stored = run.manifest.get("options", {}) if run else {}
    own = {field.name: stored[field.name] for field in fields(kind) if field.name in stored}
    return kind(**{**own, **given})


def resumed(run: RunFolder, given: Mapping[str, Any]) -> SearchOptions:
    """The options of a resumed search, of which only ``RESUMABLE`` may change.

    Raises:
        RunError: it is not the run of a search, or another option differs; a file is the same by any path.
    """
    if run.manifest.get("command") != "search" or not isinstance(run.manifest.get("options"), dict):
        raise RunError("not the run of a search", got=run.path, fix="--resume takes a search's run folder")
    own, now = asdict(options_of(run, SearchOptions, {})), asdict(anchored(SearchOptions(**given)))
    for name, value in given.items():
        if now[name] != own[name] and name not in RESUMABLE:
            raise RunError(
                f"a resumed search keeps its --{name.replace('_', '-')}",
                got=f"{value} instead of {own[name]}",
                fix="start a new run",
            )
    return options_of(run, SearchOptions, given)
