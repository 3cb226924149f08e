"""Training, validation and test parts: stratified by class, with every group of duplicates in one part."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from compressdefect.data.images import Images
from compressdefect.errors import DataError

VAL_SHARE = 0.2
MIN_TRAINING_IMAGES_FOR_VAL = 300  # below, decisions use out-of-fold scores instead of a held-out part
_TOLERANCE = 0.3  # of a part's share
_IN_ALL_PARTS = 3  # groups of a class that is in training, validation and test
_ROUNDS = 3

Indices = np.ndarray


def _none() -> Indices:
    return np.empty(0, dtype=np.int64)


@dataclass(frozen=True, eq=False)
class Split:
    """Sorted index arrays (int64) that share no image; ``val`` belongs to the training data.

    ``left_out`` are images that are not used: those outside an official test part that duplicate one inside it, which
    may not be trained on, and in a split that was made elsewhere any others.
    """

    train: Indices
    val: Indices
    test: Indices
    seed: int = 0
    group: str = "auto"
    left_out: Indices = field(default_factory=_none)

    def to_json(self, images: Images) -> dict[str, Any]:
        """The split by file hash, to be given back on the same images in any order."""
        parts = {part: [images.hashes[i] for i in getattr(self, part)] for part in _PARTS}
        return {"seed": self.seed, "group": self.group, "data": images.fingerprint, **parts}

    @classmethod
    def from_json(cls, obj: Any, images: Images) -> Split:
        """Read ``to_json``'s answer for these images.

        Raises:
            DataError: It is not a split, names other images than these, or trains or tests on none.
        """
        broken = _what_is_broken(obj)
        if broken is not None:
            raise DataError("not a split", got=broken, fix="give a split.json of a run or of data split")
        waiting: dict[str, list[int]] = defaultdict(list)
        for i in reversed(range(len(images))):
            waiting[images.hashes[i]].append(i)
        parts: dict[str, list[int]] = {part: [] for part in _PARTS}
        missing = 0
        for part in _PARTS:
            for digest in obj[part]:
                indices = waiting.get(digest)
                if indices:
                    parts[part].append(indices.pop())
                else:
                    missing += 1
        unplaced = [images.names[i] for indices in waiting.values() for i in indices]
        if missing or unplaced:
            raise DataError(
                "the split was made for other images",
                got=f"{missing} of its images are not in the data, {len(unplaced)} of the data are not in it",
                fix="use the data it was made from, or make a new split",
            )
        empty = [part for part in ("train", "test") if not parts[part]]
        if empty:
            raise DataError(
                "a split names images to train on and to test on",
                got=f"no {' and no '.join(empty)}",
                fix="make a new one",
            )
        arrays = {part: np.array(sorted(parts[part]), dtype=np.int64) for part in _PARTS}
        return cls(**arrays, seed=obj.get("seed", 0), group=obj.get("group", "auto"))


_PARTS = ("train", "val", "test", "left_out")


def _what_is_broken(obj: Any) -> str | None:
    """What of a file's content keeps it from being a split."""
    if not isinstance(obj, dict):
        return type(obj).__name__
    for part in _PARTS:
        if not isinstance(obj.get(part), list) or not all(isinstance(digest, str) for digest in obj[part]):
            return f"{part} is no list of hashes"
    if not isinstance(obj.get("seed", 0), int) or not isinstance(obj.get("group", "auto"), str):
        return "a seed that is no number, or a group that is no text"
    return None


def make_split(
    images: Images, *, test_share: float | None = None, val_share: float = VAL_SHARE, seed: int = 0
) -> Split:
    """Split by the layout's official parts or customary share; an explicit ``test_share`` overrides both.

    ``val_share`` is taken from the training part, and only if that has at least 300 images.

    Raises:
        DataError: A share is out of range, a part is far from its share, or lacks a class that it could have.
    """
    if test_share is not None and not 0 < test_share < 1:
        raise DataError("the test share must lie between 0 and 1", got=test_share, fix="use a value like 0.3")
    if not 0 <= val_share < 1:
        raise DataError(
            "the validation share must be at least 0 and below 1", got=val_share, fix="use a value like 0.2"
        )
    rng = np.random.default_rng(seed)
    official = images.splits is not None and test_share is None
    if official:
        train, val, test, left_out = _official(images)
    else:
        share = images.test_share if test_share is None else test_share
        train, test = _hold_out("test part", images, np.arange(len(images)), share, rng, val_share=val_share)
        val, left_out = _none(), _none()
    if not len(val) and _takes_val(len(train), val_share):
        train, val = _hold_out("validation part", images, train, val_share, rng)
    split = Split(train, val, test, seed, images.group, left_out)
    _check_classes(split, images, None if official else _IN_ALL_PARTS)
    return split


def _takes_val(training_images: int, share: float) -> bool:
    return share > 0 and training_images >= MIN_TRAINING_IMAGES_FOR_VAL


