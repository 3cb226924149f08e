"""The weights of designs that were trained to the end: kept in the run folder, so that no winner is trained again."""

from __future__ import annotations

from pathlib import Path

from compressdefect.runs import atomic_write, make_folder

FOLDER = "weights"


def weights_path(run: Path, fingerprint: str) -> Path:
    """Where a run folder keeps the weights of a design."""
    return run / FOLDER / f"{fingerprint}.safetensors"


def write_weights(path: Path, content: bytes) -> None:
    """Keep a trial's weights.

    Raises:
        RunError: the folder cannot be written.
    """
    make_folder(path.parent)
    atomic_write(path, content)


def read_weights(path: Path) -> bytes | None:
    """A trial's weights; None where there are none."""
    try:
        return path.read_bytes()
    except OSError:
        return None
