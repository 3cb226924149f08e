"""What a search optimises, and which finished trials may win."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

from compressdefect.cost.cost import Cost
from compressdefect.cost.netscore import netscore
from compressdefect.errors import SpaceError, known_names
from compressdefect.search.trials import TrialRecord
from compressdefect.search.winner import TOLERANCE

KINDS = ("netscore", "pareto")
WORST_NETSCORE = -1000.0  # a finite number for storages, samplers and JSON
Direction = Literal["maximize", "minimize"]
Axis = Literal["macs", "latency_ms"]

Record = TypeVar("Record", bound=TrialRecord)


@dataclass(frozen=True)
class Objective:
    """``netscore``: one number, NetScore of the task's metric; ``pareto``: the metric against macs or latency.

    ``latency_exponent`` is the δ of NetScore's optional latency term (ours, 0 leaves it out).

    Raises:
        SpaceError: unknown kind, or a negative exponent.
    """

    kind: str = "netscore"
    axis: Axis = "macs"
    latency_exponent: float = 0.0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise SpaceError("no such objective", got=self.kind, fix=known_names(self.kind, KINDS))
        if not 0 <= self.latency_exponent < math.inf:
            raise SpaceError("the latency exponent must be a number of at least 0", got=self.latency_exponent)

    @property
    def directions(self) -> tuple[Direction, ...]:
        """One direction for each value."""
        return ("maximize",) if self.kind == "netscore" else ("maximize", "minimize")

    @property
    def needs_latency(self) -> bool:
        """Whether every design must be measured, whatever the budgets."""
        return self.latency_exponent > 0 or (self.kind == "pareto" and self.axis == "latency_ms")

    def netscore(self, metric: float, cost: Cost, latency_ms: float | None) -> float:
        """NetScore of a metric in [0, 1]; of 0, where it is minus infinity, ``WORST_NETSCORE``."""
        latency = latency_ms if self.latency_exponent > 0 else None
        found = netscore(metric, cost.params, cost.macs, latency, delta=self.latency_exponent)
        return max(found, WORST_NETSCORE)

    def values(self, metric: float, cost: Cost, latency_ms: float | None) -> tuple[float, ...]:
        """What the study is told about a finished trial."""
        if self.kind == "netscore":
            return (self.netscore(metric, cost, latency_ms),)
        return float(metric), self.price(cost.macs, latency_ms)

    def front(self, trials: Sequence[Record]) -> list[Record]:
        """The finished trials that no other beats in metric and price, cheapest first."""
        front: list[Record] = []
        for trial in sorted(_finished(trials), key=lambda t: (self._price(t), -_metric(t), _order(t))):
            if not front or _metric(trial) > _metric(front[-1]):
                front.append(trial)
        return front

    def pool(self, trials: Sequence[Record]) -> list[Record]:
        """The trials among which a winner is named: all finished ones; with ``pareto``, those on the front."""
        return self.front(trials) if self.kind == "pareto" else _finished(trials)

    def floor(self, trials: Sequence[TrialRecord]) -> float:
        """The metric that a winner needs: a point below the best; a front wants the cheap end too and has none."""
        if self.kind == "pareto":
            return -math.inf
        return max(map(_metric, _finished(trials)), default=-math.inf) - TOLERANCE

    def price(self, macs: int, latency_ms: float | None) -> float:
        """The second axis of the front."""
        if self.axis == "macs":
            return float(macs)
        assert latency_ms is not None, "a search by latency measures every design"
        return latency_ms

    def _price(self, trial: TrialRecord) -> float:
        return self.price(trial.macs, trial.latency_ms)


def baseline(trials: Sequence[Record]) -> Record | None:
    """Trial 0, or the trial that repeated it after an interruption; None while it has not finished."""
    first = next((t for t in trials if t.number == 0), None)
    again = (t for t in trials if first is not None and t.fingerprint == first.fingerprint and t.state == "complete")
    return min(again, key=_order, default=None)


def _finished(trials: Sequence[Record]) -> list[Record]:
    return [trial for trial in trials if trial.state == "complete" and trial.metric is not None]


def _metric(trial: TrialRecord) -> float:
    assert trial.metric is not None
    return trial.metric


def _order(trial: TrialRecord) -> int:
    return -1 if trial.number is None else trial.number
