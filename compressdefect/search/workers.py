"""Where trials run: in the search's own process, or in spawned ones beside it.

Worker processes ignore Ctrl-C from their first moment on, which the search handles for them, and end by themselves when
the search's process dies, so a killed search leaves nothing behind that goes on training. The images that they share
lie in the run folder meanwhile; what a killed search left of them there goes when the run goes on.
"""

from __future__ import annotations

import contextlib
import ctypes
import math
import multiprocessing
import os
import shutil
import signal
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait as wait_for
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any, Protocol, TypeVar

from compressdefect.errors import RunError, TrainingError
from compressdefect.search.evaluate import Evaluator, TrialJob, TrialResult
from compressdefect.space.genotype import Genotype

POLL_S = 0.5
_COPY = ".images-"  # how the folders of what processes share begin

Tell = Callable[[float], None]
"""Is told the mean share of the running trials that is done, whenever it is known."""

Answer = TypeVar("Answer")


class Workers(Protocol):
    """A place for a few trials at a time; answers come back under the numbers they were given."""

    size: int
    threads: int  # of each trial

    def submit(self, number: int, job: TrialJob) -> None:
        """Take a job; at most ``size`` may be waiting for an answer."""

    def collect(self, tell: Tell) -> list[tuple[int, TrialResult]]:
        """Wait a moment, and return what has been finished since."""

    def epoch_s(self, genotype: Genotype, threads: int, patience_s: float = math.inf) -> float:
        """Seconds of an epoch of this design; see ``Evaluator.epoch_s``. Nothing may be running."""

    def epochs_s(self, genotypes: Sequence[Genotype], threads: int) -> list[float]:
        """Likewise of several designs, as many at a time as are trained at a time: these slow each other down.

        Infinite for a design that cannot be trained.
        """

    def close(self) -> None:
        """Give up what is running and let go of everything; once more does no harm."""


OpenWorkers = Callable[[Evaluator, int, int | None, Path], Workers]
"""Makes workers of an evaluator: how many, the threads of each trial (None: as the place likes), the run's folder."""


class InProcess:
    """Runs each trial when its answer is asked for."""

    size = 1

    def __init__(self, evaluator: Evaluator, threads: int) -> None:
        self._evaluator, self.threads = evaluator.prepare(threads), threads
        self._jobs: deque[tuple[int, TrialJob]] = deque()

    def submit(self, number: int, job: TrialJob) -> None:
        """See ``Workers``."""
        self._jobs.append((number, job))

    def collect(self, tell: Tell) -> list[tuple[int, TrialResult]]:
        """See ``Workers``; returns when one trial is over."""
        if not self._jobs:
            return []

        def go_on(share: float) -> bool:
            tell(share)
            return True

        number, job = self._jobs.popleft()
        return [(number, self._evaluator(job, go_on))]

    def epoch_s(self, genotype: Genotype, threads: int, patience_s: float = math.inf) -> float:
        """See ``Workers``."""
        return self._evaluator.epoch_s(genotype, threads, patience_s)

    def epochs_s(self, genotypes: Sequence[Genotype], threads: int) -> list[float]:
        """See ``Workers``."""
        return [_if_it_can(self._evaluator, genotype, threads) for genotype in genotypes]

    def close(self) -> None:
        """Nothing to let go of."""


