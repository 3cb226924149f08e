"""``generative``: a reconstruction of generator and inquisitor after Generative Synthesis, not the method itself.

The paper specifies G* = argmax U(G(s)) subject to 1_g(G(s)) = 1 for all seeds s, from a prototype, where an inquisitor
probes what the generator made and the generator is updated (Xu et al., 2023, equation 1; Wong et al., 2018,
arXiv:1809.05989). It leaves open what generator and inquisitor are, their losses, steps and cycles: nobody else can
reproduce it. What stands here is ours:

- The generator is one categorical distribution for each dimension, at first 0.7 · prototype + 0.3 · uniform. Numbers
  without steps are drawn from ``LEVELS`` of them. A cycle follows each ``CYCLE`` designs that have been trained.
- A cycle draws ``DRAWS`` designs and keeps those that the indicator admits: the gate, after repair where few pass, and
  a metric that may reach what a winner needs, as it is reached in the history so far.
- The inquisitor is the model of the metric (``surrogate.Belief``), with the probes of trained designs: how much worse
  their answers become when the output of a stage is noised.
- The utility of a draw is NetScore of the mean prediction plus one standard deviation, with exact cost; for a front the
  area that this would add to it. Weights are ∝ exp(U / τ), τ being ``COOL`` standard deviations of U.
- Update: θ ← (1 − η) θ + η Σ w onehot, where η is up to twice as large in stages that the probes call sensitive; no
  value falls under 0.02 / |values|.
- Proposed is the draw of most weight.

The distributions replay from the last ``REPLAYED`` cycles of the history; what is kept of them only saves time, and
little on a ladder, where every new design changes the scores of all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from compressdefect.search.draws import Flat, derive_seed, stage_of
from compressdefect.search.gate import Gate
from compressdefect.search.improvement import (
    LEAST,
    SLOPE,
    admitted,
    free_of_metric,
    front_gains,
    log_macs,
    what_a_winner_needs,
)
from compressdefect.search.proposal import Past, SearchDimensions
from compressdefect.search.repair import Admission
from compressdefect.search.starting import start
from compressdefect.search.surrogate import Belief, Encoder
from compressdefect.space.domain import Domain, FloatDomain, Value

PROTOTYPE = 0.7
DRAWS = 200
CYCLE = 5
FEWEST = 3  # trained designs for a model of the metric
RATE = 0.2  # η where no probe calls for more
REPLAYED = 10  # cycles: they leave (1 − η)^10 of what stood before, a tenth
FLOOR = 0.02
COOL = 0.5
LEVELS = 9

Floats = NDArray[np.float64]
Distributions = Mapping[str, Floats]


@dataclass(frozen=True)
class Generative:
    """Proposes the draw of most utility from distributions that have followed such draws.

    Attributes:
        dimensions: of the search.
        probed: whether probes set how fast the distributions of a stage move.
    """

    dimensions: SearchDimensions
    probed: bool = True
    _replayed: dict[int, Distributions] = field(default_factory=dict, repr=False, compare=False)

    def propose(self, history: Sequence[Past], seed: int) -> dict[str, Value]:
        """See ``Proposer``."""
        finished = [past for past in history if past.state == "complete" and past.metric is not None]
        tolerance = max((past.metric or 0.0 for past in finished), default=0.0) - what_a_winner_needs(finished)
        trained = {self._gate.space.decode(past.flat).fingerprint for past in history}
        drawn = self._admitted(self._replay(finished, tolerance), seed)
        fresh = [admission for admission in drawn if admission.verdict.genotype.fingerprint not in trained]
        if not fresh:
            return start(self.dimensions, history, seed)
        observed = [past for past in history if past.metric is not None or past.state == "running"]
        return dict(fresh[int(np.argmax(self._weights(observed, tolerance, fresh)))].flat)

    def _replay(self, finished: Sequence[Past], tolerance: float) -> Distributions:
        """The distributions after the last cycles that the history has seen."""
        theta: Distributions = {name: self._first(name) for name in self._levels}
        ends = range(CYCLE, len(finished) + 1, CYCLE)
        skipped = ends[:-REPLAYED]
        seed, key = 0, len(skipped)
        for end in ends:
            news = finished[end - CYCLE : end]
            seed = derive_seed(seed, [tuple(past.flat.values()) for past in news])
            key = derive_seed(key, seed, tolerance, [(past.metric, past.probes) for past in news])
            if end in skipped:
                continue
            if key not in self._replayed:
                self._replayed[key] = self._cycle(theta, finished[:end], tolerance, seed)
            theta = self._replayed[key]
        return theta

    def _cycle(self, theta: Distributions, finished: Sequence[Past], tolerance: float, seed: int) -> Distributions:
        drawn = self._admitted(theta, seed)
        if not drawn:
            return theta
        weights, rates = self._weights(finished, tolerance, drawn), self._rates(finished)
        moved = {}
        for name, levels in self._levels.items():
            counts = np.bincount([_nearest(levels, a.flat[name]) for a in drawn], weights, minlength=len(levels))
            rate = rates.get(stage_of(name), RATE)
            kept = np.maximum((1 - rate) * theta[name] + rate * counts, FLOOR / len(levels))
            moved[name] = kept / kept.sum()
        return moved

    def _weights(self, history: Sequence[Past], tolerance: float, drawn: Sequence[Admission]) -> Floats:
        """Of each draw (n,), with a sum of 1."""
        if sum(past.metric is not None for past in history) < FEWEST:
            return np.full(len(drawn), 1 / len(drawn))
        belief = Belief(history, self._gate, self._encoder)
        verdicts = [admission.verdict for admission in drawn]
        prediction = belief.predict(verdicts)
        hoped = np.clip(prediction.mean + prediction.deviation, LEAST, 1)
        if len(self.dimensions.directions) > 1:
            before = log_macs(belief.finished)
            return softmax(
                front_gains(hoped[None], log_macs(verdicts), belief.expected, before), np.full(len(hoped), True)
            )
        able = hoped >= belief.expected.max(initial=0.0) - tolerance
        return softmax(free_of_metric(verdicts) + SLOPE * np.log10(hoped), able)

    def _rates(self, finished: Sequence[Past]) -> dict[str, float]:
        """η of each stage that was probed."""
        drops: dict[str, list[float]] = {}
        for past in finished if self.probed else ():
            for stage, drop in past.probes.items():
                drops.setdefault(stage, []).append(max(drop, 0.0))
        means = {stage: float(np.mean(found)) for stage, found in drops.items()}
        most = max(means.values(), default=0.0)
        return {stage: RATE * (1 + mean / most) for stage, mean in means.items()} if most else {}

    def _admitted(self, theta: Distributions, seed: int) -> list[Admission]:
        return admitted(self._gate, self._draws(theta, seed))

    def _draws(self, theta: Distributions, seed: int) -> Iterator[Flat]:
        rng = np.random.default_rng(seed)
        places = {name: rng.choice(len(shares), DRAWS, p=shares) for name, shares in theta.items()}
        for number in range(DRAWS):
            yield {name: self._levels[name][int(places[name][number])] for name in theta}

    def _first(self, name: str) -> Floats:
        levels = self._levels[name]
        shares = np.full(len(levels), (1 - PROTOTYPE) / len(levels))
        shares[_nearest(levels, self.dimensions.prototype[name])] += PROTOTYPE
        return shares

    @cached_property
    def _levels(self) -> dict[str, Sequence[Value]]:
        return {name: levels(domain) for name, domain in self.dimensions.domains.items()}

    @cached_property
    def _gate(self) -> Gate:
        assert self.dimensions.gate is not None, "the sampler checks designs of its own"
        return self.dimensions.gate.computed

    @cached_property
    def _encoder(self) -> Encoder:
        return Encoder(self.dimensions.domains)


def levels(domain: Domain) -> Sequence[Value]:
    """The values that are drawn: all there are, or ``LEVELS`` of a real number, evenly or by even factors.

    >>> levels(FloatDomain(0.0, 1.0))[:3]
    (0.0, 0.125, 0.25)
    """
    if not isinstance(domain, FloatDomain):
        return domain.values
    space = np.geomspace if domain.log else np.linspace
    return tuple(min(max(float(value), domain.low), domain.high) for value in space(domain.low, domain.high, LEVELS))


def softmax(utilities: Floats, able: NDArray[np.bool_]) -> Floats:
    """Weights (n,) of those that are able, or of all where none is; by ``COOL`` standard deviations."""
    able = able if able.any() else np.full(len(able), True)
    spread = COOL * utilities[able].std()
    heat = (utilities - utilities[able].max()) / spread if spread > 0 else np.zeros(len(utilities))
    weights = np.exp(np.minimum(heat, 0)) * able
    return weights / weights.sum()


def _nearest(levels: Sequence[Value], value: Value) -> int:
    """The place of a value, of a real number that of the closest level."""
    if value in levels:
        return levels.index(value)
    return int(np.argmin([abs(float(level) - float(value)) for level in levels]))
