"""Learning-rate schedules, and the pace of a training that must end by a deadline."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

_COSINE_WARM_UP = 0.05
_ONECYCLE_RISE, _ONECYCLE_START, _ONECYCLE_END = 0.3, 1 / 25, 1e-4


def cosine(position: float) -> float:
    """Share of the peak rate at a position in [0, 1]: a linear warm-up over 5 %, then half a cosine down to 0."""
    if position < _COSINE_WARM_UP:
        return position / _COSINE_WARM_UP
    return _half_cosine(1.0, 0.0, (position - _COSINE_WARM_UP) / (1 - _COSINE_WARM_UP))


def onecycle(position: float) -> float:
    """Share of the peak rate at a position in [0, 1]: half a cosine up from 1/25 over 30 %, half a cosine down.

    Smith and Topin, "Super-convergence" (2018), with cosine ramps; momentum stays as it is.
    """
    if position < _ONECYCLE_RISE:
        return _half_cosine(_ONECYCLE_START, 1.0, position / _ONECYCLE_RISE)
    return _half_cosine(1.0, _ONECYCLE_END, (position - _ONECYCLE_RISE) / (1 - _ONECYCLE_RISE))


SCHEDULES: dict[str, Callable[[float], float]] = {"cosine": cosine, "onecycle": onecycle}


def _half_cosine(start: float, end: float, position: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * position)) / 2


@dataclass(frozen=True)
class Deadline:
    """When something must be over: a moment ``at`` of a clock, in its seconds."""

    at: float
    clock: Callable[[], float] = time.monotonic

    @classmethod
    def after(cls, seconds: float) -> Self:
        """So many seconds from now."""
        return cls(time.monotonic() + seconds)

    @property
    def left_s(self) -> float:
        """Time left, negative once it is over."""
        return self.at - self.clock()

    def part(self, share: float) -> Deadline:
        """When this share of the time left will be over."""
        now = self.clock()
        return Deadline(now + share * (self.at - now), self.clock)


class Pace:
    """How far a training has come, from 0 to 1.

    Without a deadline this is steps done / steps planned. When the steps so far were too slow for the plan, each
    further step counts for more, so that the schedule still reaches its end, with the learning rate decayed, just
    before the deadline. A training cut off at a high learning rate would be worth little.
    """

    def __init__(self, steps: int, deadline: Deadline | None, closing: float = 0.0) -> None:
        """Plan so many steps, fewer where the deadline comes first; what follows the last takes ``closing`` steps."""
        self.position = 0.0
        self._planned, self._done = steps, 0
        self._deadline, self._start = deadline, 0.0
        self._closing, self._step_s = closing, 0.0

    @property
    def out_of_time(self) -> bool:
        """Whether the deadline has come, or the shortened schedule has ended, before the last planned step."""
        if self._deadline is None or self._done >= self._planned:
            return False
        return self._deadline.left_s <= self._closing * self._step_s or self.position >= 1.0

    def step(self) -> None:
        """Count one step as done."""
        left = float(self._planned - self._done)
        self._done += 1
        if self._deadline is not None:
            now = self._deadline.clock()
            if self._done == 1:
                self._start = now  # the first step also pays for all that happens once
            else:
                self._step_s = max(now - self._start, 1e-9) / (self._done - 1)
                left = min(left, 1 + (self._deadline.at - now) / self._step_s - self._closing)
        self.position += (1.0 - self.position) / max(left, 1.0)
