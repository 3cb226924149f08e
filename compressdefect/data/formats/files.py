"""Listing the files of a dataset without leaving its folder, and without a system call per file."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from compressdefect.errors import DataError

IMAGE_SUFFIXES = frozenset(
    {".bmp", ".png", ".tif", ".tiff", ".webp"}
    | {".pbm", ".pgm", ".pnm", ".ppm"}
    | {".jfif", ".jpe", ".jpeg", ".jpg"}
    | {".j2k", ".jp2", ".jpf", ".jpx"}
)
UNREAD_SUFFIXES = frozenset(  # of images, which are named and not read
    {".avif", ".dcm", ".dds", ".exr", ".gif", ".heic", ".heif", ".jls", ".jxl", ".jxr", ".mpo", ".pcx", ".psd", ".tga"}
    | {".arw", ".cr2", ".cr3", ".dng", ".nef", ".orf", ".rw2"}
)
MAX_DEPTH = 8
MAX_TEXT_BYTES = 64 * 2**20  # an annotation file of one image, a table; a COCO file may be larger

Refused = tuple[tuple[str, str], ...]

_DRIVE = re.compile(r"[A-Za-z]:")


@dataclass(frozen=True, slots=True)
class Folder:
    """What lies directly in a folder: names of visible folders and files, sorted, and what must not be opened."""

    path: Path
    folders: tuple[str, ...]
    files: tuple[str, ...]
    refused: Refused

    @property
    def images(self) -> list[str]:
        """Names of the image files."""
        return [name for name in self.files if is_image(name)]


def scan(path: Path, root: Path) -> Folder:
    """List a folder inside the dataset ``root``.

    Raises:
        OSError: It cannot be read.
    """
    folders, files, refused = [], [], []
    with os.scandir(path) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            reason = _refusal(entry, root)
            if reason is not None:
                refused.append((relative_name(path / entry.name, root), reason))
            elif not entry.is_dir():
                files.append(entry.name)
            elif not entry.name.startswith("_"):
                folders.append(entry.name)
    return Folder(path, tuple(sorted(folders)), tuple(sorted(files)), tuple(sorted(refused)))


def walk(root: Path, start: Path | None = None, depth: int = MAX_DEPTH) -> Iterator[Folder]:
    """List a folder (``root`` itself unless another is given) and those in it, down to ``depth`` levels below.

    Links to folders are followed inside ``root``, unless they lead back up.
    """
    folder = scan(start or root, root)
    yield folder
    for name in folder.folders if depth else ():
        path = folder.path / name
        if not (path.is_symlink() and folder.path.resolve().is_relative_to(path.resolve())):
            yield from walk(root, path, depth - 1)


def is_image(name: str) -> bool:
    """Whether the name is one of a visible image file."""
    return suffix(name) in IMAGE_SUFFIXES and not name.startswith(".")


def is_unread_image(name: str) -> bool:
    """Whether the name is one of a visible image file of a kind that is not read."""
    return suffix(name) in UNREAD_SUFFIXES and not name.startswith(".")


def suffix(name: str) -> str:
    """A file's last suffix with its dot, in lower case.

    >>> suffix("a.b.PNG"), suffix("png")
    ('.png', '')
    """
    _, dot, end = name.rpartition(".")
    return dot and dot + end.lower()


def stem(name: str) -> str:
    """A file's name without its last suffix."""
    return name.rpartition(".")[0] or name


def subfolders(folder: Path, root: Path) -> list[Path]:
    """Visible folders directly inside ``folder``, by name, that are not links out of the dataset ``root``."""
    return [folder / name for name in scan(folder, root).folders]


def has_images(folder: Path) -> bool:
    """Whether an image file lies directly inside ``folder``, which lies in the dataset."""
    with os.scandir(folder) as entries:
        return any(is_image(entry.name) for entry in entries)


def unread_images(root: Path) -> list[str]:
    """Names below ``root`` of the images of kinds that are not read."""
    return [
        relative_name(folder.path / name, root)
        for folder in walk(root)
        for name in folder.files
        if is_unread_image(name)
    ]


def relative_name(path: Path, root: Path) -> str:
    """Name of a file relative to the dataset, with forward slashes on every system."""
    return path.relative_to(root).as_posix()


def inner_name(text: str) -> str | None:
    r"""A path written in an annotation file, as a clean relative name; None if it is absolute or climbs with ``..``.

    >>> inner_name("./train\\a.png"), inner_name("../a.png"), inner_name("C:/a.png"), inner_name("/a.png")
    ('train/a.png', None, None, None)
    """
    path = PurePosixPath(text.strip().replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or _DRIVE.match(str(path)) or "\0" in text:
        return None
    return path.as_posix()


def read_text(path: Path, max_bytes: int = MAX_TEXT_BYTES) -> str:
    """The text of a small annotation file, UTF-8 with or without a byte order mark; other bytes become a question mark.

    Raises:
        DataError: It cannot be read, or is too large to be what it should be.
    """
    return read_bytes(path, max_bytes).decode("utf-8-sig", errors="replace")


def read_bytes(path: Path, max_bytes: int = MAX_TEXT_BYTES) -> bytes:
    """What a small annotation file holds, in whatever encoding.

    Raises:
        DataError: It cannot be read, or is too large to be what it should be.
    """
    try:
        with path.open("rb") as file:
            content = file.read(max_bytes + 1)
    except OSError as error:
        raise DataError(f"{path.name} cannot be read", got=error.strerror, fix="check the file") from error
    if len(content) > max_bytes:
        raise DataError(f"{path.name} is too large", got=f"more than {max_bytes >> 20} MiB", fix="check the file")
    return content


def _refusal(entry: os.DirEntry[str], root: Path) -> str | None:
    if not entry.is_symlink():
        return None if entry.is_file() or entry.is_dir() else "not a regular file"
    try:
        target = Path(entry.path).resolve()
        if not target.is_relative_to(root.resolve()):
            return "a link leads out of the data folder"
        return None if target.is_file() or target.is_dir() else "a link leads nowhere"
    except (OSError, RuntimeError):  # a circle of links
        return "a link leads nowhere"
