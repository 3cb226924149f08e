"""Collecting what is wrong with a dataset: the same remark on many files is one finding."""

from __future__ import annotations

from compressdefect.data.marks.shapes import SizeMismatchError
from compressdefect.data.sample import Finding
from compressdefect.errors import DataError


class Findings:
    """Findings in the order in which they came first, each with the files that it holds for."""

    def __init__(self) -> None:
        self._files: dict[tuple[str, str, str], dict[str, None]] = {}

    def add(self, kind: str, file: str, message: str, advice: str = "") -> None:
        """Note a remark on one file; ``message`` must not name the file, so that equal remarks meet."""
        self._files.setdefault((kind, message, advice), {})[file] = None

    def all(self) -> tuple[Finding, ...]:
        """Every finding."""
        return tuple(
            Finding(kind, tuple(files), message, advice) for (kind, message, advice), files in self._files.items()
        )


def reason(error: Exception) -> str:
    """What is wrong with one file, without its name; a mask of another size is named in what was wrong."""
    if isinstance(error, SizeMismatchError):
        return f"{error.what}: {error.got}"
    return str(error.got) if isinstance(error, DataError) else (getattr(error, "strerror", None) or str(error))
