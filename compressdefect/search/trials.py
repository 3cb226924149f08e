"""``trials.csv``: one row per design asked, kept readable whatever happens to the process that writes it.

A design whose training was interrupted, and which was then asked again, has another row for that.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal, NamedTuple, get_args

from compressdefect.errors import RunError
from compressdefect.runs import atomic_write

State = Literal["complete", "compared", "pruned", "failed", "interrupted", "infeasible", "running"]
STATES: tuple[str, ...] = get_args(State)
TRAINED = ("complete", "compared", "pruned", "failed")


@dataclass(frozen=True, kw_only=True)
class TrialRecord:
    """One design asked: what it costs, what it reached, and why it ended. ``number`` is None when it never trained.

    On a ladder ``rung`` is 1 of a design that climbed to the top, and ``score`` what it had in its short training;
    ``metric`` and ``netscore`` are of designs that were trained to the end.
    """

    number: int | None
    state: State
    fingerprint: str
    params: int
    macs: int
    flops: int
    peak_bytes: int
    latency_ms: float | None = None
    metric: float | None = None
    netscore: float | None = None
    rung: int = 0
    score: float | None = None
    epochs: int | None = None
    seconds: float | None = None
    repaired: bool = False
    reason: str = ""
    genotype: str


class Tally(NamedTuple):
    """How many designs were asked, how many of these the gate turned away, and how far the others came.

    ``compared`` are those that a training gave a score, ``climbed`` those that were taken up to be trained to the
    end, and ``finished`` those that were.
    """

    asked: int = 0
    infeasible: int = 0
    compared: int = 0
    climbed: int = 0
    finished: int = 0

    @classmethod
    def of(cls, designs: Iterable[TrialRecord]) -> Tally:
        """Count designs, of which each has one row; those that were interrupted may have another."""
        rows = list(designs)
        return cls(
            asked=len({row.fingerprint for row in rows}),
            infeasible=sum(row.state == "infeasible" for row in rows),
            compared=sum(row.score is not None or row.state == "complete" for row in rows),
            climbed=sum(row.rung > 0 for row in rows),
            finished=sum(row.state == "complete" for row in rows),
        )

    @property
    def admitted(self) -> int:
        """The designs that passed the gate."""
        return self.asked - self.infeasible


COLUMNS = tuple(field.name for field in fields(TrialRecord))
_INTEGERS = {"number", "params", "macs", "flops", "peak_bytes", "rung", "epochs"}
_FLOATS = {"latency_ms", "metric", "netscore", "score", "seconds"}


def read_trials(path: Path) -> list[TrialRecord]:
    """Read a table of trials; a last line that a crash tore is left out.

    Raises:
        RunError: the file is missing, or a line before the last is damaged.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise RunError(f"cannot read {path}", got=error.strerror) from error
    whole = content[: content.rfind(b"\n") + 1].decode()
    rows = list(csv.reader(io.StringIO(whole, newline="")))
    if not rows or tuple(rows[0]) != COLUMNS:
        raise RunError("not a table of trials", got=path, fix=f"its columns should be {','.join(COLUMNS)}")
    return [_parse(path, line, row) for line, row in enumerate(rows[1:], 2)]


def write_trials(path: Path, trials: Iterable[TrialRecord]) -> None:
    """Write a whole table atomically."""
    atomic_write(path, _line(COLUMNS) + "".join(_line(_row(trial)) for trial in trials))


class TrialTable:
    """A run's ``trials.csv``: appended to while the search runs, rewritten in order when it starts and ends.

    Trained designs belong to the study and are only mirrored here; designs that the gate rejected live here alone.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        known = read_trials(path) if path.exists() else []
        self._infeasible = {t.fingerprint: t for t in known if t.state == "infeasible"}

    @property
    def infeasible(self) -> Sequence[TrialRecord]:
        """The designs rejected so far, in the order they were asked."""
        return list(self._infeasible.values())

    def reject(self, trial: TrialRecord) -> None:
        """Append a rejected design, once however often it is asked."""
        if trial.fingerprint not in self._infeasible:
            self._infeasible[trial.fingerprint] = trial
            self.append(trial)

    def append(self, trial: TrialRecord) -> None:
        """Append a row."""
        try:
            with self.path.open("a", encoding="utf-8", newline="") as file:
                file.write(_line(_row(trial)))
        except OSError as error:
            raise RunError(f"cannot write {self.path}", got=error.strerror, fix="free space on the disk") from error

    def rewrite(self, trained: Iterable[TrialRecord]) -> None:
        """Write the whole table again: the study's trials by number, then the rejected designs."""
        write_trials(self.path, [*trained, *self._infeasible.values()])


def _line(values: Iterable[str]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerow(values)
    return buffer.getvalue()


def _row(trial: TrialRecord) -> list[str]:
    values = (getattr(trial, name) for name in COLUMNS)
    return ["" if value is None else str(value).lower() if isinstance(value, bool) else str(value) for value in values]


def _parse(path: Path, line: int, row: list[str]) -> TrialRecord:
    try:
        cells = dict(zip(COLUMNS, row, strict=True))
        values = {name: _value(name, cell) for name, cell in cells.items()}
        if cells["state"] not in STATES:
            raise ValueError(f"state {cells['state']}")
        return TrialRecord(**values)  # type: ignore[arg-type]
    except ValueError as error:
        raise RunError(f"{path}, line {line} is damaged", got=error) from error


def _value(name: str, cell: str) -> object:
    if name in _INTEGERS | _FLOATS:
        number = int if name in _INTEGERS else float
        return None if cell == "" else number(cell)
    return cell == "true" if name == "repaired" else cell
