"""How a search tells how far it is."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from compressdefect import units

SILENCE_S = 30.0  # without a terminal, the longest time without a word


@dataclass(frozen=True)
class SearchState:
    """Where a search stands.

    Attributes:
        asked: different designs proposed so far.
        infeasible: those that the gate rejected.
        done: designs trained to an end, good or bad.
        planned: how many there will be, as far as is known.
        running: designs in training.
        best_metric: the winner's so far.
        best_netscore: the winner's so far.
        left_s: estimated time to the end of the search.
        doing: what is going on now, in two words.
        share: how much of that is done, as far as is known.
        rungs: designs trained on each rung of a ladder, the lowest first; none without one.
    """

    asked: int = 0
    infeasible: int = 0
    done: int = 0
    planned: int | None = None
    running: int = 0
    best_metric: float | None = None
    best_netscore: float | None = None
    left_s: float | None = None
    doing: str = "starting"
    share: float | None = None
    rungs: tuple[int, ...] = ()

    @property
    def feasible_share(self) -> float:
        """Share of the designs asked that met all constraints, after repair."""
        return 1.0 if self.asked == 0 else 1 - self.infeasible / self.asked

    @property
    def text(self) -> str:
        """One line: done and asked, share feasible, best so far, time left."""
        parts = [f"{self.done} trained of {self.asked} asked", f"{units.percent(self.feasible_share)} feasible"]
        if any(self.rungs[1:]):
            *climbed, finished = self.rungs[1:]
            parts += [*(f"{count} on rung {number}" for number, count in enumerate(climbed, 2)), f"{finished} finished"]
        if self.best_metric is not None:
            score = "" if self.best_netscore is None else f" (NetScore {self.best_netscore:.1f})"
            parts.append(f"best {units.percent(self.best_metric)}{score}")
        if self.left_s is not None:
            parts.append(f"{units.duration(self.left_s)} left")
        return " · ".join([*parts, self.doing if self.share is None else f"{self.doing} {self.share:.0%}"])


class SearchProgress(Protocol):
    """Is told where a search stands whenever that changes."""

    def update(self, state: SearchState) -> None:
        """Show it."""


class Silent:
    """Shows nothing."""

    def update(self, state: SearchState) -> None:
        """See ``SearchProgress``."""


class Bar:
    """A progress bar on stderr; without a terminal, a line for each trained design and for each half minute.

    Use it as a context manager around the search.
    """

    def __init__(self, console: Console | None = None, now: Callable[[], float] = time.monotonic) -> None:
        self._console = console or Console(stderr=True)
        self._bar = Progress(
            SpinnerColumn(),
            BarColumn(bar_width=24),
            TextColumn("{task.description}"),
            TimeElapsedColumn(),
            console=self._console,
            transient=True,
        )
        self._task = self._bar.add_task(SearchState().text, total=None)
        self._done, self._now, self._said = -1, now, now()

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._console.is_terminal:
            self._bar.stop()

    def update(self, state: SearchState) -> None:
        """See ``SearchProgress``."""
        if self._console.is_terminal:
            self._bar.update(self._task, completed=state.done, total=state.planned, description=state.text)
        elif state.done > self._done or self._now() - self._said >= SILENCE_S:
            self._done, self._said = state.done, self._now()
            self._console.print(state.text, highlight=False, soft_wrap=True)
