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
from itertools import zip_longest
from statistics import median

from compressdefect.search.objective import Objective
from compressdefect.search.rungs import Rung
from compressdefect.search.study import StoredTrial

CLIMBING_SHARE, LEAST_CLIMBING = 1 / 4, 6


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
LADDER = Ladder((Rung(64, 0.5, until=0.15),))
"""One short rung: on the evaluation table four times the steps, or the whole resolution, rank designs no better."""


def on_rung(trials: Sequence[StoredTrial], number: int) -> list[StoredTrial]:
    """The trials on a rung that were not interrupted, by number."""
    return [trial for trial in trials if trial.rung == number and trial.state != "interrupted"]


def climbers(
    trials: Sequence[StoredTrial], rung: int, count: int, first: str, objective: Objective
) -> list[StoredTrial]:
    """The designs that climb to a rung from those below, best first, each as its trial on the highest of these.

    There are ``count`` of them and, in the second place, the design ``first``. What came further goes before what did
    not, for lack of time.
    """
    ranked: list[StoredTrial] = []
    for below in reversed(range(rung)):
        known = {trial.fingerprint for trial in ranked}
        compared = [trial for trial in on_rung(trials, below) if trial.state == "compared"]
        ranked += best([trial for trial in compared if trial.fingerprint not in known], objective)
    others = [trial for trial in ranked if trial.fingerprint != first][:count]
    return [*others[:1], *[trial for trial in ranked if trial.fingerprint == first], *others[1:]]


def best(compared: Sequence[StoredTrial], objective: Objective) -> list[StoredTrial]:
    """Designs in the order to go on with: in turn the best score, and the best value for the objective.

    The second is of the better half by score alone, so that a cheap design is not lost because an expensive one is a
    little ahead after a few steps, nor a bad one kept because it is cheap.
    """
    by_score = sorted(compared, key=lambda trial: (-(trial.score or 0.0), trial.number))
    half = [trial.as_compared(objective) for trial in by_score[: (len(by_score) + 1) // 2]]
    front = {trial.number for trial in objective.front(half)}
    by_value = sorted(
        half,
        key=lambda trial: (
            objective.kind == "pareto" and trial.number not in front,
            -(trial.netscore or 0.0),
            trial.number,
        ),
    )
    numbered = {trial.number: trial for trial in by_score}
    order = [trial.number for pair in zip_longest(by_score, by_value) for trial in pair if trial is not None]
    return [numbered[number] for number in dict.fromkeys(order)]


def floor_of(compared: Sequence[StoredTrial], objective: Objective) -> float:
    """The score that a design needs on the lowest rung to be worth its low cost: the median.

    After a few steps the best score is that of what learns fastest, and designs far below it end as well.
    """
    scores = [trial.metric for trial in compared if trial.metric is not None]
    return median(scores) if scores and objective.kind != "pareto" else -math.inf


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
