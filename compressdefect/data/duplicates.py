"""Which images show the same thing: exact copies, and near duplicates that a split must not separate.

Candidates have perceptual hashes (imagehash's phash, 64 bits) at most 8 bits apart and are confirmed by the
correlation of their pixels. Linked pairs are merged from the most to the least alike, and two groups become one only
if most of their pairs are confirmed: a single lookalike between two groups does not chain strangers together.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import imagehash
import numpy as np
from PIL import Image

from compressdefect.errors import DataError

MAX_HAMMING = 8
MIN_CORRELATION = 0.85
THUMBNAIL = 56
_BLOCK = 1024


def duplicate_groups(pixels: np.ndarray, hashes: Sequence[str]) -> np.ndarray:
    """Group number (N,) int64 of each of ``pixels`` uint8 (N, C, H, W) with file hashes ``hashes``.

    Files with equal bytes always share a group.
    """
    first: dict[str, int] = {}
    copies = np.array([first.setdefault(digest, i) for i, digest in enumerate(hashes)], dtype=np.int64)
    originals = np.unique(copies)
    merged = _merge(len(originals), near_duplicates(pixels[originals]))
    return _number(merged[np.searchsorted(originals, copies)])


def groups_by_name(pattern: str, names: Sequence[str], hashes: Sequence[str]) -> np.ndarray:
    """Group number (N,) of files by the first match of ``pattern`` in their names; copies join their original.

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
    if not any(matches):
        raise DataError("--group matches no file name", got=pattern, fix=f"names look like {names[0]}")
    keys = [
        (match.group(1 if match.lastindex else 0) if match else name, bool(match))
        for match, name in zip(matches, names, strict=True)
    ]
    parent = np.arange(len(names))
    for values in (keys, hashes):
        first: dict[object, int] = {}
        for i, value in enumerate(values):
            _union(parent, i, first.setdefault(value, i))
    return _number(np.array([_root(parent, i) for i in range(len(names))]))


def near_duplicates(pixels: np.ndarray) -> list[tuple[int, int, float]]:
    """Confirmed pairs (i, j, correlation), i < j, among ``pixels`` uint8 (N, C, H, W)."""
    if len(pixels) < 2:
        return []
    bits, thumbnails = _describe(pixels)
    pairs = []
    for i, j in _close_pairs(bits):
        correlation = np.einsum("nd,nd->n", thumbnails[i], thumbnails[j])
        confirmed = correlation >= MIN_CORRELATION
        pairs += list(zip(i[confirmed].tolist(), j[confirmed].tolist(), correlation[confirmed].tolist(), strict=True))
    return pairs


def _describe(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Hash bits as ±1 (N, 64), and grey thumbnails (N, THUMBNAIL²) of mean 0 and length 1, so dots are correlations."""
    bits = np.empty((len(pixels), 64), dtype=np.float32)
    thumbnails = np.empty((len(pixels), THUMBNAIL**2), dtype=np.float32)
    for i, image in enumerate(pixels):
        picture = (
            Image.fromarray(image[0]) if len(image) == 1 else Image.fromarray(image.transpose(1, 2, 0)).convert("L")
        )
        bits[i] = imagehash.phash(picture).hash.ravel() * 2.0 - 1.0
        thumbnails[i] = np.asarray(
            picture.resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX), dtype=np.float32
        ).ravel()
    thumbnails -= thumbnails.mean(axis=1, keepdims=True)
    thumbnails /= np.maximum(np.linalg.norm(thumbnails, axis=1, keepdims=True), 1e-6)
    return bits, thumbnails


def _close_pairs(bits: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Index pairs i < j whose hashes differ in at most MAX_HAMMING bits, in pieces of bounded size."""
    for start in range(0, len(bits), _BLOCK):
        agreement = bits[start : start + _BLOCK] @ bits[start:].T  # 64 - 2 · Hamming distance
        rows, columns = np.nonzero(agreement >= 64 - 2 * MAX_HAMMING)
        above = columns > rows
        i, j = rows[above] + start, columns[above] + start
        for piece in range(0, len(i), _BLOCK):
            yield i[piece : piece + _BLOCK], j[piece : piece + _BLOCK]


def _merge(count: int, pairs: list[tuple[int, int, float]]) -> np.ndarray:
    """Representative of each of ``count`` items after merging pairs, most alike first, while most pairs agree."""
    linked = {(i, j) for i, j, _ in pairs}
    parent, members = np.arange(count), {i: [i] for i in range(count)}
    for i, j, _ in sorted(pairs, key=lambda pair: (-pair[2], pair[0], pair[1])):
        a, b = _root(parent, i), _root(parent, j)
        if a == b:
            continue
        agreeing = sum((min(x, y), max(x, y)) in linked for x in members[a] for y in members[b])
        if 2 * agreeing >= len(members[a]) * len(members[b]):
            parent[b] = a
            members[a] += members.pop(b)
    return np.array([_root(parent, i) for i in range(count)], dtype=np.int64)


def _root(parent: np.ndarray, i: int) -> int:
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = int(parent[i])
    return int(i)


def _union(parent: np.ndarray, i: int, j: int) -> None:
    parent[_root(parent, i)] = _root(parent, j)


def _number(representatives: np.ndarray) -> np.ndarray:
    return np.unique(representatives, return_inverse=True)[1].reshape(-1).astype(np.int64)
