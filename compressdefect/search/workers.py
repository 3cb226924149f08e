"""Where trials run: in the search's own process, or in spawned ones beside it.

Worker processes ignore Ctrl-C, which the search handles for them, and end by themselves when the search's process
dies, so a killed search leaves nothing behind that goes on training.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import tempfile
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait as wait_for
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any, Protocol

from compressdefect.errors import TrainingError
from compressdefect.search.evaluate import Evaluator, TrialJob, TrialResult

POLL_S = 0.5


class Workers(Protocol):
    """A place for a few trials at a time; answers come back under the numbers they were given."""

    size: int

    def submit(self, number: int, job: TrialJob) -> None:
        """Take a job; at most ``size`` may be waiting for an answer."""

    def collect(self) -> list[tuple[int, TrialResult]]:
        """Wait a moment, and return what has been finished since."""

    def close(self) -> None:
        """Give up what is running and let go of everything."""


class InProcess:
    """Runs each trial when its answer is asked for."""

    size = 1

    def __init__(self, evaluator: Evaluator, threads: int) -> None:
        self._evaluate = evaluator.prepare(threads)
        self._jobs: deque[tuple[int, TrialJob]] = deque()

    def submit(self, number: int, job: TrialJob) -> None:
        """See ``Workers``."""
        self._jobs.append((number, job))

    def collect(self) -> list[tuple[int, TrialResult]]:
        """See ``Workers``; returns when one trial is over."""
        if not self._jobs:
            return []
        number, job = self._jobs.popleft()
        return [(number, self._evaluate(job, _never))]

    def close(self) -> None:
        """Nothing to let go of."""


class Processes:
    """Runs trials in spawned processes that share the images through a memory map."""

    def __init__(self, evaluator: Evaluator, size: int, threads: int) -> None:
        self.size = size
        self._folder = tempfile.TemporaryDirectory(prefix="compressdefect-")
        context = multiprocessing.get_context("spawn")
        self._cancel = context.Event()
        self._pool = ProcessPoolExecutor(
            size,
            mp_context=context,
            initializer=_begin,
            initargs=(evaluator.shared(Path(self._folder.name)), threads, self._cancel),
        )
        self._running: dict[Future[TrialResult], int] = {}

    def submit(self, number: int, job: TrialJob) -> None:
        """See ``Workers``."""
        self._running[self._pool.submit(evaluate, job)] = number

    def collect(self) -> list[tuple[int, TrialResult]]:
        """See ``Workers``.

        Raises:
            TrainingError: a worker process died, from lack of memory as a rule.
        """
        done, _ = wait(self._running, timeout=POLL_S, return_when=FIRST_COMPLETED)
        try:
            return [
                (self._running.pop(future), future.result()) for future in sorted(done, key=self._running.__getitem__)
            ]
        except BrokenProcessPool as error:
            raise TrainingError(
                "a worker process died", got=f"{self.size} workers", fix="use fewer --workers, then --resume"
            ) from error

    def close(self) -> None:
        """See ``Workers``; a trial in flight ends with its epoch."""
        self._cancel.set()
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._folder.cleanup()


def open_workers(evaluator: Evaluator, count: int, threads: int | None = None) -> Workers:
    """Make workers; the CPU's cores are shared out unless ``threads`` per trial are given."""
    threads = threads or max(1, (os.cpu_count() or 1) // count)
    return InProcess(evaluator, threads) if count == 1 else Processes(evaluator, count, threads)


def evaluate(job: TrialJob) -> TrialResult:
    """Run one trial in a worker process."""
    return _PROCESS["evaluate"](job, _PROCESS["cancelled"])


_PROCESS: dict[str, Callable[..., Any]] = {}  # what `_begin` leaves for `evaluate` in a worker process


def _begin(evaluator: Evaluator, threads: int, cancel: Event) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    from compressdefect import compat

    compat.install()
    _PROCESS["evaluate"] = evaluator.prepare(threads)
    _PROCESS["cancelled"] = cancel.is_set


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait_for([parent.sentinel])
    os._exit(1)


def _never() -> bool:
    return False
