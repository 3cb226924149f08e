"""Find spaces, designs and studies by name: an explicit path, then the working folder's own, then the shipped ones."""

from __future__ import annotations

from pathlib import Path

from compressdefect.errors import SpaceError, known_names
from compressdefect.space.genotype import Genotype
from compressdefect.space.load import load_space
from compressdefect.space.space import Space

_PACKAGE = Path(__file__).resolve().parent
_SHIPPED = _PACKAGE / "_shipped"


def shipped_root() -> Path:
    """Where the shipped spaces and studies lie: inside an installed wheel, or beside the package in a checkout."""
    return _SHIPPED if _SHIPPED.is_dir() else _PACKAGE.parent


def spaces() -> dict[str, Path]:
    """Every space that can be named, by name; the working folder's own hide shipped ones of the same name."""
    return _named("search_spaces", "*.toml", key=lambda path: path.stem)


def hiding_spaces() -> dict[str, Path]:
    """The working folder's own files that hide a shipped space of the same name and say something else than it."""
    shipped = shipped_root() / "search_spaces"
    found = ((name, path, shipped / path.name) for name, path in spaces().items())
    return {
        name: path
        for name, path, other in found
        if path != other and other.is_file() and path.read_bytes() != other.read_bytes()
    }


def studies() -> dict[str, Path]:
    """The folder of every study that can be named, by name."""
    return {name: path.parent for name, path in _named("studies", "*/study.py", key=lambda p: p.parent.name).items()}


def _named(folder: str, pattern: str, key: object) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for root in (shipped_root(), Path.cwd()):
        for path in sorted((root / folder).glob(pattern)):
            found[key(path)] = path  # type: ignore[operator]
    return found


def find_space(name: str) -> Space:
    """Load a space by path or by name.

    Raises:
        SpaceError: there is no such space, or its file is wrong.
    """
    path, known = Path(name), spaces()
    if path.is_file():
        return load_space(path)
    if path.name == name and path.stem in known:
        return load_space(known[path.stem])
    raise SpaceError("no such search space", got=name, fix=f"{known_names(name, known)}; or give a .toml file")


def designs() -> dict[str, Space]:
    """Every named design and the space it lives in; a space file that does not load is passed over here."""
    found: dict[str, Space] = {}
    for path in spaces().values():
        try:
            space = load_space(path)
        except SpaceError:
            continue
        found |= dict.fromkeys(space.designs, space)
    return found


def find_design(name: str) -> tuple[Space, Genotype]:
    """Find a named design.

    Raises:
        SpaceError: no space has a design of that name.
    """
    known = designs()
    if name not in known:
        raise SpaceError("no such design", got=name, fix=known_names(name, known))
    return known[name], known[name].designs[name]
