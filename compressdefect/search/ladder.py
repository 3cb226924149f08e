"""The ladder: many designs are compared by short trainings, and a few of them trained to the end.

The lower rung is one training that all designs share: as many steps, at the same resolution, with a whole schedule of
its own, from scratch. Which of them climb is a function of what is stored, so a search that was killed goes on as the
unbroken one would have. Only designs on the top, trained by the full protocol, can win.

Short trainings of many designs, the best few of which are trained to the end, were found as good as adaptive
multi-fidelity optimisers with many rungs at about a tenth of their cost (arXiv 2307.15422).
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

NEEDED = 0.75  # of the designs compared a winner is better than


@dataclass(frozen=True)
class Ladder:
    """The short training that is rung 0, with the top above; None where every design is trained to the end at once."""

    short: Rung | None = None

    @property
    def top(self) -> int:
        """The number of the top, which is 0 where there is no short rung."""
        return 0 if self.short is None else 1

    def rung(self, number: int) -> Rung | None:
        """The short training of a rung by its number; None for the top."""
        return self.short if number < self.top else None


NO_LADDER = Ladder()
LADDER = Ladder(Rung(64, 0.5, until=0.17))
"""On the evaluation table four times the steps, or the whole resolution, rank designs no better."""


def on_rung(trials: Sequence[StoredTrial], number: int) -> list[StoredTrial]:
    """The trials on a rung that were not interrupted, by number."""
    return [trial for trial in trials if trial.rung == number and trial.state != "interrupted"]


def climbers(trials: Sequence[StoredTrial], first: str) -> list[StoredTrial]:
    """All designs compared, in the order in which they climb to the top: in the second place the design ``first``."""
    most = next((trial.macs for trial in trials if trial.fingerprint == first), 0)
    ranked = _in_order(adjusted([trial for trial in on_rung(trials, 0) if trial.state == "compared"]), most)
    others = [trial for trial in ranked if trial.fingerprint != first]
    return [*others[:1], *[trial for trial in ranked if trial.fingerprint == first], *others[1:]]


def adjusted(compared: Sequence[StoredTrial]) -> list[StoredTrial]:
    """Trials on the lower rung with their scores made comparable between sizes."""
    scores = size_adjusted([trial.score or 0.0 for trial in compared], [trial.params for trial in compared])
    return [replace(trial, score=score) for trial, score in zip(compared, scores, strict=True)]


def _in_order(compared: Sequence[StoredTrial], most: int) -> list[StoredTrial]:
    order = in_tiers([trial.score or 0.0 for trial in compared], [trial.macs for trial in compared], most)
    return [compared[index] for index in order]


def as_seen_by_samplers(trials: Sequence[StoredTrial], objective: Objective) -> tuple[list[StoredTrial], float]:
    """The trials on rung 0 as if their adjusted scores were metrics, and the metric that a winner needs."""
    entered = [trial for trial in trials if trial.rung == 0]
    compared = {trial.number: trial for trial in adjusted([t for t in entered if t.state == "compared"])}
    shown = [compared.get(trial.number, trial).as_compared(objective) for trial in entered]
    scores = [trial.score for trial in compared.values() if trial.score is not None]
    floor = float(np.quantile(scores, NEEDED)) if scores and objective.kind != "pareto" else -math.inf
    return shown, floor


def by_design(trials: Sequence[StoredTrial]) -> list[StoredTrial]:
    """One row for each design, which is its trial on the higher rung under the number of its first one.

    Seconds are those of both its trainings, the score is that of the short one, which all designs have. An interrupted
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
