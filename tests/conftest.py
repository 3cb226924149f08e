"""Shared fixtures. Real datasets are used where they lie beside the project and skipped elsewhere."""

from __future__ import annotations

from pathlib import Path

from hypothesis import settings

_BESIDE = Path(__file__).resolve().parents[2] / "shared" / "data"
SHARED_DATA: Path | None = _BESIDE if _BESIDE.is_dir() else None

settings.register_profile("shared", deadline=None, derandomize=True)  # machines differ in speed; a failure repeats
settings.load_profile("shared")
