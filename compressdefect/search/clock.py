"""Wall time of a long command, across interruptions."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Clock:
    """Counts from when it is made; with a limit it says what is left.

    Attributes:
        limit_s: the whole command's time; None sets no limit.
        spent_s: used up by earlier processes of the same run.
        started: when it was made, in seconds of ``now``.
        now: tells the time.
    """

    limit_s: float | None = None
    spent_s: float = 0.0
    started: float = field(default_factory=time.monotonic)
    now: Callable[[], float] = time.monotonic

    @property
    def elapsed_s(self) -> float:
        """Time used by this run so far, in all its processes."""
        return self.spent_s + self.now() - self.started

    @property
    def left_s(self) -> float:
        """Time left, never negative; infinite without a limit."""
        return math.inf if self.limit_s is None else max(0.0, self.limit_s - self.elapsed_s)
