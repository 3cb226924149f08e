"""What a command says on stderr while it works."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from compressdefect import units

if TYPE_CHECKING:
    from compressdefect.train.fit import EpochReport


@dataclass(frozen=True)
class Voice:
    """Tells the user on stderr how far a command is."""

    console: Console = field(default_factory=lambda: Console(stderr=True, highlight=False, markup=False, emoji=False))

    def say(self, step: str) -> None:
        """Print one line."""
        self.console.print(step, soft_wrap=True)

    def bar(self) -> Progress:
        """A progress bar that leaves nothing behind."""
        columns = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
        )
        return Progress(*columns, console=self.console, transient=True, disable=not self.console.is_terminal)

    def epoch(self, report: EpochReport) -> None:
        """Print an epoch in one line, when nobody watches a bar."""
        score = "" if report.metric is None else f", validation {units.percent(report.metric)}"
        part = f"part {report.fold + 1}, " if report.fold else ""
        self.say(f"{part}epoch {report.epoch}: loss {report.train_loss:.3f}{score}")
