"""CrackForest: road cracks, ``image/001.jpg`` with ``groundTruth/001.mat``.

Shi, Cui, Qi, Meng, Chen, IEEE Trans. Intelligent Transportation Systems 17(12), 2016. Images without ground truth are
listed as not annotated.
"""

from __future__ import annotations

from pathlib import Path

from compressdefect.data.formats.collect import Collector
from compressdefect.data.formats.files import scan, stem
from compressdefect.data.marks.shapes import MatMask
from compressdefect.data.sample import Listing, Region, Sample
from compressdefect.errors import DataError

NAME = "crackforest"
LAYOUT = "image/001.jpg beside groundTruth/001.mat"
LABEL = "crack"

_FOLDERS = frozenset({"image", "groundTruth"})


def detect(root: Path) -> bool:
    """Whether both folders are there, with a MATLAB file in the second."""
    return _FOLDERS.issubset(scan(root, root).folders) and any(map(_is_mat, scan(root / "groundTruth", root).files))


def read(root: Path) -> Listing:
    """List the images with their masks.

    Raises:
        DataError: One of the two folders is missing.
    """
    if not _FOLDERS.issubset(scan(root, root).folders):
        raise DataError("the crackforest layout has folders image and groundTruth", got=str(root), fix="check --format")
    home, truth = root / "image", root / "groundTruth"
    collector = Collector(root, NAME)
    masks = {stem(name): name for name in collector.refuse(scan(truth, root)).files if _is_mat(name)}
    for name in collector.refuse(scan(home, root)).images:
        mask = masks.pop(stem(name), None)
        regions = None if mask is None else (Region(LABEL, MatMask(truth / mask)),)
        collector.samples.append(Sample(home / name, None, regions=regions))
    for key, mask in masks.items():
        collector.missing(f"image/{key}.jpg", f"groundTruth/{mask}")
    return collector.listing()


def _is_mat(name: str) -> bool:
    return name.lower().endswith(".mat")
