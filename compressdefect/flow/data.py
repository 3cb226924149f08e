"""The commands about data alone: check it, look at it, split it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from compressdefect.data.audit.audit import audit
from compressdefect.data.depth import check_bits
from compressdefect.data.images import SYNTHETIC, Images
from compressdefect.data.read import read_all, settle_unlabelled
from compressdefect.data.sample import Listing
from compressdefect.errors import DataError, RunError, known_names
from compressdefect.flow.voice import Voice
from compressdefect.options import SplitOptions
from compressdefect.runs import atomic_write

NO_PAGE = "none"
_SPLIT_SIDE = 32  # pixels: a split looks at no image in the size that is loaded


def run_check(
    data: str,
    *,
    format: str | None = None,
    good: str | None = None,
    unlabelled: str | None = None,
    bits: int | None = None,
    html: str | None = None,
) -> dict[str, Any]:
    """Audit a dataset and write the page about it.

    Raises:
        DataError: the folder, its layout or the good class is wrong.
        RunError: the page cannot be written.
    """
    from compressdefect.report.audit import write_audit

    voice = Voice()
    check_bits(bits)
    listing = listing_of(data, format)
    if unlabelled is not None:
        listing = settle_unlabelled(listing, unlabelled)
    if good is not None and good not in listing.classes:
        raise DataError(
            "--good names a class that the data does not have", got=good, fix=known_names(good, listing.classes)
        )
    page = None if html == NO_PAGE else output_path(html, f"check-{listing.name}.html", data, "--html")
    if page is not None:
        check_writable(page)
    with voice.bar() as bar:
        work = bar.add_task("checking images", total=None)
        found = audit(
            listing,
            good=good,
            bits=bits,
            progress=lambda done, total: bar.update(work, completed=done, total=total),
        )
    if page is not None:
        write_audit(found, page)
    return {**found.to_json(), "report": None if page is None else str(page)}


def run_split(options: SplitOptions, out: str, folds: int | None = None) -> dict[str, Any]:
    """Split a dataset and write the split, or one file for each of ``folds`` folds.

    Raises:
        DataError: the data cannot be split so.
        RunError: a file cannot be written.
    """
    from compressdefect.data.split import make_folds, make_split

    if folds is not None and options.test_share is not None:
        raise DataError("--folds tests every image once", got="--test-share", fix="leave one of them out")
    path = Path(out)
    check_writable(path)
    images = _load(options)
    if folds is None:
        splits = [make_split(images, test_share=options.test_share, val_share=options.val_share, seed=options.seed)]
        paths = [path]
    else:
        splits = make_folds(images, folds, val_share=options.val_share, seed=options.seed)
        paths = [path.with_name(f"{path.stem}-{number}{path.suffix}") for number in range(1, folds + 1)]
    rows = []
    for split, file in zip(splits, paths, strict=True):
        atomic_write(file, json.dumps(split.to_json(images), indent=1) + "\n")
        parts = {part: _by_class(images, getattr(split, part)) for part in ("train", "val", "test", "left_out")}
        rows.append({"file": str(file), **parts})
    groups = len(np.unique(images.groups))
    return {"images": len(images), "groups": groups, "group": images.group, "seed": options.seed, "splits": rows}


def _load(options: SplitOptions) -> Images:
    """The images that a training on these options would see, small: their groups do not depend on their size.

    Its task is the one asked for, else the one that the annotations are made for, whatever the model.
    """
    from compressdefect.flow.prepare import choose_task, load
    from compressdefect.train.tasks import TASKS, task_kind

    kind = task_kind(choose_task(options, list(TASKS)))
    voice = Voice()
    images = load(options, kind, input=_SPLIT_SIDE, voice=voice)
    for remark in images.remarks:
        voice.say(remark)
    return images


def _by_class(images: Images, rows: np.ndarray) -> dict[str, int]:
    counts = np.bincount(images.labels[rows], minlength=len(images.classes))
    return {name: int(count) for name, count in zip(images.classes, counts, strict=True)}


def output_path(given: str | None, name: str, data: str, option: str) -> Path:
    """Where a file about the data goes: where it was asked for, else into ``runs``.

    Raises:
        RunError: ``runs`` would lie among the data, where the next command would take it for a class.
    """
    if given:
        return Path(given)
    path = Path("runs") / name
    if path.resolve().is_relative_to(Path(data).resolve()):
        raise RunError("runs would lie in the data folder", got=path, fix=f"name another place with {option}")
    return path


def check_writable(path: Path) -> None:
    """Make the folder of a file that a long command will write at its end.

    Raises:
        RunError: it cannot be written there.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"cannot make the folder {path.parent}", got=error.strerror, fix="choose another") from error
    if path.is_dir() or not os.access(path.parent, os.W_OK):
        raise RunError(
            f"cannot write {path}", got="a folder" if path.is_dir() else "no permission", fix="choose another"
        )


def listing_of(data: str, format: str | None) -> Listing:
    """The samples of a folder.

    Raises:
        DataError: it is no folder of a known layout.
    """
    if data == SYNTHETIC:
        raise DataError("synthetic images are drawn, not read", got=SYNTHETIC, fix="give a folder of images")
    return read_all(data, format)
