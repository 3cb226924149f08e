"""Quantities with units, as people type them: ``100M``, ``1.5GiB``, ``2ms``, ``6m``."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from compressdefect.errors import SpaceError

COUNT_UNITS: Mapping[str, float] = {"": 1, "k": 1e3, "m": 1e6, "g": 1e9}
BYTE_UNITS: Mapping[str, float] = {
    **{"": 1, "b": 1, "k": 1e3, "kb": 1e3, "m": 1e6, "mb": 1e6, "g": 1e9, "gb": 1e9},
    **{"kib": 2**10, "mib": 2**20, "gib": 2**30},
}
TIME_UNITS_S: Mapping[str, float] = {"ms": 1e-3, "s": 1, "m": 60, "h": 3600}

_FORM = re.compile(r"\s*([+-]?(?:\d+(?:\.\d*)?|\.\d+))\s*([a-z]*)\s*", re.IGNORECASE | re.ASCII)


def parse_count(text: str, name: str) -> int:
    """Read a count such as ``100M``; k, M and G are decimal, in any case.

    >>> parse_count("1.5k", "--budget-params")
    1500

    Raises:
        SpaceError: the text is no positive quantity; ``name`` says in the message what it was for.
    """
    return _whole(text, name, COUNT_UNITS, "a number such as 500k, 100M or 2G")


def parse_bytes(text: str, name: str) -> int:
    """Read an amount of memory in bytes; KiB, MiB, GiB are binary, k, M, G decimal.

    >>> parse_bytes("1.5 KiB", "--budget-memory")
    1536

    Raises:
        SpaceError: the text is no positive quantity.
    """
    return _whole(text, name, BYTE_UNITS, "an amount such as 512KiB or 1.5MiB")


def parse_seconds(text: str, name: str) -> float:
    """Read a duration in seconds; the unit (ms, s, m or h) must be there.

    >>> parse_seconds("6m", "--time")
    360.0

    Raises:
        SpaceError: the text is no positive duration.
    """
    return _parse(text, name, TIME_UNITS_S, "a time with its unit, such as 0.6ms, 90s, 6m or 1h")


def _whole(text: str, name: str, units: Mapping[str, float], fix: str) -> int:
    value = math.floor(_parse(text, name, units, fix) + 1e-6)
    if value < 1:
        raise SpaceError(f"{name} must be at least 1", got=repr(text), fix=f"give {fix}")
    return value


def _parse(text: str, name: str, units: Mapping[str, float], fix: str) -> float:
    match = _FORM.fullmatch(text)
    if match is None or match[2].lower() not in units:
        raise SpaceError(f"{name} cannot be read", got=repr(text), fix=f"give {fix}")
    value = float(match[1]) * units[match[2].lower()]
    if not 0 < value < math.inf:
        raise SpaceError(f"{name} must be above 0", got=repr(text), fix=f"give {fix}")
    return value
