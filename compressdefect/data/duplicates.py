"""Which images show the same thing: exact copies, and near duplicates that a split must not separate.

Candidates have perceptual hashes (imagehash's phash, 64 bits) at most 8 bits apart and are confirmed by the
correlation of their pixels. All that confirmed pairs connect is one group, so no confirmed twin of a test image is
trained on. Where that would chain a large part of the data together, two groups become one only if most of their pairs
are confirmed, from the most to the least alike.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import imagehash
import numpy as np
from PIL import Image
from scipy.cluster.hierarchy import DisjointSet
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from compressdefect.errors import DataError

MAX_HAMMING = 8
MIN_CORRELATION = 0.85
LARGEST_SHARE = 0.2
SIDE = 224  # pixels at which all images are compared, whatever a network sees of them
THUMBNAIL = 56
MAX_PAIRS = 500_000  # close pairs that are looked at one by one
_BLOCK = 256
_PIECE = 1024
_CLOSE = 64 - 2 * MAX_HAMMING  # product of two hashes' signs


def duplicate_groups(looks: Sequence[Look], hashes: Sequence[str]) -> np.ndarray:
    """Group number (N,) int64 of each image by its look and its file's hash; files with equal bytes share one."""
    first: dict[str, int] = {}
    copies = np.array([first.setdefault(digest, i) for i, digest in enumerate(hashes)], dtype=np.int64)
    originals = np.unique(copies)
    different = [looks[i] for i in originals]
    marks = np.array([look.hash for look in different], dtype=np.uint64)
    merged = find_twins(marks, np.stack([look.thumbnail for look in different])).group
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
    together = DisjointSet(range(len(names)))
    for values in (keys, hashes):
        first: dict[object, int] = {}
        for i, value in enumerate(values):
            together.merge(i, first.setdefault(value, i))
    return _number(np.array([together[i] for i in range(len(names))]))


class Look(NamedTuple):
    """What is compared of an image: its perceptual hash (64 bits) and its grey thumbnail uint8 (T, T)."""

    hash: int
    thumbnail: np.ndarray


def look_of(picture: Image.Image) -> Look:
    """Describe an image of any size and mode, all of them at one size: what looks alike depends on it."""
    grey = picture.convert("L").resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    bits = imagehash.phash(grey).hash.ravel()
    thumbnail = grey.resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX)
    return Look(int(np.packbits(bits).view(np.uint64)[0]), np.asarray(thumbnail))


class Twins(NamedTuple):
    """Which images look alike: a representative of the group (N,) of each, and of how many others it is a twin (N,)."""

    group: np.ndarray
    partners: np.ndarray


def find_twins(hashes: np.ndarray, thumbnails: np.ndarray, copies: np.ndarray | None = None) -> Twins:
    """Group images by their looks: ``hashes`` uint64 (N,), ``thumbnails`` uint8 (N, THUMBNAIL, THUMBNAIL).

    Where an image stands for several files, ``copies`` (N,) says for how many; they are twins of each other too.

    Memory grows with N and not with the number of pairs: beyond ``MAX_PAIRS`` close hashes, as a camera that always
    sees the same part makes them, an image joins the group of the first image that it resembles.
    """
    weights = np.ones(len(hashes), dtype=np.int64) if copies is None else copies
    pairs = _confirmed_pairs(hashes, thumbnails, limit=MAX_PAIRS)
    if pairs is None:
        group = _group_by_leaders(hashes, thumbnails)
        members = np.zeros_like(weights)
        np.add.at(members, group, weights)
        return Twins(group, members[group] - 1)
    first, second = np.array([pair[:2] for pair in pairs], dtype=np.int64).reshape(-1, 2).T
    partners = weights - 1
    np.add.at(partners, first, weights[second])
    np.add.at(partners, second, weights[first])
    return Twins(_merge(len(hashes), pairs), partners)


def _confirmed_pairs(hashes: np.ndarray, thumbnails: np.ndarray, *, limit: int) -> list[tuple[int, int, float]] | None:
    """Pairs (i, j, correlation), i < j, of close hashes and alike pixels; None if more than ``limit`` are close."""
    pairs, close = [], 0
    for i, j in _close_pairs(_signs(hashes)):
        close += len(i)
        if close > limit:
            return None
        correlation = _correlations(thumbnails[i], thumbnails[j])
        alike = correlation >= MIN_CORRELATION
        pairs += list(zip(i[alike].tolist(), j[alike].tolist(), correlation[alike].tolist(), strict=True))
    return pairs


