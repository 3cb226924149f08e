"""The NEU surface defect database as distributed for detection: six steel defects, 300 images of 200² each.

``IMAGES/<class>_<number>.jpg``; the class is the file name before its last underscore. ``ANNOTATIONS/*.xml``, where
present, has the boxes in the Pascal VOC form; to read them alone, without the classes, name the format ``voc``.
He, Song, Meng, Yan, IEEE Trans. Instrumentation and Measurement 69(4), 2020. Half of each class is the usual test part.
"""

from __future__ import annotations

import re
from pathlib import Path

from compressdefect.data.formats import voc
from compressdefect.data.formats.collect import Collector
from compressdefect.data.formats.files import has_images, scan, stem, subfolders
from compressdefect.data.sample import Listing, Sample
from compressdefect.errors import DataError

NAME = "neu_det"
LAYOUT = "IMAGES/CLASS_1.jpg, with boxes in ANNOTATIONS/CLASS_1.xml"

_NUMBERED = re.compile(r"(.+)_\d+")


def detect(root: Path) -> bool:
    """Whether there is an ``IMAGES`` folder with numbered images of several classes."""
    folder = _child(root, "IMAGES")
    if folder is None or not has_images(folder):
        return False
    matches = (_NUMBERED.fullmatch(stem(name)) for name in scan(folder, root).images)
    return len({match[1] for match in matches if match}) > 1


def read(root: Path) -> Listing:
    """List the images with the class in their names.

    Raises:
        DataError: There is no ``IMAGES`` folder.
    """
    home = _child(root, "IMAGES")
    if home is None:
        raise DataError("the neu_det layout keeps its images in a folder IMAGES", got=str(root), fix="check --format")
    collector = Collector(root, NAME)
    images = collector.refuse(scan(home, root)).images
    annotations = _annotations(collector)
    for name in images:
        label = stem(name).rpartition("_")[0]
        if not label:
            collector.skip(f"IMAGES/{name}", "no class before an underscore")
            continue
        found = annotations.pop(stem(name), None)
        regions, stated = (found.regions, found.stated) if found else (None, None)
        collector.samples.append(Sample(home / name, label, regions=regions, stated=stated))
    for name in annotations:
        collector.missing(f"IMAGES/{name}.jpg", f"ANNOTATIONS/{name}.xml")
    return collector.listing(test_share=0.5)


def _annotations(collector: Collector) -> dict[str, voc.Annotation]:
    """What each XML file says, by the stem of its name."""
    folder = _child(collector.root, "ANNOTATIONS")
    found: dict[str, voc.Annotation] = {}
    if folder is None:
        return found
    for name in collector.refuse(scan(folder, collector.root)).files:
        if not name.lower().endswith(".xml"):
            continue
        annotation = voc.parsed(collector, f"ANNOTATIONS/{name}")
        if annotation is not None:
            found[stem(name)] = annotation
    return voc.counted(collector, found)


def _child(root: Path, name: str) -> Path | None:
    """A folder of exactly this name, on systems that do not tell case apart too."""
    return next((folder for folder in subfolders(root, root) if folder.name == name), None)
