"""Deciding on the next design: interrupted ones first, then the starts, else a new proposal that passes the gate."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace

from compressdefect.search.draws import Flat, derive_seed, uniform
from compressdefect.search.gate import Gate
from compressdefect.search.objective import Objective
from compressdefect.search.proposal import Past, Proposer
from compressdefect.search.repair import Admission, admit, shrink
from compressdefect.search.study import StoredTrial
from compressdefect.search.trials import TrialRecord, TrialTable

ATTEMPTS = 200
GUIDED_ATTEMPTS = 50
SMALLER_STARTS = (0.5, 0.25)  # shares of trial 0's macs: how far it can shrink is the first thing to know


class Asker:
    """Asks a sampler for designs until one is feasible and has not been trained.

    The seed of each attempt comes from (seed, trials stored, worker, attempt), interrupted trials not counted, so what
    is asked next depends on nothing but the study. After ``GUIDED_ATTEMPTS`` the draws are uniform, so that a sampler
    that has converged does not end the search; after ``ATTEMPTS`` the space counts as exhausted.

    Args:
        gate: checks and repairs.
        objective: says what a winner needs.
        sampler: proposes.
        table: where rejected designs are written.
        first: trial 0.
        seed: the search's.
        worker: tells searches apart that share a study.
    """

    def __init__(
        self,
        gate: Gate,
        objective: Objective,
        sampler: Proposer,
        table: TrialTable,
        first: Admission,
        *,
        seed: int,
        worker: int = 0,
    ) -> None:
        self.gate, self.objective, self.sampler, self.table = gate, objective, sampler, table
        self.first, self.seed, self.worker = first, seed, worker
        self._rejected = {trial.fingerprint for trial in table.infeasible}

    def next(
        self, trials: Sequence[StoredTrial], may_go_on: Callable[[], bool], floor: float | None = None
    ) -> Admission | None:
        """The design to train next; None when no new one was found, or ``may_go_on`` turned false on the way.

        ``floor`` is the metric that a winner needs, by default the objective's.
        """
        stored = [trial for trial in trials if trial.state != "interrupted"]
        known = {trial.fingerprint for trial in stored}
        for trial in trials:
            if trial.state == "interrupted" and trial.fingerprint not in known:
                return self.again(trial)
        start = self._start(len(stored), known)
        if start is not None:
            return start
        floor = self.objective.floor(trials) if floor is None else floor
        return self._propose([trial.past(floor) for trial in stored], known, may_go_on)

    def again(self, trial: StoredTrial) -> Admission:
        """A stored trial's design as it was admitted, without measuring it again."""
        return as_admitted(self.gate, trial)

    def _start(self, stored: int, known: set[str]) -> Admission | None:
        """Trial 0, the same design at smaller widths, then the space's portfolio, one for each trial that is stored.

        None when these are over, and where one is stored already or cannot be made to fit.
        """
        if not stored:
            return self.first
        others = len(SMALLER_STARTS)
        if stored <= others:
            smaller = shrink(self.gate, self.first, SMALLER_STARTS[stored - 1])
            if smaller is None or smaller.verdict.genotype.fingerprint in known | self._rejected:
                return None
            if not smaller.verdict.feasible:
                self._reject(smaller)
                return None
            return smaller
        portfolio = self.gate.space.portfolio[stored - others - 1 : stored - others]
        return self._admit(self.gate.space.flatten(portfolio[0]), known) if portfolio else None

    def _propose(self, history: Sequence[Past], known: set[str], may_go_on: Callable[[], bool]) -> Admission | None:
        for attempt in range(ATTEMPTS):
            if not may_go_on():
                return None
            seed = derive_seed(self.seed, len(history), self.worker, attempt)
            guided = attempt < GUIDED_ATTEMPTS
            flat = self.sampler.propose(history, seed) if guided else uniform(self.gate.space.dimensions, seed)
            admission = self._admit(flat, known)
            if admission is not None:
                return admission
        return None

    def _admit(self, flat: Flat, known: set[str]) -> Admission | None:
        """Repair a proposal; None if it is known before or after, or cannot be made to fit."""
        asked = self.gate.space.decode(flat)
        if asked.fingerprint in known | self._rejected:
            return None
        admission = admit(self.gate, flat)
        if not admission.verdict.feasible:
            self._reject(admission)
            return None
        return None if admission.verdict.genotype.fingerprint in known else admission

    def _reject(self, admission: Admission) -> None:
        """Write down why a design cannot be trained."""
        self._rejected.add(admission.verdict.genotype.fingerprint)
        self.table.reject(_rejection(admission))


def as_admitted(gate: Gate, trial: StoredTrial) -> Admission:
    """A stored trial's design as the gate let it in, without measuring it again."""
    verdict = gate.cheap(trial.design)
    if trial.latency_ms is not None:
        checks = (*verdict.checks, *gate.budgets.latency_check(trial.latency_ms))
        verdict = replace(verdict, checks=checks, latency_ms=trial.latency_ms)
    return Admission(trial.flat, verdict, trial.repaired)


def _rejection(admission: Admission) -> TrialRecord:
    verdict = admission.verdict
    genotype, cost = verdict.genotype, verdict.cost
    return TrialRecord(
        number=None,
        state="infeasible",
        fingerprint=genotype.fingerprint,
        params=cost.params,
        macs=cost.macs,
        flops=cost.flops,
        peak_bytes=cost.peak_bytes,
        latency_ms=verdict.latency_ms,
        reason=admission.reason,
        genotype=json.dumps(genotype.to_json(), separators=(",", ":")),
    )
