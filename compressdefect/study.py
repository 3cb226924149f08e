"""Run a study: a reproducible claim, row by row, with what was expected beside what was measured.

A study is a folder with ``README.md``, ``study.py`` and ``expected.json``. ``study.py`` offers

- ``rows(share) -> list[Row]``: the work, in pieces that can be done and stored one at a time;
- ``tables(results, share) -> list[Table]``: what the finished rows say;
- ``measurements(results) -> dict[str, float]``: the figures that ``expected.json`` has an expectation of;
- if it works on certain data only, ``check(data)``: refuses other data before any row is run.

The life of a study: its rows are listed; each that has no result yet is run and its result stored at once as JSON;
after every row ``report.md`` and ``results.json`` are written again, unfinished rows listed as such. Stopped at any
moment, it continues with the first row that has no result.
"""

from __future__ import annotations

import importlib.util
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from compressdefect.errors import CompressDefectError, RunError
from compressdefect.runs import RunFolder, atomic_write

Results = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Context:
    """What a row may use.

    Attributes:
        folder: the study's run folder.
        data: what to work on.
        results: of the rows so far.
        winner: the run of a search, for a study that takes one.
    """

    folder: Path
    data: str | None
    results: Results
    winner: str | None = None

    def new_folder(self, name: str) -> Path:
        """A path in ``runs/`` where nothing lies yet: a row that was interrupted is run again beside its remains."""
        attempt = 1
        while (free := self.folder / "runs" / f"{name}-{attempt}").exists():
            attempt += 1
        return free

    def once(self, name: str, make: Callable[[Path], Mapping[str, Any]]) -> dict[str, Any]:
        """What ``make`` answers, JSON-able, for the new folder that it is to work in.

        It is stored under its name, so that the same piece of work is done once: for all rows that need it, and in a
        row that is run again.
        """
        stored = self.folder / "runs" / f"{name}.json"
        if not stored.is_file():
            result = make(self.new_folder(name))
            stored.parent.mkdir(exist_ok=True)
            atomic_write(stored, json.dumps(result, indent=1) + "\n")
        return dict(json.loads(stored.read_text(encoding="utf-8")))


@dataclass(frozen=True)
class Row:
    """One piece of a study: a key and the function that measures it."""

    key: str
    measure: Callable[[Context], Mapping[str, Any]]


