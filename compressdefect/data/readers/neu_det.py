"""The NEU surface defect database as distributed for detection: six steel defects, 300 images of 200² each.

``IMAGES/<class>_<number>.jpg``; the class is the file name before its last underscore.
He, Song, Meng, Yan, IEEE Trans. Instrumentation and Measurement 69(4), 2020. Half of each class is the usual test part.
"""

from __future__ import annotations

from pathlib import Path

from compressdefect.data.files import has_images, image_files, relative_name
from compressdefect.data.sample import Listing, Sample
from compressdefect.errors import DataError

NAME = "neu_det"
LAYOUT = "IMAGES/CLASS_1.jpg"


def detect(root: Path) -> bool:
    """Whether there is an ``IMAGES`` folder with images in it."""
    return (root / "IMAGES").is_dir() and has_images(root / "IMAGES")


def read(root: Path) -> Listing:
    """List the images with the class in their names.

    Raises:
        DataError: There is no ``IMAGES`` folder.
    """
    folder = root / "IMAGES"
    if not folder.is_dir():
        raise DataError("the neu_det layout keeps its images in a folder IMAGES", got=str(root), fix="check --format")
    files, refused = image_files(folder, root)
    labelled = [(path, path.stem.rpartition("_")[0]) for path in files]
    nameless = tuple(
        (relative_name(path, root), "no class before an underscore") for path, label in labelled if not label
    )
    samples = tuple(Sample(path, label) for path, label in labelled if label)
    classes = tuple(sorted({sample.label for sample in samples}))
    return Listing(root.resolve().name, root, samples, classes, skipped=refused + nameless, test_share=0.5)
