"""Places where trials run; what they come to is in ``test_evaluate`` and ``test_driver``."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from compressdefect.data.images import Images
from compressdefect.errors import RunError, TrainingError
from compressdefect.search.evaluate import GoOn, TrialJob, TrialResult
from compressdefect.search.workers import Processes, Workers, open_workers
from tests.search.fakes import FIRST, FakeEvaluator


@dataclass(frozen=True)
class Writing(FakeEvaluator):
    """Has something to share."""

    def without_data(self, folder: Path) -> Writing:
        (folder / "pixels.npy").write_bytes(bytes(1000))
        return self


@dataclass(frozen=True)
class Large(FakeEvaluator):
    """Has images of 100 kB."""

    def without_data(self, folder: Path) -> Large:
        pixels, numbers, names = np.zeros((10, 1, 100, 100), np.uint8), np.arange(10), tuple("0123456789")
        Images(pixels, numbers % 2, names, names, ("good", "bad"), numbers).save(folder)
        return self


@dataclass(frozen=True)
class Dying(FakeEvaluator):
    """Every training ends its process, as a system out of memory does."""

    def __call__(self, job: TrialJob, go_on: GoOn) -> TrialResult:
        os._exit(9)


@dataclass(frozen=True)
class Struck(FakeEvaluator):
    """Ctrl-C is pressed as a process takes it over, which is before that has begun."""

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        signal.raise_signal(signal.SIGINT)


def copies(folder: Path) -> list[Path]:
    return list(folder.rglob("pixels.npy"))


def test_what_workers_share_lies_in_the_run_folder_while_they_work(tmp_path: Path) -> None:
    workers = open_workers(Writing(tmp_path / "log"), 2, 1, tmp_path)
    assert len(copies(tmp_path)) == 1
    workers.close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("count", [1, 2])
def test_what_a_killed_search_left_is_removed_when_its_run_goes_on(tmp_path: Path, count: int) -> None:
    killed = open_workers(Writing(tmp_path / "log"), 2, 1, tmp_path)
    (left,) = copies(tmp_path)
    workers = open_workers(Writing(tmp_path / "log"), count, 1, tmp_path)
    assert left not in copies(tmp_path)
    assert len(copies(tmp_path)) == count - 1
    workers.close()
    killed.close()


def test_no_room_for_what_workers_share_is_one_line(tmp_path: Path) -> None:
    """Past the limit writes end as on a full disk: NumPy's error then has no number."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, before[1]))
    try:
        with pytest.raises(
            RunError,
            match=r"cannot copy the images into .* for the workers: got .* requested and .*written; free space",
        ):
            open_workers(Large(tmp_path / "log"), 2, 1, tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == []


JOB = TrialJob(FIRST, seed=0, epochs=1)


def test_a_worker_that_died_is_told_by_whatever_is_asked_next(tmp_path: Path) -> None:
    with closing(open_workers(Dying(tmp_path / "log"), 2, 1, tmp_path)) as workers:
        workers.submit(0, JOB)
        asked: list[Callable[[], object]] = [
            lambda: answers(workers, 1),
            lambda: workers.submit(1, JOB),
            lambda: workers.epoch_s(FIRST, 1),
            lambda: workers.epochs_s([FIRST], 1),
        ]
        for ask in asked:
            with pytest.raises(TrainingError, match="a worker process died: got 2 workers; use fewer --workers, then"):
                ask()


@pytest.fixture
def listening() -> Iterator[None]:
    """Ctrl-C ends this process, whoever started it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals that wait")
@pytest.mark.usefixtures("listening")
def test_a_process_that_is_only_starting_ignores_ctrl_c(tmp_path: Path) -> None:
    with closing(open_workers(Struck(tmp_path / "log"), 2, 1, tmp_path)) as workers:
        workers.submit(0, JOB)
        ((number, result),) = answers(workers, 1)
        assert (number, result.state) == (0, "complete")
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def answers(workers: Workers, count: int) -> list[tuple[int, TrialResult]]:
    found: list[tuple[int, TrialResult]] = []
    while len(found) < count:
        found += workers.collect(lambda share: None)
    return found


def test_what_was_finished_is_returned_before_a_worker_that_died_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where both are found at the same moment."""
    finished, died = Future[TrialResult](), Future[TrialResult]()
    with closing(Processes(FakeEvaluator(tmp_path / "log"), 2, 1, tmp_path)) as workers:
        submitted = iter((died, finished))
        monkeypatch.setattr(workers._pool, "submit", lambda *_: next(submitted))
        workers.submit(0, JOB)
        workers.submit(1, JOB)
        result = TrialResult("complete", 1.0, 0.5)
        finished.set_result(result)
        died.set_exception(BrokenProcessPool())
        assert workers.collect(lambda share: None) == [(1, result)]
        with pytest.raises(TrainingError, match="a worker process died"):
            workers.collect(lambda share: None)
