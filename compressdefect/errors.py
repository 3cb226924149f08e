"""Errors a user can meet: each says what is wrong, what was got, and how to fix it, in one line."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class CompressDefectError(Exception):
    """Base of every error that is the user's to act on.

    >>> str(SpaceError("width must be a multiple of 8", got=12, fix="use 8 or 16"))
    'width must be a multiple of 8: got 12; use 8 or 16'
    """

    exit_code = 2

    def __init__(self, what: str, *, got: object = None, fix: str | None = None) -> None:
        self.what, self.got, self.fix = what, got, fix
        text = what if got is None else f"{what}: got {got}"
        super().__init__(" ".join((text if fix is None else f"{text}; {fix}").split()))

    def __reduce__(self) -> tuple[object, ...]:
        """Keep the keyword arguments when an error crosses a process boundary."""
        return _rebuild, (type(self), self.what, self.got, self.fix)


def _rebuild(kind: type[CompressDefectError], what: str, got: object, fix: str | None) -> CompressDefectError:
    error = kind.__new__(kind)
    CompressDefectError.__init__(error, what, got=got, fix=fix)
    return error


class SpaceError(CompressDefectError):
    """A search space, design name or budget is wrong."""


class DataError(CompressDefectError):
    """A dataset cannot be used as it is."""


class ModelError(CompressDefectError):
    """A model name or model file is wrong."""


class BundleError(CompressDefectError):
    """A bundle is damaged, incomplete or does not reproduce its network."""


class RunError(CompressDefectError):
    """A run folder cannot be made, read or continued."""


class InfeasibleError(CompressDefectError):
    """No design of the space meets the budgets."""

    exit_code = 1


class TrainingError(CompressDefectError):
    """Training diverged or could not continue."""

    exit_code = 1


class MissingExtraError(CompressDefectError):
    """An optional package is needed; the message names the extra that installs it."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(
            f"{package} is needed for this", got="not installed", fix=f"run: pip install 'compressdefect[{extra}]'"
        )


def known_names(name: str, known: Iterable[str]) -> str:
    """Say which names exist, closest matches first when there are any.

    >>> known_names("lightdefectnt", ["lightdefectnet", "lw_cnn"])
    'did you mean lightdefectnet? known: lightdefectnet, lw_cnn'
    """
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=3)
    hint = f"did you mean {', '.join(close)}? " if close else ""
    return f"{hint}known: {', '.join(names[:30])}{', …' if len(names) > 30 else ''}"
