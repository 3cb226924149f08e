"""The ladder: many designs are compared by short trainings, the best of these by longer ones, a few trained to the end.

A rung is one training that all designs on it share: as many steps, at the same resolution, with a whole schedule of its
own, from scratch. Every design enters on the lowest one. Which of them climb is a function of what is stored, so a
search that was killed goes on as the unbroken one would have. Only designs on the top, trained by the full protocol,
can win. A ladder without short rungs is a search in which every design is trained to the end at once.

One short rung for many designs, the best few of which are trained to the end, was found as good as adaptive
multi-fidelity optimisers at about a tenth of their cost (arXiv 2307.15422).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from compressdefect.search.objective import Objective
from compressdefect.search.rungs import Rung
from compressdefect.search.sizes import in_tiers, size_adjusted
from compressdefect.search.study import StoredTrial

CLIMBING_SHARE, LEAST_CLIMBING = 1 / 4, 6
NEEDED = 0.75  # of the designs on the lowest rung a winner is better than


@dataclass(frozen=True)
class Ladder:
    """The short rungs, lowest first; the top is above them."""

    rungs: tuple[Rung, ...] = ()

    @property
    def top(self) -> int:
        """The number of the top, which is 0 where there are no short rungs."""
        return len(self.rungs)

    def rung(self, number: int) -> Rung | None:
        """A short rung by its number from 0; None for the top."""
        return self.rungs[number] if number < self.top else None

    def climbing(self, compared: int) -> int:
        """How many of the designs compared on the lowest rung climb to the next short one, besides trial 0."""
        return max(LEAST_CLIMBING, round(CLIMBING_SHARE * compared))


NO_LADDER = Ladder()
LADDER = Ladder((Rung(64, 0.5, until=0.17),))
"""One short rung: on the evaluation table four times the steps, or the whole resolution, rank designs no better."""


def on_rung(trials: Sequence[StoredTrial], number: int) -> list[StoredTrial]:
    """The trials on a rung that were not interrupted, by number."""
    return [trial for trial in trials if trial.rung == number and trial.state != "interrupted"]


def climbers(trials: Sequence[StoredTrial], rung: int, count: int, first: str) -> list[StoredTrial]:
    """The designs that climb to a rung from those below, best first, each as its trial on the highest of these.

    There are ``count`` of them and, in the second place, the design ``first``. What came further goes before what did
    not, for lack of time.
    """
    ranked: list[StoredTrial] = []
    most = next((trial.macs for trial in trials if trial.fingerprint == first), 0)
    for below in reversed(range(rung)):
        known = {trial.fingerprint for trial in ranked}
        compared = [trial for trial in on_rung(trials, below) if trial.state == "compared"]
        ranked += _in_order([trial for trial in adjusted(compared) if trial.fingerprint not in known], most)
    others = [trial for trial in ranked if trial.fingerprint != first][:count]
    return [*others[:1], *[trial for trial in ranked if trial.fingerprint == first], *others[1:]]


def adjusted(compared: Sequence[StoredTrial]) -> list[StoredTrial]:
    """Trials on a short rung with their scores made comparable between sizes."""
    scores = size_adjusted([trial.score or 0.0 for trial in compared], [trial.params for trial in compared])
    return [replace(trial, score=score) for trial, score in zip(compared, scores, strict=True)]


def _in_order(compared: Sequence[StoredTrial], most: int) -> list[StoredTrial]:
    order = in_tiers([trial.score or 0.0 for trial in compared], [trial.macs for trial in compared], most)
    return [compared[index] for index in order]


def as_seen_by_samplers(trials: Sequence[StoredTrial], objective: Objective) -> tuple[list[StoredTrial], float]:
    """The trials on the lowest rung as if their adjusted scores were metrics, and the metric that a winner needs."""
    entered = [trial for trial in trials if trial.rung == 0]
    compared = {trial.number: trial for trial in adjusted([t for t in entered if t.state == "compared"])}
    shown = [compared.get(trial.number, trial).as_compared(objective) for trial in entered]
    scores = [trial.score for trial in compared.values() if trial.score is not None]
    floor = float(np.quantile(scores, NEEDED)) if scores and objective.kind != "pareto" else -math.inf
    return shown, floor


def by_design(trials: Sequence[StoredTrial]) -> list[StoredTrial]:
    """One row for each design, which is its trial on the highest rung under the number of its first one.

    Seconds are those of all its trainings, the score is that of the lowest rung, which all designs have. An interrupted
    trial is a row of its own where it entered the ladder.
    """
    rows: dict[object, StoredTrial] = {}
    for trial in trials:
        if trial.state == "interrupted":
            if trial.rung == 0:
                rows[trial.number] = trial
            continue
        before = rows.get(trial.fingerprint)
        if before is None:
            rows[trial.fingerprint] = trial
            continue
        higher = max(before, trial, key=lambda t: t.rung)
        seconds = [t.seconds for t in (before, trial) if t.seconds is not None]
        rows[trial.fingerprint] = replace(
            higher,
            number=before.number,
            seconds=sum(seconds) if seconds else None,
            score=before.score,
        )
    return sorted(rows.values(), key=lambda row: -1 if row.number is None else row.number)