class Processes:
    """Runs trials in spawned processes that share the images through a memory map of a copy in ``run``, a folder.

    Whatever is asked after one of them died, from lack of memory as a rule, raises a ``TrainingError``.

    Raises:
        RunError: the folder has no room for the copy, or cannot be written.
    """

    def __init__(self, evaluator: Evaluator, size: int, threads: int, run: Path) -> None:
        self.size, self.threads = size, threads
        self._folder, shared = _copied(evaluator, run)
        folder = Path(self._folder.name)
        context = multiprocessing.get_context("spawn")
        self._cancel = context.Event()
        self._shares = context.RawArray("d", size)
        self._pool = ProcessPoolExecutor(
            size,
            mp_context=context,
            initializer=_begin,
            initargs=(shared, folder, threads, self._cancel, self._shares),
        )
        self._running: dict[Future[TrialResult], tuple[int, int]] = {}  # number and slot

    def submit(self, number: int, job: TrialJob) -> None:
        """See ``Workers``."""
        slot = min(set(range(self.size)) - {slot for _, slot in self._running.values()})
        self._shares[slot] = 0.0
        self._running[self._ask(evaluate, slot, job)] = number, slot

    def collect(self, tell: Tell) -> list[tuple[int, TrialResult]]:
        """See ``Workers``.

        Raises:
            TrainingError: a worker process died; what others had finished by then has been returned before.
        """
        done, _ = wait(self._running, timeout=POLL_S, return_when=FIRST_COMPLETED)
        finished = sorted(done, key=self._running.__getitem__)
        whole = [future for future in finished if future.exception() is None]
        answers = [(self._running.pop(future)[0], self._answer(future)) for future in whole or finished]
        if self._running:
            tell(sum(self._shares[slot] for _, slot in self._running.values()) / len(self._running))
        return answers

    def epoch_s(self, genotype: Genotype, threads: int, patience_s: float = math.inf) -> float:
        """See ``Workers``; measured in one of the processes."""
        return self._answer(self._ask(epoch_s, genotype, threads, patience_s))

    def epochs_s(self, genotypes: Sequence[Genotype], threads: int) -> list[float]:
        """See ``Workers``."""
        asked = [self._ask(epoch_s_if_it_can, genotype, threads) for genotype in genotypes]
        return [self._answer(future) for future in asked]

    def _ask(self, function: Callable[..., Answer], *arguments: object) -> Future[Answer]:
        with self._all_alive(), _ctrl_c_held():  # since this may start a process
            return self._pool.submit(function, *arguments)

    def _answer(self, future: Future[Answer]) -> Answer:
        with self._all_alive():
            return future.result()

    @contextlib.contextmanager
    def _all_alive(self) -> Iterator[None]:
        try:
            yield
        except BrokenProcessPool as error:
            raise TrainingError(
                "a worker process died", got=f"{self.size} workers", fix="use fewer --workers, then --resume"
            ) from error

    def close(self) -> None:
        """See ``Workers``; a trial in flight ends with its epoch."""
        self._cancel.set()
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._folder.cleanup()


@contextlib.contextmanager
def _ctrl_c_held() -> Iterator[None]:
    """Ctrl-C waits meanwhile, and processes that are started never hear of it; on Windows nothing changes."""
    if sys.platform == "win32":
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _copied(evaluator: Evaluator, run: Path) -> tuple[tempfile.TemporaryDirectory[str], Evaluator]:
    folder = None
    try:
        folder = tempfile.TemporaryDirectory(prefix=_COPY, dir=run.resolve())
        return folder, evaluator.without_data(Path(folder.name))
    except OSError as error:  # NumPy's own for a full disk has no number
        if folder is not None:
            folder.cleanup()
        said = error.strerror or error
        raise RunError(
            f"cannot copy the images into {run} for the workers", got=said, fix="free space, then --resume"
        ) from error


def open_workers(evaluator: Evaluator, count: int, threads: int | None, run: Path) -> Workers:
    """Make workers of a run; the CPU's cores are shared out unless ``threads`` per trial are given."""
    for left in run.glob(f"{_COPY}*"):
        shutil.rmtree(left, ignore_errors=True)
    threads = threads or max(1, (os.cpu_count() or 1) // count)
    return InProcess(evaluator, threads) if count == 1 else Processes(evaluator, count, threads, run)


def evaluate(slot: int, job: TrialJob) -> TrialResult:
    """Run one trial in a worker process, and leave in the slot how far it is."""

    def go_on(share: float) -> bool:
        _PROCESS["shares"][slot] = share
        return not _PROCESS["cancel"].is_set()

    result: TrialResult = _PROCESS["evaluator"](job, go_on)
    return result


def epoch_s(genotype: Genotype, threads: int, patience_s: float) -> float:
    """Time a design in a worker process."""
    return float(_PROCESS["evaluator"].epoch_s(genotype, threads, patience_s))


def epoch_s_if_it_can(genotype: Genotype, threads: int) -> float:
    """Time a design in a worker process; infinite if it cannot be trained."""
    return _if_it_can(_PROCESS["evaluator"], genotype, threads)


def _if_it_can(evaluator: Evaluator, genotype: Genotype, threads: int) -> float:
    try:
        return evaluator.epoch_s(genotype, threads)
    except TrainingError:
        return math.inf


_PROCESS: dict[str, Any] = {}  # what `_begin` leaves for `evaluate` and `epoch_s` in a worker process


def _begin(
    evaluator: Evaluator,
    folder: Path,
    threads: int,
    cancel: Event,
    shares: ctypes.Array[ctypes.c_double],
) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    from compressdefect import compat

    compat.install()
    _PROCESS.update(evaluator=evaluator.prepare(threads, folder), cancel=cancel, shares=shares)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait_for([parent.sentinel])
    os._exit(1)
