"""Rows of CSV files, whatever their delimiter."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from compressdefect.data.collect import Collector
from compressdefect.data.files import read_text, relative_name
from compressdefect.errors import DataError

MAX_BYTES = 2**30

_DELIMITERS = ",;\t"
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


def read_table(path: Path, collector: Collector) -> Iterator[dict[str, str]]:
    """The rows by column name in lower case; a row of another length is a finding."""
    source = relative_name(path, collector.root)
    try:
        text = read_text(path, MAX_BYTES)
    except DataError as error:
        collector.unreadable(source, error.what)
        return
    first, *lines = text.replace("\0", "").splitlines() or [""]
    delimiter = _delimiter(first)
    header = [name.lower() for name in _fields(first, delimiter)]
    for line in lines:
        fields = _fields(line, delimiter)
        if len(fields) == len(header):
            yield dict(zip(header, fields, strict=True))
        elif line.strip():
            collector.unreadable(source, f"a row does not have {len(header)} columns")


def _delimiter(line: str) -> str:
    return max(_DELIMITERS, key=line.count)


def _fields(line: str, delimiter: str) -> list[str]:
    try:
        rows = list(csv.reader([line.strip("\r\n")], delimiter=delimiter, skipinitialspace=True))
    except (csv.Error, ValueError):
        return []
    return [field.strip() for field in rows[0]] if rows else []
