"""Which classes to tell apart, and which of them is the good one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from compressdefect.errors import DataError, known_names

GOOD_WORDS = frozenset({"good", "ok", "normal", "free", "defectfree"})
NEGATIONS = frozenset({"no", "non", "not", "un"})
DEFECT = "defect"
GOOD = "good"  # what an image without defects is called where images have no classes of their own


@dataclass(frozen=True, slots=True)
class Labelling:
    """Classes in the order of their indices, the good one, and the class each found label becomes."""

    classes: tuple[str, ...]
    good: str | None
    mapping: Mapping[str, str]


def choose_labels(found: Iterable[str], labels: str = "all", good: str | None = None, at_least: int = 2) -> Labelling:
    """Turn ``--labels`` and ``--good`` into a mapping; found labels outside the mapping are left out.

    ``labels`` is ``all`` (in the order found), ``binary`` (the good class against ``defect``) or a comma-separated
    choice of classes.

    >>> choose_labels(["MT_Free", "MT_Crack", "MT_Fray"], "binary").classes
    ('MT_Free', 'defect')

    Raises:
        DataError: A name is unknown, fewer than ``at_least`` classes are left, or the good class cannot be told.
    """
    chosen = _chosen(list(dict.fromkeys(found)), labels)
    if good is not None:
        _check_known(good, chosen, "--good names a class that the data does not have")
    if len(chosen) < at_least:
        raise too_few_classes(chosen)
    best = good if good is not None else default_good(chosen)
    if labels == "binary" and len(chosen) > 2:
        if best is None:
            raise DataError("--labels binary needs a good class", got=", ".join(chosen), fix="name it with --good")
        return Labelling((best, DEFECT), best, {name: best if name == best else DEFECT for name in chosen})
    return Labelling(tuple(chosen), best, {name: name for name in chosen})


def choose_regions(found: Iterable[str], labels: str = "all") -> dict[str, str]:
    """What each class of regions becomes under ``--labels``, in the order of their indices; the others are left out.

    >>> choose_regions(["crack", "spall"], "binary"), choose_regions(["crack", "spall"], "spall")
    ({'crack': 'defect', 'spall': 'defect'}, {'spall': 'spall'})

    Raises:
        DataError: A name is unknown.
    """
    chosen = _chosen(list(dict.fromkeys(found)), labels)
    merged = labels == "binary" and len(chosen) > 1
    return {name: DEFECT if merged else name for name in chosen}


def too_few_classes(classes: Iterable[str]) -> DataError:
    """The error of data that leaves nothing to tell apart."""
    return DataError(
        "a classifier needs at least two classes",
        got=", ".join(classes) or "none",
        fix="add images of another class",
    )


def default_good(classes: Iterable[str]) -> str | None:
    """The class whose name says that it is good: ``good``, ``ok``, ``normal``, ``free``, also as its last word.

    >>> default_good(["MT_Free", "MT_Crack"]), default_good(["NotGood", "scratch"])
    ('MT_Free', None)

    Raises:
        DataError: Several names do.
    """
    candidates = [name for name in classes if sounds_good(name)]
    exact = [name for name in candidates if name.lower() in GOOD_WORDS]
    candidates = exact or candidates
    if len(candidates) > 1:
        raise DataError("several classes sound like the good one", got=", ".join(candidates), fix="name it with --good")
    return candidates[0] if candidates else None


def sounds_good(name: str) -> bool:
    """Whether a class name says that its images show no defect: its last word does, as in ``defect-free``.

    >>> sounds_good("defect-free"), sounds_good("free_edge_crack")
    (True, False)
    """
    words = _words(name)
    return bool(words) and words[-1] in GOOD_WORDS and not NEGATIONS & {*words}


def perhaps_good(classes: Iterable[str]) -> list[str]:
    """The classes with a good word that is not their last: ``ok_front`` is one of good parts, ``ok_scratch`` is not.

    >>> perhaps_good(["ok_front", "def_front", "not_good"])
    ['ok_front']
    """
    return [name for name in classes if GOOD_WORDS & {*_words(name)[:-1]} and not NEGATIONS & {*_words(name)}]


def _words(name: str) -> list[str]:
    return [word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)]


def _chosen(known: list[str], labels: str) -> list[str]:
    if labels in ("all", "binary"):
        return known
    chosen = list(dict.fromkeys(name.strip() for name in labels.split(",") if name.strip()))
    for name in chosen:
        _check_known(name, known, "--labels names a class that the data does not have")
    return chosen


def _check_known(name: str, known: Iterable[str], what: str) -> None:
    if name not in known:
        raise DataError(what, got=name, fix=known_names(name, known))
