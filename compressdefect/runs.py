"""Run folders: where a command leaves its evidence, and how a stopped one is found again."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from compressdefect.errors import RunError

_PACKAGES = ("compressdefect", "torch", "torchvision", "timm", "lightning", "optuna", "onnx", "onnxruntime", "numpy")


def atomic_write(path: Path, content: str | bytes) -> None:
    """Write a file so that a reader, or a crash, sees the old content or the new and nothing between.

    What is no Unicode in a text, as in a file name of another encoding, becomes a question mark.

    Raises:
        RunError: the disk is full, or the folder cannot be written.
    """
    data = content.encode(errors="replace") if isinstance(content, str) else content
    temporary = None
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
            temporary = Path(file.name)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError as error:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
        raise RunError(f"cannot write {path}", got=error.strerror, fix="free space or choose another folder") from error


def make_folder(path: Path) -> None:
    """Make a folder in one that is there, unless it is there itself.

    Raises:
        RunError: it cannot be made.
    """
    try:
        path.mkdir(exist_ok=True)
    except OSError as error:
        raise RunError(f"cannot make {path}", got=error.strerror, fix="free space or choose another folder") from error


def now() -> str:
    """The time in UTC, ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def versions() -> dict[str, str]:
    """Python's version and those of the packages that a result depends on."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


@dataclass(frozen=True)
class RunFolder:
    """A folder with a ``manifest.json``: the record of one command."""

    path: Path

    @classmethod
    def create(cls, path: Path | None, task: str, manifest: Mapping[str, Any]) -> RunFolder:
        """Make a new run folder, ``runs/<time>-<task>`` when no path is given.

        Raises:
            RunError: the folder exists and is not empty, or cannot be made.
        """
        path = path or Path("runs") / f"{datetime.now():%Y%m%d-%H%M%S}-{task}"
        try:
            path.mkdir(parents=True, exist_ok=True)
            if any(path.iterdir()):
                raise FileExistsError
            (path / "manifest.json").touch(exist_ok=False)  # of two processes that come this far, one goes on
        except FileExistsError as error:
            raise RunError(
                "the run folder is not empty",
                got=path,
                fix="choose another --run-dir, or continue it with --resume",
            ) from error
        except OSError as error:
            raise RunError(
                f"cannot make the run folder {path}", got=error.strerror, fix="choose another --run-dir"
            ) from error
        run = cls(path)
        run.write_json(
            "manifest.json",
            {**manifest, "versions": versions(), "started": now(), "finished": None, "status": "running"},
        )
        return run

    @classmethod
    def open(cls, path: Path) -> RunFolder:
        """Open a run folder.

        Raises:
            RunError: there is none at this path.
        """
        run = cls(path)
        if not path.is_dir():
            raise RunError("no such run folder", got=path, fix="give the folder that an earlier command printed")
        if not (path / "manifest.json").is_file():
            raise RunError("not a run folder: it has no manifest.json", got=path)
        _ = run.manifest
        return run

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Keep other processes off the run; the system lets go of it even when this one is killed.

        Raises:
            RunError: another process is working on it, or it cannot be written.
        """
        lock = FileLock(self.path / ".lock")
        try:
            lock.acquire(blocking=False)
        except Timeout as error:
            raise RunError(
                "another process is working on this run", got=self.path, fix="wait for it, or stop it"
            ) from error
        except OSError as error:
            raise RunError(f"cannot write {self.path}", got=error.strerror, fix="check its permissions") from error
        try:
            yield
        finally:
            lock.release()

    @property
    def manifest(self) -> dict[str, Any]:
        """The manifest as it is on disk now."""
        manifest = self.read_json("manifest.json")
        if not isinstance(manifest, dict):
            raise RunError("manifest.json does not hold an object", got=self.path)
        return manifest

    @property
    def best(self) -> Path:
        """The folder of the best model's bundle."""
        return self.path / "best"

    def update_manifest(self, **changes: Any) -> None:
        """Replace entries of the manifest."""
        self.write_json("manifest.json", {**self.manifest, **changes})

    def finish(self, status: str) -> None:
        """Record how the run ended: ``complete`` or ``stopped``."""
        self.update_manifest(status=status, finished=now())

    def write_json(self, name: str, value: object) -> None:
        """Write a value as JSON, atomically."""
        atomic_write(self.path / name, json.dumps(value, indent=1, allow_nan=False) + "\n")

    def read_json(self, name: str) -> Any:
        """Read a JSON file of the folder.

        Raises:
            RunError: the file is missing or is not JSON.
        """
        try:
            return json.loads((self.path / name).read_text())
        except FileNotFoundError as error:
            raise RunError(f"the run folder has no {name}", got=self.path) from error
        except (ValueError, RecursionError) as error:
            raise RunError(f"{name} is not JSON", got=f"{self.path / name}: {error}") from error
