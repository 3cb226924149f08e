"""MVTec AD: ``train/good``, ``test/<defect>`` and ``ground_truth/<defect>/000_mask.png``, for one or several parts.

Bergmann, Fauser, Sattlegger, Steger, "MVTec AD", CVPR 2019. The training part shows good images only.
"""

from __future__ import annotations

from pathlib import Path

from compressdefect.data.formats.collect import Collector
from compressdefect.data.formats.files import Folder, relative_name, scan, stem, subfolders
from compressdefect.data.labels import sounds_good
from compressdefect.data.marks.shapes import MaskFile
from compressdefect.data.sample import Listing, Region, Sample
from compressdefect.errors import DataError

NAME = "mvtec"
LAYOUT = "train/good/000.png, test/DEFECT/000.png, ground_truth/DEFECT/000_mask.png"

_DEPTH = 3  # folders below the root in which files lie
_PARTS = frozenset({"train", "test", "ground_truth"})


def detect(root: Path) -> bool:
    """Whether ``train``, ``test`` and ``ground_truth`` lie in ``root`` or in a folder in it."""
    return bool(_categories(root))


def read(root: Path) -> Listing:
    """List both parts, with the masks of the defects.

    Raises:
        DataError: There is no folder of this layout.
    """
    categories = _categories(root)
    if not categories:
        raise DataError(
            "the mvtec layout has folders train, test and ground_truth", got=str(root), fix="check --format"
        )
    collector = Collector(root, NAME, depth=_DEPTH)
    for category in categories:
        home = scan(category / "ground_truth", root)
        masks = {name: _masks(collector, home.path / name) for name in home.folders}
        for split in ("train", "test"):
            for label in scan(category / split, root).folders:
                folder = scan(category / split / label, root)
                _add(collector, folder, split, masks.get(label, {}) if split == "test" else {})
        for left in masks.values():
            for key, mask in left.items():
                name = relative_name(mask.parent.parent.parent / "test" / mask.parent.name / f"{key}.png", root)
                collector.missing(name, relative_name(mask, root))
    return collector.listing()


def _categories(root: Path) -> list[Path]:
    return [path for path in (root, *subfolders(root, root)) if _PARTS.issubset(scan(path, root).folders)]


def _masks(collector: Collector, path: Path) -> dict[str, Path]:
    """Mask files by the stem of the image that they belong to; of several, one named as the layout has it."""
    found: dict[str, Path] = {}
    names = scan(path, collector.root).images
    for name in sorted(names, key=lambda name: not stem(name).endswith("_mask")):
        mask = found.setdefault(stem(name).removesuffix("_mask"), path / name)
        if mask.name != name:
            collector.surplus_mask(path / name)
    return found


def _add(collector: Collector, folder: Folder, split: str, masks: dict[str, Path]) -> None:
    label = folder.path.name
    for name in folder.images:
        mask = masks.pop(stem(name), None)
        regions: tuple[Region, ...] | None = () if sounds_good(label) else None
        if mask is not None:
            regions = (Region(label, MaskFile(mask)),)
        collector.samples.append(Sample(folder.path / name, label, split, regions))