def _hold_out(
    part: str, images: Images, pool: Indices, share: float, rng: np.random.Generator, *, val_share: float = 0
) -> tuple[Indices, Indices]:
    """A pool of images without a share of it, and that share for the ``part`` that is held out.

    If validation is then to have a share of the rest, that keeps two groups of each class of three or more.

    Raises:
        DataError: The groups make it far more or less than its share.
    """
    labels, groups = images.labels[pool], images.groups[pool]
    everywhere = _wide(images.labels, images.groups, _IN_ALL_PARTS)
    parts = _assign(labels, groups, (1 - share, share), rng, everywhere)
    if _takes_val(int((parts == 0).sum()), val_share):
        parts = _spread(labels, groups, parts, (2, 1), everywhere)
    rest, held = pool[parts == 0], pool[parts == 1]
    _check_share(part, held, share, images, len(pool))
    return rest, held


def folds(labels: np.ndarray, groups: np.ndarray, k: int, seed: int = 0) -> list[tuple[Indices, Indices]]:
    """``k`` pairs (train, val) of indices into ``labels`` (N,): each image is in exactly one ``val``.

    Raises:
        DataError: There are fewer than ``k`` groups.
    """
    assert k >= 2
    if len(np.unique(groups)) < k:
        raise DataError(
            f"{k} folds need at least {k} groups of images", got=len(np.unique(groups)), fix="add images of other parts"
        )
    everywhere = _wide(labels, groups, max(_IN_ALL_PARTS, k))
    parts = _assign(labels, groups, (1 / k,) * k, np.random.default_rng(seed), everywhere)
    return [(np.flatnonzero(parts != fold), np.flatnonzero(parts == fold)) for fold in range(k)]


def make_folds(images: Images, k: int, *, val_share: float = VAL_SHARE, seed: int = 0) -> list[Split]:
    """``k`` splits in which every image is tested once; an official test part stays, and the rest is validated in turn.

    Raises:
        DataError: There are too few groups, or a fold is far from its share or lacks a class.
    """
    if k < 2:
        raise DataError("--folds must be at least 2", got=k, fix="use a value like 5")
    rest = np.arange(len(images))
    if images.splits is not None:
        whole = make_split(images, val_share=0, seed=seed)
        rest = np.sort(np.concatenate([whole.train, whole.val]))
        turns = folds(images.labels[rest], images.groups[rest], k, seed)
        splits = [replace(whole, train=rest[train], val=rest[val]) for train, val in turns]
    else:
        turns = folds(images.labels, images.groups, k, seed)
        bare = [Split(train, _none(), test, seed, images.group) for train, test in turns]
        splits = [_with_val(fold, images, val_share) for fold in bare]
    for number, split in enumerate(splits, start=1):
        official = images.splits is not None
        part, name = (split.val, "validation") if official else (split.test, "test")
        _check_share(f"{name} part of fold {number}", part, 1 / k, images, len(rest))
        _check_classes(split, images, None if official else max(_IN_ALL_PARTS, k + 1))
    return splits


def _with_val(split: Split, images: Images, val_share: float) -> Split:
    """The split with a part of its training images moved to validation, if there are enough."""
    if not _takes_val(len(split.train), val_share):
        return split
    train, val = _hold_out("validation part", images, split.train, val_share, np.random.default_rng(split.seed))
    return replace(split, train=train, val=val)


def _official(images: Images) -> tuple[Indices, Indices, Indices, Indices]:
    """The layout's own parts (without ``test``, ``val`` is the test part), and what duplicates the test part."""
    assert images.splits is not None
    parts = np.array(images.splits)
    test_name = "test" if "test" in images.splits else "val"
    test = np.flatnonzero(parts == test_name)
    leaks = np.isin(images.groups, images.groups[test]) & (parts != test_name)
    in_val = np.isin(images.groups, images.groups[(parts == "val") & ~leaks]) & (test_name == "test")
    val = np.flatnonzero(in_val & ~leaks & (parts != test_name))
    train = np.flatnonzero(~in_val & ~leaks & (parts != test_name))
    return train, val, test, np.flatnonzero(leaks)


def _assign(
    labels: np.ndarray,
    groups: np.ndarray,
    shares: tuple[float, ...],
    rng: np.random.Generator,
    everywhere: np.ndarray,
) -> np.ndarray:
    """Part (N,) of each image, so that each class is shared as ``shares`` says and no group is torn.

    Largest groups first, in random order among equals, each to the part that has most room for it; of those with equal
    room, to the one that still lacks the largest fraction of that group's classes (the first part on a tie). Single
    images come last and make the counts exact. Then each part is given a group of the classes that are ``everywhere``.
    """
    counts, group_of = _count(labels, groups)
    targets = _targets(counts.sum(axis=0), shares)
    missing = targets.astype(np.float64)
    order = rng.permutation(len(counts))
    part_of = np.empty(len(counts), dtype=np.int64)
    for group in order[np.argsort(-counts[order].sum(axis=1), kind="stable")]:
        room = np.minimum(counts[group], np.maximum(missing, 0)).sum(axis=1)
        need = (counts[group] * missing / np.maximum(targets, 1)).sum(axis=1)
        part_of[group] = max(range(len(shares)), key=lambda part: (room[part], need[part]))
        missing[part_of[group]] -= counts[group]
    return _spread(labels, groups, part_of[group_of], (1,) * len(shares), everywhere)


