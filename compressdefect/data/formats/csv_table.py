"""A CSV table of path and label, perhaps with a column for the part of a split; several tables may be the parts.

The first line names the columns: path (or file, filename, image, name), label (or class, category, target) and split
(or part, subset). Images that no table names are unlabelled.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from compressdefect.data.formats.collect import SPLIT_NAMES, Annotated, Collector, split_named
from compressdefect.data.formats.files import is_image, scan
from compressdefect.data.formats.table import first_rows, read_table
from compressdefect.data.sample import Listing
from compressdefect.errors import DataError, known_names

NAME = "csv_table"
LAYOUT = "a .csv with columns path and label, and the images"

_PATH = ("path", "file", "filename", "file_name", "filepath", "image", "image_path", "name")
_LABEL = ("label", "class", "category", "target")
_SPLIT = ("split", "part", "subset")


def detect(root: Path) -> bool:
    """Whether a table has the columns, and image files in the first of them."""
    return bool(_tables(root))


def read(root: Path) -> Listing:
    """List the images with their labels.

    Raises:
        DataError: There is no table of this kind, or a row names a part of a split that nobody knows: taking it for
            training would train on what may be a test part.
    """
    tables = _tables(root)
    if not tables:
        raise DataError("the csv_table layout has a .csv with columns path and label", got=str(root), fix=LAYOUT)
    images = Annotated(Collector(root, NAME))
    for name in tables:
        for row in read_table(root / name, images.collector):
            _add(images, row, name)
    return images.listing()


def _tables(root: Path) -> list[str]:
    names = [name for name in scan(root, root).files if name.lower().endswith((".csv", ".tsv"))]
    return [name for name in names if _is_table(root / name)]


def _is_table(path: Path) -> bool:
    header, first = first_rows(path)
    column = _column(header, _PATH)
    if column is None or _column(header, _LABEL) is None:
        return False
    return len(first) == len(header) and is_image(first[header.index(column)].replace("\\", "/").rpartition("/")[2])


def _column(header: list[str], names: tuple[str, ...]) -> str | None:
    return next((name for name in names if name in header), None)


def _add(images: Annotated, row: dict[str, str], table: str) -> None:
    header = list(row)
    path, label = row[str(_column(header, _PATH))], row[str(_column(header, _LABEL))]
    if not path or not label:
        images.collector.unreadable(table, "a row has no path or no label")
        return
    name = images.find(path, table, [str(PurePosixPath(table).parent), "images"])
    if name is None:
        return
    images.labels.setdefault(name, set()).add(label)
    column = _column(header, _SPLIT)
    split = split_named(row[column] if column else table)
    if column and row[column] and split is None:
        raise DataError(
            f"{table} names an unknown part in its column {column}",
            got=row[column],
            fix=f"{known_names(row[column], SPLIT_NAMES)}; or rename the column",
        )
    if split is not None:
        images.place(name, split)
