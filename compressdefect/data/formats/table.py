"""Rows of CSV files, whatever their delimiter."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from pathlib import Path

from compressdefect.data.formats.collect import Collector
from compressdefect.data.formats.files import read_text, relative_name
from compressdefect.errors import DataError

MAX_BYTES = 2**30

_DELIMITERS = ",;\t"
_UNKNOWN = "\N{REPLACEMENT CHARACTER}"  # what a byte that is not UTF-8 is read as
_LINE = 4096  # bytes of a line that are looked at to tell what kind of table it is


def first_rows(path: Path) -> tuple[list[str], list[str]]:
    """The column names of a table in lower case and its first row; empty if they cannot be read."""
    try:
        with path.open("rb") as file:
            first, second = (file.readline(_LINE).decode("utf-8-sig", errors="replace") for _ in range(2))
    except OSError:
        return [], []
    delimiter = _delimiter(first)
    return [name.lower() for name in _fields(first, delimiter)], _fields(second, delimiter)


def read_table(
    path: Path, collector: Collector, broken: Callable[[str], None] = lambda cell: None
) -> Iterator[dict[str, str]]:
    """The rows by column name in lower case; one of another length is a finding, and ``broken`` gets its first cell.

    Raises:
        DataError: The table is not UTF-8, so that different names may look the same.
    """
    source = relative_name(path, collector.root)
    collector.tables.add(source)
    try:
        text = read_text(path, MAX_BYTES)
    except DataError as error:
        collector.unreadable(source, error.what)
        return
    if _UNKNOWN in text:
        raise DataError(f"{source} is not UTF-8", got=_first_with(_UNKNOWN, text), fix="save the table as UTF-8")
    first, *lines = text.replace("\0", "").splitlines() or [""]
    delimiter = _delimiter(first)
    header = [name.lower() for name in _fields(first, delimiter)]
    for line in lines:
        fields = _fields(line, delimiter)
        if len(fields) == len(header):
            yield dict(zip(header, fields, strict=True))
        elif line.strip():
            collector.unreadable(source, f"a row does not have {len(header)} columns")
            broken(fields[0] if fields else "")


def _first_with(character: str, text: str) -> str:
    """The first line with a character, not more than people read."""
    line = next(line for line in text.splitlines() if character in line)
    return line if len(line) <= 80 else f"{line[:77]}…"


def _delimiter(line: str) -> str:
    return max(_DELIMITERS, key=line.count)


def _fields(line: str, delimiter: str) -> list[str]:
    try:
        rows = list(csv.reader([line.strip("\r\n")], delimiter=delimiter, skipinitialspace=True))
    except (csv.Error, ValueError):
        return []
    return [field.strip() for field in rows[0]] if rows else []
