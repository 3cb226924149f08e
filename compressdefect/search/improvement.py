"""``surrogate``: of a few hundred designs that keep the budgets, the one that promises most over the best so far.

Candidates are mutations, crossings and narrower forms of the better designs, and some uniform draws. The metric of each
is guessed by ``surrogate.Surrogate``; its cost, and so its NetScore for any metric, is exact. What is maximised is the
expected improvement of NetScore where the metric reaches what a winner needs (Schonlau, Welch and Jones, 1998). The
designs that candidates are compared with count as what the model expects of them, since the best of many noisy
observations looks better than it is. For a front it is the expected area that the front gains, over the metric and the
logarithm of macs. Where designs of all sizes are wanted, each tier of sizes has its turn, and what is maximised is the
expected improvement of the metric within it. Latency is never measured for candidates: NetScore is that without its
term, macs stand for it.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from compressdefect.cost.netscore import netscore
from compressdefect.search.draws import Flat, cross, derive_seed, mutate, uniform
from compressdefect.search.gate import Gate, Verdict
from compressdefect.search.proposal import Past, SearchDimensions
from compressdefect.search.repair import Admission, admit, scale_widths
from compressdefect.search.sizes import TIERS, tier_of
from compressdefect.search.starting import STARTUP, start
from compressdefect.search.surrogate import Belief, Encoder
from compressdefect.space.domain import Value

CANDIDATES = 240
PARENTS = 8
NARROWEST = 0.3  # of a parent's widths
FEW, REPAIRS = 16, 16  # designs that fit, below which so many of those that do not are repaired
QUANTILES = norm.ppf((np.arange(32) + 0.5) / 32)
SLOPE = 40.0  # of NetScore over the decimal logarithm of the metric
LEAST = 1e-3  # metric

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Improver:
    """Proposes the candidate of the largest expected improvement."""

    dimensions: SearchDimensions

    def propose(self, history: Sequence[Past], seed: int) -> dict[str, Value]:
        """See ``Proposer``."""
        finished = [past for past in history if past.state == "complete" and past.metric is not None]
        if len(finished) < STARTUP:
            return start(self.dimensions, history, seed)
        trained = {self._gate.space.decode(past.flat).fingerprint for past in history}
        moves = self._moves(self._parents(finished), seed)
        fresh = [a for a in admitted(self._gate, moves) if a.verdict.genotype.fingerprint not in trained]
        if not fresh:
            return start(self.dimensions, history, seed)
        belief = Belief(history, self._gate, self._encoder)
        gains = self._gains(belief, finished, [a.verdict for a in fresh], turn=len(history))
        return dict(fresh[int(np.argmax(gains))].flat)

    def _gains(self, belief: Belief, finished: Sequence[Past], verdicts: Sequence[Verdict], turn: int) -> Floats:
        """What each design promises (n,)."""
        prediction = belief.predict(verdicts)
        samples = np.clip(prediction.mean + QUANTILES[:, None] * prediction.deviation, LEAST, 1)
        if self.dimensions.of_all_sizes:
            return tier_gains(samples, self._tiers(verdicts), belief.expected, self._tiers(belief.finished), turn)
        if len(self.dimensions.directions) > 1:
            return front_gains(samples, log_macs(verdicts), belief.expected, log_macs(belief.finished))
        best = max(past.metric for past in finished if past.metric is not None)
        floor = belief.expected.max() - (best - what_a_winner_needs(finished))
        return netscore_gains(
            samples, free_of_metric(verdicts), belief.expected, free_of_metric(belief.finished), floor
        )

    def _tiers(self, verdicts: Sequence[Verdict]) -> NDArray[np.int64]:
        most = self._gate.cheap(self._gate.space.decode(self.dimensions.prototype)).cost.macs
        return np.array([tier_of(verdict.cost.macs, most) for verdict in verdicts])

    def _parents(self, finished: Sequence[Past]) -> list[Flat]:
        if not self.dimensions.of_all_sizes:
            return parents(finished)
        tiers = self._tiers([self._gate.cheap(self._gate.space.decode(past.flat)) for past in finished])
        order = sorted(range(len(finished)), key=lambda index: -(finished[index].metric or 0.0))
        best = [[index for index in order if tiers[index] == tier][: PARENTS // TIERS] for tier in range(TIERS)]
        return [finished[index].flat for chosen in best for index in chosen]

    def _moves(self, parents: Sequence[Flat], seed: int) -> Iterator[dict[str, Value]]:
        domains = self.dimensions.domains
        for number in range(CANDIDATES):
            own = derive_seed(seed, number)
            rng = random.Random(own)
            parent, other = rng.choice(parents), rng.choice(parents)
            if number % 6 == 0:
                yield uniform(domains, own)
            elif number % 6 == 1:
                yield mutate(domains, cross(parent, other, own), own)
            elif number % 6 == 2:
                yield mutate(domains, scale_widths(self._gate.space, parent, rng.uniform(NARROWEST, 1)), own)
            else:
                yield mutate(domains, parent, own)

    @cached_property
    def _gate(self) -> Gate:
        assert self.dimensions.gate is not None, "the sampler checks designs of its own"
        return self.dimensions.gate.computed

    @cached_property
    def _encoder(self) -> Encoder:
        return Encoder(self.dimensions.domains)


def parents(finished: Sequence[Past]) -> list[Flat]:
    """The better designs: in turn by score, of those that could win, and by metric."""
    able = [past for past in finished if past.shortfall <= 0 and past.score is not None]
    by_score = sorted(able, key=lambda past: -(past.score or 0.0))[:PARENTS]
    by_metric = sorted(finished, key=lambda past: -(past.metric or 0.0))[:PARENTS]
    return [past.flat for past in (*by_score[: PARENTS // 2], *by_metric[: PARENTS - len(by_score[: PARENTS // 2])])]


def what_a_winner_needs(finished: Sequence[Past]) -> float:
    """The metric that every shortfall is measured from; minus infinity where nothing is needed."""
    floors = [past.metric + past.shortfall for past in finished if past.metric is not None and past.shortfall > -1]
    return max(floors, default=-np.inf)


def admitted(gate: Gate, flats: Iterator[Flat]) -> list[Admission]:
    """The designs that fit as they are; where these are few, some of the others repaired."""
    asked = [Admission(flat, gate.cheap(gate.space.decode(flat))) for flat in flats]
    found = [admission for admission in asked if admission.verdict.feasible]
    if len(found) < FEW:
        others = [admission.flat for admission in asked if not admission.verdict.feasible][:REPAIRS]
        found += [admission for flat in others if (admission := admit(gate, flat)).verdict.feasible]
    return found


def free_of_metric(verdicts: Sequence[Verdict]) -> Floats:
    """NetScore of a metric of 1 (n,): that of any other is ``SLOPE`` · log10(metric) away."""
    return np.array([netscore(1.0, verdict.cost.params, verdict.cost.macs) for verdict in verdicts])


def netscore_gains(samples: Floats, free: Floats, expected: Floats, free_before: Floats, floor: float) -> Floats:
    """Expected improvement over the best NetScore of designs that could win (n,).

    Args:
        samples: equally likely metrics of each candidate (draws, n).
        free: its NetScore at a metric of 1 (n,).
        expected: metrics of the designs before (m,).
        free_before: their NetScores at a metric of 1 (m,).
        floor: the metric that a winner needs.
    """
    able = expected >= floor
    incumbent = (free_before + SLOPE * np.log10(np.maximum(expected, LEAST)))[able].max(initial=-np.inf)
    gains = np.maximum(free + SLOPE * np.log10(samples) - incumbent, 0) if np.isfinite(incumbent) else 1.0
    reached = samples >= floor
    return (gains * reached).mean(axis=0) + 1e-9 * samples.mean(axis=0)


def tier_gains(
    samples: Floats, tiers: NDArray[np.int64], expected: Floats, tiers_before: NDArray[np.int64], turn: int
) -> Floats:
    """Expected improvement over the best metric in the tier whose turn it is (n,); -1 for candidates of others.

    The turn passes over tiers without a candidate.
    """
    tier = next((turn + step) % TIERS for step in range(TIERS) if np.any(tiers == (turn + step) % TIERS))
    best = expected[tiers_before == tier].max(initial=0.0)
    gains = np.maximum(samples - best, 0).mean(axis=0) + 1e-9 * samples.mean(axis=0)
    return np.where(tiers == tier, gains, -1.0)


def front_gains(samples: Floats, prices: Floats, expected: Floats, prices_before: Floats) -> Floats:
    """Expected area that the front gains over metric and price, up to the highest price of all (n,)."""
    grid = np.linspace(min(prices.min(), prices_before.min()), max(prices.max(), prices_before.max()), 64)
    front = np.where(prices_before <= grid[:, None], expected, 0.0).max(axis=1, initial=0.0)  # (grid,)
    above = np.maximum(samples[:, None, :] - front[:, None], 0).mean(axis=0)  # (grid, n)
    return (above * (grid[:, None] >= prices)).sum(axis=0)


def log_macs(verdicts: Sequence[Verdict]) -> Floats:
    """(n,)."""
    return np.log10([float(max(verdict.cost.macs, 1)) for verdict in verdicts])
