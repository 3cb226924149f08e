"""Finding image files in a folder without leaving it."""

from __future__ import annotations

from pathlib import Path

IMAGE_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"})

Refused = tuple[tuple[str, str], ...]


def is_image(path: Path) -> bool:
    """Whether the name is one of a visible image file."""
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")


def subfolders(folder: Path) -> list[Path]:
    """Visible folders directly inside ``folder``, by name."""
    return sorted(path for path in folder.iterdir() if path.is_dir() and path.name[0] not in "._")


def has_images(folder: Path) -> bool:
    """Whether an image file lies directly inside ``folder``."""
    return any(is_image(path) for path in folder.iterdir())


def image_files(folder: Path, root: Path) -> tuple[list[Path], Refused]:
    """Image files directly inside ``folder`` by name, and those that must not be opened, with the reason."""
    home = root.resolve()
    files, refused = [], []
    for path in sorted(path for path in folder.iterdir() if is_image(path) and not path.is_dir()):
        reason = _refusal(path, home)
        if reason is None:
            files.append(path)
        else:
            refused.append((relative_name(path, root), reason))
    return files, tuple(refused)


def _refusal(path: Path, home: Path) -> str | None:
    try:
        inside = path.resolve().is_relative_to(home)
    except (OSError, RuntimeError):  # a circle of links
        return "a link leads nowhere"
    if not inside:
        return "a link leads out of the data folder"
    return None if path.is_file() else "not a regular file"


def relative_name(path: Path, root: Path) -> str:
    """Name of a file relative to the dataset, with forward slashes on every system."""
    return path.relative_to(root).as_posix()
