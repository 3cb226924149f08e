"""Deciding on the winner: which finished trials can be compared, and by which of their answers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from compressdefect.search.held_out import HeldOut, held_out_path, read_held_out
from compressdefect.search.objective import Objective
from compressdefect.search.study import StoredTrial
from compressdefect.search.winner import Candidate, Choice, Measures, choose


class Decider:
    """Applies the rule of ``winner`` to the trials of a study.

    Only trials with answers on the same images are compared. Where some were scored on fewer, or their answers lie in
    another run's folder that is out of reach, those on the most images compete; of as many images, the more trials. The
    choice says which are left out. Where no answers are left the metric as it was stored decides, with no allowance.

    Args:
        objective: says which finished trials may win at all.
        run: the folder of the run whose answers come first.
        measures: how answers on some images are measured.
    """

    def __init__(self, objective: Objective, run: Path, measures: Callable[[NDArray[np.integer]], Measures]) -> None:
        self._objective, self._run, self._measures = objective, run, measures
        self._read: dict[str, HeldOut] = {}

    def choose(self, trials: Sequence[StoredTrial]) -> Choice | None:
        """The winner so far; None while nothing is finished."""
        pool = self._objective.pool(trials)
        same: dict[bytes, list[Candidate]] = defaultdict(list)
        for trial in pool:
            answers = self._answers(trial)
            if answers is not None:
                same[answers.indices.tobytes()].append(_candidate(trial, answers))
        if not same:
            return choose([_unanswered(trial) for trial in pool], _STORED)
        images = max(same, key=lambda key: (len(key), len(same[key]), -same[key][0].number))
        choice = choose(same[images], self._measures(np.frombuffer(images, dtype=np.int64)))
        assert choice is not None
        compared = {candidate.number for candidate in same[images]}
        left_out = (trial.number for trial in pool if trial.number is not None and trial.number not in compared)
        return replace(choice, left_out=tuple(left_out))

    def _answers(self, trial: StoredTrial) -> HeldOut | None:
        if trial.fingerprint not in self._read:
            found = (read_held_out(held_out_path(folder, trial.fingerprint)) for folder in (self._run, trial.folder))
            answers = next((answers for answers in found if answers is not None), None)
            if answers is None:
                return None
            self._read[trial.fingerprint] = answers
        return self._read[trial.fingerprint]


def _candidate(trial: StoredTrial, answers: HeldOut) -> Candidate:
    assert trial.number is not None
    assert trial.netscore is not None
    return Candidate(trial.number, trial.netscore, answers.records)


def _unanswered(trial: StoredTrial) -> Candidate:
    """A trial as if it had one image with its metric: there is nothing to draw, so the standard error is 0."""
    return _candidate(trial, HeldOut(np.zeros(1, np.int64), np.array([trial.metric])))


_STORED = Measures({"metric": lambda records, rows: float(records[0])}, np.zeros(1, np.int64))