def _count(labels: np.ndarray, groups: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How many images of each class each group has (G, classes), and the row (N,) of each image's group."""
    class_of = np.unique(labels, return_inverse=True)[1]
    group_of = np.unique(groups, return_inverse=True)[1]
    counts = np.zeros((group_of.max() + 1, class_of.max() + 1), dtype=np.int64)
    np.add.at(counts, (group_of, class_of), 1)
    return counts, group_of


def _spread(
    labels: np.ndarray, groups: np.ndarray, parts: np.ndarray, least: tuple[int, ...], everywhere: np.ndarray
) -> np.ndarray:
    """``parts`` (N,) after moving groups, so that each part has its ``least`` number of groups of these classes.

    Classes of too few groups are left alone. The smallest groups are moved, a few times over, since a move may take
    another class away.
    """
    counts, group_of = _count(labels, groups)
    part_of = np.empty(len(counts), dtype=np.int64)
    part_of[group_of] = parts
    rows = [has for label, has in zip(np.unique(labels), counts.T > 0, strict=True) if label in everywhere]
    for has in [row for row in rows if row.sum() >= sum(least)] * _ROUNDS:
        while (beyond := np.bincount(part_of[has], minlength=len(least)) - least).min() < 0:
            spare = np.flatnonzero(has & (beyond > 0)[part_of])
            part_of[spare[counts[spare].sum(axis=1).argmin()]] = beyond.argmin()
    return part_of[group_of]


def _wide(labels: np.ndarray, groups: np.ndarray, enough: int) -> np.ndarray:
    """The classes that ``enough`` groups or more have images of."""
    classes, count = np.unique(np.unique(np.stack([labels, groups]), axis=1)[0], return_counts=True)
    return classes[count >= enough]


def _targets(totals: np.ndarray, shares: tuple[float, ...]) -> np.ndarray:
    """Whole numbers (parts, classes) that sum to ``totals`` per class, within 1 of ``shares`` (largest remainder).

    Equal remainders go to the part that has the fewest images so far, so that parts also stay equal in size.
    """
    exact = np.outer(shares, totals)
    targets = np.floor(exact + 1e-9).astype(np.int64)
    for column, total in enumerate(totals):
        left = int(total - targets[:, column].sum())
        remainder = np.round(exact[:, column] - targets[:, column], 9)
        fullness = targets.sum(axis=1) / np.asarray(shares)
        targets[np.lexsort((fullness, -remainder))[:left], column] += 1
    return targets


def _check_share(part: str, indices: Indices, share: float, images: Images, total: int) -> None:
    """Refuse a part of ``total`` images that is far from its share.

    Raises:
        DataError: It or the rest is outside 0.7 to 1.3 times its share, by more than half an image of each class.
    """
    if not len(indices):
        raise DataError(f"no image is left for the {part}", got=f"{total} images", fix=_other_groups(images))
    asked = share * total
    if abs(len(indices) - asked) > max(_TOLERANCE * min(asked, total - asked), len(images.classes) / 2, 1):
        got = f"{len(indices)} of {total} images, not about {asked:.0f}"
        raise DataError(f"the {part} would be far from its share", got=got, fix=_other_groups(images))


def _other_groups(images: Images) -> str:
    largest = np.bincount(images.groups).max()
    if largest == 1:
        return "add images, or give a larger --test-share or --val-share"
    other = "name the parts with --group REGEX" if images.group == "auto" else "give another --group"
    return f"the largest group has {largest} images: {other}, or give --group none"


def _check_classes(split: Split, images: Images, enough: int | None) -> None:
    """Refuse a training part without a class, and any part without a class of ``enough`` groups or more.

    Raises:
        DataError: A part lacks a class that it needs, or nothing is tested.
    """
    wide = [] if enough is None else _wide(images.labels, images.groups, enough).tolist()
    if not len(split.test):
        raise DataError("no image is left for the test part", got=f"{len(images)} images", fix="add images")
    for name, part in (("training", split.train), ("validation", split.val), ("test", split.test)):
        needed = range(len(images.classes)) if name == "training" else wide
        lacking = sorted({*needed} - {*images.labels[part].tolist()})
        if len(part) and lacking:
            raise DataError(
                f"the {name} part lacks a class",
                got=", ".join(images.classes[label] for label in lacking),
                fix="add images of it, or give --test-share, --group REGEX or --group none",
            )
