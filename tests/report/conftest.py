from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from compressdefect.report.evidence import Evidence, read_evidence
from tests.report.fake_run import make_run


@pytest.fixture(scope="session")
def search_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A complete search over 60 trials with a good class and grey images."""
    path = tmp_path_factory.mktemp("search") / "run"
    make_run(path)
    return path


@pytest.fixture(scope="session")
def search(search_run: Path) -> Evidence:
    return read_evidence(search_run)


@pytest.fixture(scope="session")
def climbed_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same search on a ladder: most designs have a score on its lowest rung alone."""
    path = tmp_path_factory.mktemp("climbed") / "run"
    make_run(path, ladder=True)
    return path


@pytest.fixture(scope="session")
def climbed(climbed_run: Path) -> Evidence:
    return read_evidence(climbed_run)


@pytest.fixture
def evidence_of(tmp_path: Path) -> Callable[..., Evidence]:
    """Make and read a small run folder as asked."""

    def make(**options: Any) -> Evidence:
        make_run(tmp_path / "run", **{"per_class": 12, "side": 16, "trials": 6} | options)
        return read_evidence(tmp_path / "run")

    return make
