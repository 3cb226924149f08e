"""The options that a run was made with: how they are stored, and how a later command reads them again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any, TypeVar

from compressdefect.data.images import SYNTHETIC
from compressdefect.deploy.model_ref import whole_model
from compressdefect.errors import RunError
from compressdefect.options import SearchOptions, SplitOptions
from compressdefect.runs import RunFolder

RESUMABLE = ("time", "trials", "workers", "threads_per_trial", "data")  # what a resumed search may change

Options = TypeVar("Options", bound=SplitOptions)


def anchored(options: Options) -> Options:
    """The options with whole paths, so that a run can be resumed from any folder."""
    given = {name: getattr(options, name, None) for name in _WHOLE}
    changes: dict[str, Any] = {name: _WHOLE[name](text) for name, text in given.items() if text is not None}
    return replace(options, **changes)


def _whole_folder(text: str) -> str:
    return str(Path(text).resolve()) if text != SYNTHETIC and Path(text).exists() else text


def _whole_file(text: str) -> str:
    """A file, where it is none but a name that a folder may have too."""
    return str(Path(text).resolve()) if Path(text).is_file() else text


def _whole_storage(url: str) -> str:
    from compressdefect.search.study import whole_url

    return whole_url(url)


def _whole_models(text: str) -> str:
    return ", ".join(whole_model(name.strip()) for name in text.split(","))


_WHOLE: Mapping[str, Callable[[str], str]] = {
    "data": _whole_folder,
    "split": _whole_file,
    "space": _whole_file,
    "storage": _whole_storage,
    "peers": _whole_models,
    "teacher": _whole_models,
    "unlabelled_images": _whole_folder,
    "teacher_weights": _whole_file,
    "student": whole_model,
}


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
