"""Which images show the same thing: exact copies, and near duplicates that a split must not separate.

Candidates have perceptual hashes (imagehash's phash, 64 bits) at most 8 bits apart and are confirmed by the
correlation of their pixels. All that confirmed pairs connect is one group, so no confirmed twin of a test image is
trained on.

Under a fixed camera all parts look alike. A group is too large to be one part if it has more than 25 images, and these
are over a fifth of the data or most pairs of them are confirmed. It is a view, and its pairs are confirmed again by
what differs from the view (``views.py``). What still chains over a fifth of the data together is left in groups of
which most pairs are confirmed, joined from the most to the least alike.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import NamedTuple

import imagehash
import numpy as np
from PIL import Image
from scipy.cluster.hierarchy import DisjointSet
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from compressdefect.data.views import Pair, pairs_by_what_differs

MAX_HAMMING = 8
MIN_CORRELATION = 0.85
MOST_PHOTOS = 25  # of one part
LARGEST_SHARE = 0.2  # of the data that one part may be
SIDE = 224  # pixels at which all images are compared, whatever a network sees of them
THUMBNAIL = 56
MAX_PAIRS = 500_000  # close pairs that are looked at one by one
_BLOCK = 256
_PIECE = 1024
_ROUNDS = 4  # views in views
_SAMPLE = 128  # images of a group that are compared pair by pair
_CLOSE = 64 - 2 * MAX_HAMMING  # product of two hashes' signs


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
    """Which images look alike.

    ``group`` (N,) is a representative of the group of each, ``partners`` (N,) of how many others it is a twin, and
    ``in_view`` bool (N,) says which were told apart by what differs from a view that they share.
    """

    group: np.ndarray
    partners: np.ndarray
    in_view: np.ndarray


def find_twins(hashes: np.ndarray, thumbnails: np.ndarray, copies: np.ndarray | None = None) -> Twins:
    """Group images by their looks: ``hashes`` uint64 (N,), ``thumbnails`` uint8 (N, THUMBNAIL, THUMBNAIL).

    Where an image stands for several files, ``copies`` (N,) says for how many; they are twins of each other too.

    Memory grows with N and not with the number of pairs: beyond ``MAX_PAIRS`` close hashes, as a camera that always
    sees the same part makes them, an image joins the group of the first image that it resembles.
    """
    weights = np.ones(len(hashes), dtype=np.int64) if copies is None else copies
    confirmed = confirmed_pairs(hashes, thumbnails, limit=MAX_PAIRS)
    pairs = _pairs_with_leaders(hashes, thumbnails) if confirmed is None else confirmed
    pairs, in_view = _divide_views(pairs, hashes, thumbnails)
    if confirmed is None:
        group = _connected(len(hashes), pairs)
        members = np.zeros_like(weights)
        np.add.at(members, group, weights)
        return Twins(group, members[group] - 1, in_view)
    first, second = np.array([pair[:2] for pair in pairs], dtype=np.int64).reshape(-1, 2).T
    partners = weights - 1
    np.add.at(partners, first, weights[second])
    np.add.at(partners, second, weights[first])
    return Twins(_merge(len(hashes), pairs), partners, in_view)


def _divide_views(pairs: list[Pair], hashes: np.ndarray, thumbnails: np.ndarray) -> tuple[list[Pair], np.ndarray]:
    """The pairs, in views only those that differ from the view alike; and which images (N,) are in a view.

    A large group in a view may be a view again, of parts that have more in common.
    """
    count = len(hashes)
    in_view = np.zeros(count, dtype=np.bool_)
    known: set[bytes] = set()
    for _ in range(_ROUNDS):
        groups = [group for group in _members(_connected(count, pairs)) if group.tobytes() not in known]
        for view in (group for group in groups if _is_view(group, hashes, thumbnails)):
            known.add(view.tobytes())
            alike = pairs_by_what_differs(thumbnails[view], limit=MAX_PAIRS)
            if alike is not None:
                inside = set(view.tolist())
                pairs = [pair for pair in pairs if pair[0] not in inside]
                pairs += [(int(view[i]), int(view[j]), correlation) for i, j, correlation in alike]
                in_view[view] = True
    return pairs, in_view


def _members(group: np.ndarray) -> list[np.ndarray]:
    """The indices of each group."""
    order = np.argsort(group, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(group[order])) + 1)


def _is_view(group: np.ndarray, hashes: np.ndarray, thumbnails: np.ndarray) -> bool:
    """Whether a group (M,) is too large to be one part: a large share of the data, or pair by pair alike."""
    if len(group) <= MOST_PHOTOS:
        return False
    if len(group) > LARGEST_SHARE * len(hashes):
        return True
    some = group[:: -(-len(group) // _SAMPLE)]
    alike = confirmed_pairs(hashes[some], thumbnails[some], limit=_SAMPLE**2)
    return alike is not None and len(alike) > len(some) * (len(some) - 1) / 4


def confirmed_pairs(hashes: np.ndarray, thumbnails: np.ndarray, *, limit: int) -> list[Pair] | None:
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


def _pairs_with_leaders(hashes: np.ndarray, thumbnails: np.ndarray) -> list[Pair]:
    """Pairs (leader, i, correlation): the earlier leader with the closest hash, if they look alike; else i leads."""
    bits = _signs(hashes)
    leaders: list[int] = []
    pairs: list[Pair] = []
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
            close = agreement[row] >= _CLOSE
            correlation = _correlations(thumbnails[[leader]], thumbnails[[i]])[0] if close else 0.0
            if correlation >= MIN_CORRELATION:
                pairs.append((int(leader), i, float(correlation)))
            else:
                leaders.append(i)
    return pairs


def _merge(count: int, pairs: list[Pair]) -> np.ndarray:
    """Representative of each of ``count`` items: those that pairs connect belong together.

    Twins of twins may be strangers, and where much of the data hangs together that way, no split could be made of it.
    A group of more than ``LARGEST_SHARE`` of the items is therefore left in parts in which most pairs agree.
    """
    group = _connected(count, pairs)
    too_large = np.bincount(group, minlength=count)[group] > LARGEST_SHARE * count
    if too_large.any():
        group[too_large] = _merge_by_majority(count, pairs)[too_large]
    return group


def _connected(count: int, pairs: list[Pair]) -> np.ndarray:
    """The first (N,) of all items that pairs connect with each of ``count`` items."""
    ends = np.array([pair[:2] for pair in pairs], dtype=np.int64).reshape(-1, 2)
    graph = coo_matrix((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=(count, count))
    label = connected_components(graph, directed=False)[1]
    return np.asarray(np.unique(label, return_index=True)[1][label])


def _merge_by_majority(count: int, pairs: list[Pair]) -> np.ndarray:
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
