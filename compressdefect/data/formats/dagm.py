"""DAGM 2007: ``ClassN/{Train,Test}`` with weak masks, or ``ClassN`` beside ``ClassN_def`` with a table of ellipses.

Wieler, Hahn, "Weakly supervised learning for industrial optical inspection", DAGM symposium 2007. Each line of
``Label/Labels.txt`` has number, 1 for defective, image, 0, mask; of ``ClassN_def/labels.txt`` number, half axes,
angle, middle. With several texture classes a defect is named after its texture, else ``defect``.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from pathlib import Path

from compressdefect.data.formats.collect import SPLIT_NAMES, Collector
from compressdefect.data.formats.files import Folder, inner_name, read_text, relative_name, scan, stem, subfolders
from compressdefect.data.labels import DEFECT, GOOD
from compressdefect.data.marks.shapes import Ellipse, MaskFile
from compressdefect.data.sample import Listing, Region, Sample
from compressdefect.errors import DataError

NAME = "dagm"
LAYOUT = "Class1/Train/Label/Labels.txt, or Class1/1.png beside Class1_def/labels.txt"

_DEPTH = 3  # folders below the root in which files lie
_TEXTURE = re.compile(r"class\d+", re.IGNORECASE)


def detect(root: Path) -> bool:
    """Whether a table of labels lies where the layout has it."""
    return bool(_textures(root))


def read(root: Path) -> Listing:
    """List every image; one that its table does not name is unlabelled.

    Raises:
        DataError: There is no folder of this layout.
    """
    textures = _textures(root)
    if not textures:
        raise DataError("the dagm layout needs Class1/Train/Label/Labels.txt", got=str(root), fix="check --format")
    collector = Collector(root, NAME, depth=_DEPTH)
    for texture in textures:
        label = texture.name if len(textures) > 1 else DEFECT
        for folder in _parts(root, texture):
            _read_part(collector, folder, label)
        if texture != root and _has_ellipses(root, texture):
            _read_ellipses(collector, texture, label)
    return collector.listing()


def _textures(root: Path) -> list[Path]:
    """The folders ``ClassN`` with a table, or ``root`` where it is one itself."""
    if _parts(root, root):
        return [root]
    found = [folder for folder in subfolders(root, root) if _TEXTURE.fullmatch(folder.name)]
    found = [folder for folder in found if _parts(root, folder) or _has_ellipses(root, folder)]
    return sorted(found, key=lambda folder: int(folder.name[5:]))


def _parts(root: Path, texture: Path) -> list[Path]:
    parts = [folder for folder in subfolders(texture, root) if folder.name.lower() in SPLIT_NAMES]
    return [folder for folder in parts if _has_table(root, folder, "Label", "Labels.txt")]


def _has_ellipses(root: Path, texture: Path) -> bool:
    return _has_table(root, texture.parent, f"{texture.name}_def", "labels.txt")


def _has_table(root: Path, home: Path, folder: str, name: str) -> bool:
    return folder in scan(home, root).folders and name in scan(home / folder, root).files


def _read_part(collector: Collector, folder: Path, label: str) -> None:
    root = collector.root
    masks = scan(folder / "Label", root)
    images = scan(folder, root).images
    rows = _table(collector, masks)
    split = SPLIT_NAMES[folder.name.lower()]
    for name in images:
        row = rows.pop(name.lower(), None)
        if row is None:
            collector.samples.append(Sample(folder / name, None, split))
        elif len(row.labels) > 1:
            collector.conflict(relative_name(folder / name, root), row.labels)
        else:
            collector.samples.append(_sample(collector, folder / name, split, row, masks, label))
    for name in rows:
        collector.missing(relative_name(folder / name, root), relative_name(masks.path / "Labels.txt", root))


@dataclass(slots=True)
class _Row:
    """What a table says of one image."""

    labels: set[str] = field(default_factory=set)
    mask: str | None = None


def _table(collector: Collector, masks: Folder) -> dict[str, _Row]:
    """What ``Labels.txt`` says, by image name in lower case."""
    path = masks.path / "Labels.txt"
    source = relative_name(path, collector.root)
    rows: dict[str, _Row] = {}
    for line in _lines(collector, path):
        fields = line.split()
        if len(fields) == 1 and fields[0].isdecimal():  # the first line
            continue
        if len(fields) < 3 or fields[1] not in ("0", "1"):
            collector.unreadable(source, "a line is not: number, 0 or 1, image, 0, mask")
            continue
        mask = fields[4] if len(fields) > 4 and fields[4] != "0" else None
        outside = next((name for name in (fields[2], mask) if name is not None and inner_name(name) != name), None)
        if outside is not None:
            collector.refused(source, outside)
            continue
        row = rows.setdefault(fields[2].lower(), _Row())
        row.labels.add(DEFECT if fields[1] == "1" else GOOD)
        row.mask = mask
    return rows


def _sample(collector: Collector, path: Path, split: str, row: _Row, masks: Folder, label: str) -> Sample:
    if row.labels == {GOOD}:
        return Sample(path, GOOD, split, ())
    return Sample(path, label, split, _mask_region(collector, masks, row.mask, label))


def _mask_region(collector: Collector, masks: Folder, mask: str | None, label: str) -> tuple[Region, ...] | None:
    if mask is None:
        return None
    if mask not in masks.files:
        collector.findings.add(
            "missing-image",
            relative_name(masks.path / mask, collector.root),
            "Labels.txt names this mask, but there is no such file",
            "add the mask",
        )
        return None
    return (Region(label, MaskFile(masks.path / mask)),)


def _read_ellipses(collector: Collector, texture: Path, label: str) -> None:
    root, folder = collector.root, texture.with_name(f"{texture.name}_def")
    collector.samples += [Sample(texture / name, GOOD, regions=()) for name in scan(texture, root).images]
    ellipses: dict[str, list[Region]] = {}
    for line in _lines(collector, folder / "labels.txt"):
        try:
            number, *values = line.split()
            a, b, angle, x, y = map(float, values)
            if not (all(map(math.isfinite, (angle, x, y))) and 0 < a < math.inf and 0 < b < math.inf):
                raise ValueError("no ellipse")
        except ValueError:
            collector.unreadable(
                relative_name(folder / "labels.txt", root), "a line is not: number, half axes, angle, x, y"
            )
            continue
        ellipses.setdefault(number, []).append(Region(label, Ellipse(x + 0.5, y + 0.5, a, b, angle)))
    for name in scan(folder, root).images:
        regions = ellipses.pop(stem(name), None)
        collector.samples.append(Sample(folder / name, label, regions=tuple(regions) if regions else None))
    for number in ellipses:
        collector.missing(relative_name(folder / f"{number}.png", root), relative_name(folder / "labels.txt", root))


def _lines(collector: Collector, path: Path) -> list[str]:
    try:
        return [line for line in read_text(path).splitlines() if line.strip()]
    except DataError as error:
        collector.unreadable(relative_name(path, collector.root), error.what)
        return []
