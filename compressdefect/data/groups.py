"""Which images must stay in one part of a split: those that look alike, or those whose names say so."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.cluster.hierarchy import DisjointSet

from compressdefect.data.duplicates import MOST_PHOTOS, Look, find_twins
from compressdefect.errors import DataError


class Groups(NamedTuple):
    """The group number (N,) int64 of each image, and what to say of them, a line each."""

    numbers: np.ndarray
    remarks: tuple[str, ...] = ()


def groups_by_look(looks: Sequence[Look], hashes: Sequence[str]) -> Groups:
    """Group images by their looks and their files' hashes; files with equal bytes share a group."""
    first: dict[str, int] = {}
    copies = np.array([first.setdefault(digest, i) for i, digest in enumerate(hashes)], dtype=np.int64)
    originals = np.unique(copies)
    different = [looks[i] for i in originals]
    marks = np.array([look.hash for look in different], dtype=np.uint64)
    twins = find_twins(marks, np.stack([look.thumbnail for look in different]))
    of = np.searchsorted(originals, copies)
    return Groups(_number(twins.group[of]), _told_apart(int(twins.in_view[of].sum())))


def _told_apart(count: int) -> tuple[str, ...]:
    if not count:
        return ()
    text = f"{count} images look alike, as different parts in one fixed view do, and are grouped by what differs"
    return (f"{text}; if one part has more than {MOST_PHOTOS} of them, name the parts: --group REGEX",)


def groups_by_name(pattern: str, names: Sequence[str], hashes: Sequence[str]) -> Groups:
    """Group files by the first match of ``pattern`` in their names; copies join their original.

    Raises:
        DataError: The pattern is not a regular expression, or matches no name.
    """
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise DataError(
            "--group is not a regular expression", got=f"{pattern} ({error})", fix="or use auto or none"
        ) from error
    matches = [expression.search(name) for name in names]
    missed = [name for name, match in zip(names, matches, strict=True) if match is None]
    if len(missed) == len(names):
        raise DataError("--group matches no file name", got=pattern, fix=f"names look like {names[0]}")
    keys = [
        (next((part for part in match.groups() if part is not None), match.group()) if match else name, bool(match))
        for match, name in zip(matches, names, strict=True)
    ]
    together = DisjointSet(range(len(names)))
    for values in (keys, hashes):
        first: dict[object, int] = {}
        for i, value in enumerate(values):
            together.merge(i, first.setdefault(value, i))
    return Groups(_number(np.array([together[i] for i in range(len(names))])), _missed(missed, len(names)))


def _missed(names: list[str], total: int) -> tuple[str, ...]:
    if not names:
        return ()
    return (f"not matched by --group, each a group of its own: {len(names)} of {total} file names, as {names[0]}",)


def _number(representatives: np.ndarray) -> np.ndarray:
    return np.unique(representatives, return_inverse=True)[1].reshape(-1).astype(np.int64)
