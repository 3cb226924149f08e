from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from compressdefect.errors import RunError
from compressdefect.runs import RunFolder, atomic_write


def test_a_run_keeps_its_manifest(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path / "run", "classify", {"command": "search", "seed": 3})
    run.finish("complete")
    again = RunFolder.open(tmp_path / "run")
    assert again.manifest["seed"] == 3
    assert again.manifest["status"] == "complete"
    assert again.manifest["started"] <= again.manifest["finished"]


def test_an_existing_run_is_not_overwritten(tmp_path: Path) -> None:
    RunFolder.create(tmp_path / "run", "classify", {})
    with pytest.raises(RunError, match=r"not empty.*--resume"):
        RunFolder.create(tmp_path / "run", "classify", {})


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no such run folder"):
        RunFolder.open(tmp_path / "none")
    with pytest.raises(RunError, match=r"no manifest\.json"):
        RunFolder.open(tmp_path)
    for content in ("{", "[" * 100_000):
        (tmp_path / "manifest.json").write_text(content)
        with pytest.raises(RunError, match="not JSON"):
            RunFolder.open(tmp_path)


def test_names_that_are_no_unicode_can_be_written(tmp_path: Path) -> None:
    atomic_write(tmp_path / "page.html", "scr\udce4tch")
    assert (tmp_path / "page.html").read_text(encoding="utf-8") == "scr?tch"


def test_a_failed_write_leaves_the_old_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.json"
    atomic_write(path, "old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RunError, match="No space left on device"):
        atomic_write(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_of_two_processes_one_makes_the_folder(tmp_path: Path) -> None:
    def make(number: int) -> bool:
        try:
            RunFolder.create(tmp_path / "run", "classify", {"number": number})
        except RunError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(make, range(8)))
    assert made.count(True) == 1
    assert RunFolder.open(tmp_path / "run").manifest["number"] == made.index(True)


def test_a_run_that_is_being_worked_on_is_left_alone(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path / "run", "classify", {})
    with run.held(), pytest.raises(RunError, match="another process is working on this run"), run.held():
        pass
    with run.held():
        pass