@dataclass(frozen=True)
class Table:
    """A titled table of text cells."""

    title: str
    header: Sequence[str]
    cells: Sequence[Sequence[str]]

    def markdown(self) -> str:
        """The table in Markdown."""
        lines = [self.header, ["---"] * len(self.header), *self.cells]
        return f"## {self.title}\n\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def load_study(folder: Path) -> ModuleType:
    """Import a study's ``study.py``.

    Raises:
        RunError: it lacks what a study offers.
    """
    spec = importlib.util.spec_from_file_location(f"study_{folder.name}", folder / "study.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for name in ("rows", "tables", "measurements"):
        if not callable(getattr(module, name, None)):
            raise RunError(f"{folder / 'study.py'} has no function {name}", fix="see the study module's documentation")
    return module


def check_data(module: ModuleType, data: str | None) -> None:
    """Let a study refuse the data that it is given.

    Raises:
        CompressDefectError: the study cannot work on it.
    """
    if callable(getattr(module, "check", None)):
        module.check(data)


class Given(NamedTuple):
    """What a study is given to work on; see ``Context``."""

    data: str | None = None
    winner: str | None = None


NOTHING = Given()


def run_study(
    folder: Path,
    run: RunFolder,
    *,
    share: float,
    given: Given = NOTHING,
    only: str | None = None,
    deadline: float = float("inf"),
    on_row: Callable[[str, int, int], None] = lambda key, done, total: None,
) -> dict[str, Any]:
    """Run every row of a study that has no result yet, until a deadline (``time.monotonic`` seconds).

    The rows work on what is ``given``. With ``only`` it is the rows that ``chosen`` says. A row that fails with a
    user-facing error is stored with its reason and tried again the next time.
    """
    module = load_study(folder)
    rows: list[Row] = module.rows(share)
    asked = chosen(rows, only)
    for done, row in enumerate(rows):
        if row not in asked:
            continue
        results = stored_results(run, rows)
        if "error" not in results.get(row.key, {"error": None}):
            continue
        if time.monotonic() >= deadline:
            break
        on_row(row.key, done, len(rows))
        _store(run, row, Context(run.path, given.data, results, given.winner))
        write_report(run, folder, module, rows, share)
    return write_report(run, folder, module, rows, share)


def chosen(rows: Sequence[Row], only: str | None) -> list[Row]:
    """The rows whose keys fit one of the patterns in ``only``, which are told apart by commas; None is every row.

    Raises:
        RunError: a pattern fits none.
    """
    patterns = ["*"] if only is None else [pattern.strip() for pattern in only.split(",")]
    for pattern in patterns:
        if not any(fnmatchcase(row.key, pattern) for row in rows):
            keys = ", ".join(row.key for row in rows)
            raise RunError("the study has no such row", got=pattern, fix=f"its rows are {keys}")
    return [row for row in rows if any(fnmatchcase(row.key, pattern) for pattern in patterns)]


def _store(run: RunFolder, row: Row, context: Context) -> None:
    started = time.monotonic()
    try:
        result = dict(row.measure(context))
    except CompressDefectError as error:
        result = {"error": str(error)}
    (run.path / "rows").mkdir(exist_ok=True)
    run.write_json(f"rows/{row.key}.json", result | {"wall_s": round(time.monotonic() - started, 1)})


def stored_results(run: RunFolder, rows: Sequence[Row]) -> dict[str, dict[str, Any]]:
    """The results on disk, by row key."""
    return {
        row.key: run.read_json(f"rows/{row.key}.json") for row in rows if (run.path / f"rows/{row.key}.json").is_file()
    }


def write_report(run: RunFolder, folder: Path, module: ModuleType, rows: Sequence[Row], share: float) -> dict[str, Any]:
    """Write ``report.md`` and ``results.json`` from what is stored; unfinished rows are listed, not guessed."""
    results = stored_results(run, rows)
    finished = {key: result for key, result in results.items() if "error" not in result}
    missing = [row.key for row in rows if row.key not in finished]
    tables: list[Table] = [*module.tables(finished, share), compare(folder, module.measurements(finished))]
    summary = {"share": share, "results": results, "unfinished": missing}
    atomic_write(run.path / "results.json", json.dumps(summary, indent=1) + "\n")
    text = [f"# {module.__doc__ or run.path.name}".strip(), "", *(table.markdown() for table in tables)]
    if missing:
        text.append(
            "## Unfinished rows\n\n" + "\n".join(f"- {key}{_reason(results.get(key))}" for key in missing) + "\n"
        )
    atomic_write(run.path / "report.md", "\n".join(text))
    return summary | {
        "tables": [{"title": t.title, "header": list(t.header), "rows": [list(c) for c in t.cells]} for t in tables]
    }


def compare(folder: Path, measured: Mapping[str, float]) -> Table:
    """What ``expected.json`` expects beside what was measured.

    Each expectation has a name, a value and a source, and ``at_least``, ``at_most`` or a ``tolerance``.
    """
    cells = []
    for entry in json.loads((folder / "expected.json").read_text(encoding="utf-8")):
        value = measured.get(entry["name"])
        found = "unfinished" if value is None else f"{value:.4g}"
        verdict = "unfinished" if value is None else "met" if _meets(value, entry) else "missed"
        cells.append([entry["name"], _expectation(entry), found, verdict, entry["source"]])
    return Table("Expected and measured", ["figure", "expected", "measured", "verdict", "source"], cells)


def _meets(value: float, entry: Mapping[str, Any]) -> bool:
    if entry.get("at_least"):
        return bool(value >= entry["value"])
    if entry.get("at_most"):
        return bool(value <= entry["value"])
    return abs(value - entry["value"]) <= entry["tolerance"]


def _expectation(entry: Mapping[str, Any]) -> str:
    bound = "≥ " if entry.get("at_least") else "≤ " if entry.get("at_most") else ""
    return f"{bound}{entry['value']:.4g}" + (f" ± {entry['tolerance']:.2g}" if "tolerance" in entry else "")


def _reason(result: Mapping[str, Any] | None) -> str:
    return f": {result['error']}" if result else ""