def _signs(hashes: np.ndarray) -> np.ndarray:
    """The bits of uint64 hashes (N,) as ±1 float32 (N, 64), so that a product counts agreements."""
    bits = np.unpackbits(hashes.reshape(-1, 1).view(np.uint8), axis=1)
    return bits.astype(np.float32) * 2 - 1


def _correlations(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Correlation (N,) of thumbnails uint8 (N, H, W), pair by pair; 0 where one is flat."""
    a, b = _standard(first), _standard(second)
    return np.einsum("nd,nd->n", a, b)


def _standard(thumbnails: np.ndarray) -> np.ndarray:
    """Thumbnails as float32 (N, H·W) of mean 0 and length 1."""
    flat = thumbnails.reshape(len(thumbnails), -1).astype(np.float32)
    flat -= flat.mean(axis=1, keepdims=True)
    flat /= np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-6)
    return flat


def _close_pairs(bits: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Index pairs i < j whose hashes differ in at most MAX_HAMMING bits, in pieces of bounded size."""
    for start in range(0, len(bits), _BLOCK):
        agreement = bits[start : start + _BLOCK] @ bits[start:].T  # 64 - 2 · Hamming distance
        rows, columns = np.nonzero(agreement >= _CLOSE)
        above = columns > rows
        i, j = rows[above] + start, columns[above] + start
        for piece in range(0, len(i), _PIECE):
            yield i[piece : piece + _PIECE], j[piece : piece + _PIECE]


def _group_by_leaders(hashes: np.ndarray, thumbnails: np.ndarray) -> np.ndarray:
    """The leader (N,) of each image: the earlier leader with the closest hash if they look alike, else itself."""
    bits = _signs(hashes)
    leaders: list[int] = []
    leader_of = np.arange(len(hashes))
    for start in range(0, len(bits), _BLOCK):
        block = bits[start : start + _BLOCK]
        known = len(leaders)
        best, agreement = np.zeros(len(block), dtype=np.int64), np.full(len(block), -64.0)
        if known:
            products = block @ bits[leaders].T
            best, agreement = products.argmax(axis=1), products.max(axis=1)
        for row, i in enumerate(range(start, start + len(block))):
            leader = leaders[best[row]] if known else i
            fresh = leaders[known:]
            if fresh:
                products = bits[fresh] @ bits[i]
                if products.max() > agreement[row]:
                    leader, agreement[row] = fresh[int(products.argmax())], products.max()
            alike = agreement[row] >= _CLOSE and (
                _correlations(thumbnails[[leader]], thumbnails[[i]])[0] >= MIN_CORRELATION
            )
            if alike:
                leader_of[i] = leader
            else:
                leaders.append(i)
    return leader_of


def _merge(count: int, pairs: list[tuple[int, int, float]]) -> np.ndarray:
    """Representative of each of ``count`` items: those that pairs connect belong together.

    Twins of twins may be strangers, and where much of the data hangs together that way, no split could be made of it.
    A group of more than ``LARGEST_SHARE`` of the items is therefore left in parts in which most pairs agree.
    """
    ends = np.array([pair[:2] for pair in pairs], dtype=np.int64).reshape(-1, 2)
    graph = coo_matrix((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=(count, count))
    label = connected_components(graph, directed=False)[1]
    _, first, sizes = np.unique(label, return_index=True, return_counts=True)
    group, too_large = first[label], sizes[label] > LARGEST_SHARE * count
    if too_large.any():
        group[too_large] = _merge_by_majority(count, pairs)[too_large]
    return group


def _merge_by_majority(count: int, pairs: list[tuple[int, int, float]]) -> np.ndarray:
    """Representative of each of ``count`` items after merging pairs, most alike first, while most pairs agree."""
    together = DisjointSet(range(count))
    links: dict[int, Counter[int]] = defaultdict(Counter)  # how many pairs two groups have in common
    for i, j, _ in pairs:
        links[i][j] += 1
        links[j][i] += 1
    for i, j, _ in sorted(pairs, key=lambda pair: (-pair[2], pair[0], pair[1])):
        a, b = together[i], together[j]
        if a == b or 2 * links[a][b] < together.subset_size(a) * together.subset_size(b):
            continue
        together.merge(a, b)
        kept = together[a]
        gone = b if kept == a else a
        for other, common in links.pop(gone).items():
            del links[other][gone]
            if other != kept:
                links[kept][other] += common
                links[other][kept] += common
    return np.array([together[i] for i in range(count)], dtype=np.int64)


def _number(representatives: np.ndarray) -> np.ndarray:
    return np.unique(representatives, return_inverse=True)[1].reshape(-1).astype(np.int64)
