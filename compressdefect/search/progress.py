"""How a search tells how far it is."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Column

from compressdefect import units
from compressdefect.search.trials import Tally

SILENCE_S = 30.0  # without a terminal, the longest time without a word


@dataclass(frozen=True)
class SearchState:
    """Where a search stands.

    Attributes:
        tally: how many designs came how far.
        on_ladder: whether short trainings come before those to the end.
        done: trainings that came to an end, good or bad; without a ladder each design has one.
        planned: how many there will be, as far as is known.
        best_metric: the winner's so far.
        best_netscore: the winner's so far.
        left_s: what is left of the limit; without one, an estimate of the time until all designs are trained.
        limit_s: most time that the whole command may take, what follows the search included.
        doing: what is going on now, in a few words.
        share: how much of that is done, as far as is known.
    """

    tally: Tally = field(default_factory=Tally)
    on_ladder: bool = False
    done: int = 0
    planned: int | None = None
    best_metric: float | None = None
    best_netscore: float | None = None
    left_s: float | None = None
    limit_s: float | None = None
    doing: str = "starting"
    share: float | None = None

    @property
    def feasible_share(self) -> float:
        """Share of the designs asked that met all constraints, after repair."""
        return 1.0 if self.tally.asked == 0 else self.tally.admitted / self.tally.asked

    @property
    def text(self) -> str:
        """One line: how far the designs came, best so far, time left, and what is going on."""
        parts = self._on_ladder if self.on_ladder else self._without
        if self.best_metric is not None:
            score = "" if self.best_netscore is None else f" (NetScore {self.best_netscore:.1f})"
            parts.append(f"best {units.percent(self.best_metric)}{score}")
        if self.left_s is not None:
            whole = "to train" if self.limit_s is None else f"of {units.duration(self.limit_s)}"
            parts.append(f"{units.duration(self.left_s)} left {whole}")
        return " · ".join([*parts, self.doing if self.share is None else f"{self.doing} {self.share:.0%}"])

    @property
    def _on_ladder(self) -> list[str]:
        counts = ("asked", "admitted", "compared", "climbed", "finished")
        return [f"{getattr(self.tally, name)} {name}" for name in counts]

    @property
    def _without(self) -> list[str]:
        return [f"{self.done} trained of {self.tally.asked} asked", f"{units.percent(self.feasible_share)} feasible"]

    @property
    def ended(self) -> int:
        """Trainings that came to an end and are worth a line: on a ladder those to the end alone."""
        return self.tally.finished if self.on_ladder else self.done


class SearchProgress(Protocol):
    """Is told where a search stands whenever that changes."""

    def update(self, state: SearchState) -> None:
        """Show it."""


class Silent:
    """Shows nothing."""

    def update(self, state: SearchState) -> None:
        """See ``SearchProgress``."""


class Bar:
    """A progress bar on stderr; without a terminal, a line for whatever begins or ends and for each half minute.

    Use it as a context manager around the search.
    """

    def __init__(self, console: Console | None = None, now: Callable[[], float] = time.monotonic) -> None:
        self._console = console or Console(stderr=True)
        self._bar = Progress(
            SpinnerColumn(),
            BarColumn(bar_width=16),
            TextColumn("{task.description}", table_column=Column()),  # which goes on below where it is too long
            TimeElapsedColumn(),
            console=self._console,
            transient=True,
        )
        self._task = self._bar.add_task(SearchState().text, total=None)
        self._ended, self._heard, self._now = -1, set[str](), now
        self._began = self._said = now()

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
            completed, total = self.extent(state)
            self._bar.update(self._task, completed=completed, total=total, description=state.text)
        elif self._is_news(state):
            self._ended, self._said = state.ended, self._now()
            self._heard.add(state.doing)
            self._console.print(state.text, highlight=False, soft_wrap=True)

    def extent(self, state: SearchState) -> tuple[float, float | None]:
        """How much of how much is done: of the trainings or, where their number is not known, of the time."""
        if state.planned is not None or state.left_s is None:
            return state.done, state.planned
        gone_s = self._now() - self._began
        return gone_s, gone_s + state.left_s

    def _is_news(self, state: SearchState) -> bool:
        begins = state.doing not in self._heard
        return begins or state.ended > self._ended or self._now() - self._said >= SILENCE_S
