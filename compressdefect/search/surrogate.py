"""A model of the metric alone: from the designs that were trained to what others would come to, and how surely.

NetScore's cost is a closed form of a design, so only the metric has to be guessed. The model is a Gaussian process
(Rasmussen and Williams, 2006, algorithm 2.1) with a kernel of two parts: one over the logarithms of params and macs,
one over the genes. A few tens of noisy observations do not settle its parameters, so that predictions are averaged
over a grid of them by marginal likelihood. Nothing is drawn: equal data give equal predictions in every process.

Genes are read from the design and not from the flat vector, so inactive ones play no part. Columns of a stage stand
beside each other in no order that matters: a stage has the mean over its columns, and the network that over its stages.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve, cholesky, solve_triangular
from scipy.spatial.distance import cdist

from compressdefect.search.gate import Gate, Verdict
from compressdefect.search.proposal import Past
from compressdefect.space.domain import ChoiceDomain, Domain, FloatDomain, Value
from compressdefect.space.genotype import Genes, Genotype

Vectors = NDArray[np.float64]

NET, ALL = -1, 0  # in place of a stage's number
COSTS = 2  # the first columns of a vector
GRID = (
    (0.05, 0.2, 0.5),  # noise: the share of the variance that differs between two trainings of one design
    (0.2, 0.5, 0.8),  # cost: the share of the rest that params and macs explain
    (1.0, 3.0),  # how far costs reach, in powers of ten
    (0.7, 1.5, 3.0),  # how far genes reach, in medians of the designs' distances
)
NEGLIGIBLE = 0.02  # of the likeliest parameters' weight: others are left out


@dataclass(frozen=True)
class Encoder:
    """Designs as vectors: log10 params, log10 macs, then genes in [0, 1] of the net, of each stage, of all stages.

    Numbers keep their order, by their place in the domain; other values have a column each.
    """

    domains: Mapping[str, Domain]

    def __call__(self, verdicts: Sequence[Verdict]) -> Vectors:
        """(n designs, 2 + features)."""
        rows = np.zeros((len(verdicts), COSTS + len(self._places)))
        for row, verdict in zip(rows, verdicts, strict=True):
            row[:COSTS] = np.log10([max(verdict.cost.params, 1), max(verdict.cost.macs, 1)])
            columns, amounts = zip(*self._features(verdict.genotype), strict=True)
            np.add.at(row, list(columns), amounts)
        return rows

    def _features(self, genotype: Genotype) -> list[tuple[int, float]]:
        """(column, what to add there)."""
        found = self._of(NET, genotype.net, 1.0)
        for number, stage in enumerate(genotype.stages, 1):
            found += self._of(number, stage.genes, 1.0)
            for column in stage.columns:
                found += self._of(number, column, 1 / len(stage.columns))
        return found

    def _of(self, own: int, genes: Genes, share: float) -> list[tuple[int, float]]:
        """The terms of all genes that are not fixed, which are looked up: encoding is a sampler's hot path."""
        found = []
        for gene, value in genes.items():
            terms = self._known.get((own, gene, value))
            if terms is None:
                terms = self._terms(own, gene, value)
            found += [(column, share * amount) for column, amount in terms]
        return found

    def _terms(self, own: int, gene: str, value: Value) -> tuple[tuple[int, float], ...]:
        if (own, gene) not in self._codes:
            return ()
        code, amount = self._codes[own, gene](value)
        shares = {NET: 1.0} if own == NET else {own: 1.0, ALL: 1 / max(stage for stage, _ in self._genes)}
        return tuple((COSTS + self._places[stage, gene, code], share * amount) for stage, share in shares.items())

    @cached_property
    def _known(self) -> dict[tuple[int, str, Value], tuple[tuple[int, float], ...]]:
        return {
            (own, gene, value): self._terms(own, gene, value)
            for (own, gene), domain in self._genes.items()
            for value in (() if isinstance(domain, FloatDomain) else domain.values)
        }

    @cached_property
    def _codes(self) -> dict[tuple[int, str], Callable[[Value], tuple[Value | None, float]]]:
        """How a gene's value is written: (value that has a column, 1), or (None, its place in the domain)."""
        return {key: _code(domain) for key, domain in self._genes.items()}

    @cached_property
    def _places(self) -> dict[tuple[int, str, Value | None], int]:
        """The column of a gene, or of one of its values, in one stage."""
        keys: dict[tuple[int, str, Value | None], None] = {}
        for (own, gene), domain in self._genes.items():
            for stage in (NET,) if own == NET else (own, ALL):
                values: Sequence[Value | None] = (None,) if _is_ordered(domain) else domain.values  # type: ignore[union-attr]
                keys |= {(stage, gene, value): None for value in values}
        return {key: column for column, key in enumerate(keys)}

    @cached_property
    def _genes(self) -> dict[tuple[int, str], Domain]:
        """The domain of each (stage, gene); all columns of a stage have the same."""
        found: dict[tuple[int, str], Domain] = {}
        for name, domain in self.domains.items():
            *place, gene = name.split(".")
            found[int(place[0].removeprefix("stage")) if place else NET, gene] = domain
        return found


def _is_ordered(domain: Domain) -> bool:
    numbers = isinstance(domain, FloatDomain) or all(isinstance(value, int | float) for value in domain.values)
    return numbers and not (isinstance(domain, ChoiceDomain) and isinstance(domain.values[0], bool))


def _code(domain: Domain) -> Callable[[Value], tuple[Value | None, float]]:
    if isinstance(domain, FloatDomain):
        return lambda value: (None, _share(domain, float(value)))
    if not _is_ordered(domain):
        return lambda value: (value, 1.0)
    ordered = sorted(float(value) for value in domain.values)
    places = {value: place / max(1, len(ordered) - 1) for place, value in enumerate(ordered)}
    return lambda value: (None, places[float(value)])


def _share(domain: FloatDomain, value: float) -> float:
    low, high, at = (math.log(x) if domain.log else x for x in (domain.low, domain.high, value))
    return (at - low) / (high - low) if high > low else 0.0


class Prediction(NamedTuple):
    """What designs would come to: the expected metric (n,), and the standard deviation of the expectation (n,)."""

    mean: NDArray[np.float64]
    deviation: NDArray[np.float64]


class Surrogate:
    """A Gaussian process fitted to observed metrics.

    Args:
        vectors: of the designs that were trained (n, features), as ``Encoder`` makes them; n is at least 1.
        metrics: what they came to (n,).
    """

    def __init__(self, vectors: Vectors, metrics: NDArray[np.float64]) -> None:
        self._vectors = vectors
        self._middle, self._scale = float(metrics.mean()), max(float(metrics.std()), 1e-6)
        apart = _distances(vectors, vectors)
        far = apart.genes[np.triu_indices(len(metrics), 1)]
        self._unit = max(float(np.median(far)), 1e-6) if len(far) else 1.0
        target = (metrics - self._middle) / self._scale
        fits = [_fit(Kernel(*each), self._in_units(apart), target) for each in itertools.product(*GRID)]
        weights = np.exp(np.array([fit.evidence for fit in fits]) - max(fit.evidence for fit in fits))
        kept = np.flatnonzero(weights > NEGLIGIBLE)
        self._fits, self._weights = [fits[i] for i in kept], weights[kept] / weights[kept].sum()

    def predict(self, vectors: Vectors) -> Prediction:
        """What designs (m, features) would come to, noise left out."""
        apart = self._in_units(_distances(vectors, self._vectors))
        means, variances = zip(*(fit.predict(apart) for fit in self._fits), strict=True)
        mean = self._weights @ np.array(means)
        variance = self._weights @ (np.array(variances) + np.array(means) ** 2) - mean**2
        return Prediction(self._middle + self._scale * mean, self._scale * np.sqrt(np.maximum(variance, 0)))

    def _in_units(self, apart: Apart) -> Apart:
        return Apart(apart.costs, apart.genes / self._unit)


class Apart(NamedTuple):
    """Squared distances (n, m) in log10 costs and in genes."""

    costs: NDArray[np.float64]
    genes: NDArray[np.float64]


class Kernel(NamedTuple):
    """Covariance of designs as shares of the variance, which is 1."""

    noise: float
    cost: float
    cost_length: float
    gene_length: float

    def __call__(self, apart: Apart) -> NDArray[np.float64]:
        """(n, m); noise left out."""
        by_cost = np.exp(-apart.costs / (2 * self.cost_length**2))
        by_genes = np.exp(-apart.genes / (2 * self.gene_length**2))
        return (1 - self.noise) * (self.cost * by_cost + (1 - self.cost) * by_genes)


class _Fit(NamedTuple):
    kernel: Kernel
    factor: NDArray[np.float64]  # (n, n), lower
    weights: NDArray[np.float64]  # (n,)
    evidence: float  # the logarithm of the marginal likelihood, up to a constant

    def predict(self, apart: Apart) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean and variance (m,)."""
        shared = self.kernel(apart)
        explained = solve_triangular(self.factor, shared.T, lower=True, check_finite=False)
        return shared @ self.weights, 1 - self.kernel.noise - (explained**2).sum(axis=0)


def _fit(kernel: Kernel, apart: Apart, target: NDArray[np.float64]) -> _Fit:
    factor = cholesky(kernel(apart) + kernel.noise * np.eye(len(target)), lower=True, check_finite=False)
    weights = cho_solve((factor, True), target, check_finite=False)
    return _Fit(kernel, factor, weights, float(-target @ weights / 2 - np.log(np.diag(factor)).sum()))


def _distances(first: Vectors, second: Vectors) -> Apart:
    costs, genes = slice(COSTS), slice(COSTS, None)
    return Apart(*(cdist(first[:, part], second[:, part], "sqeuclidean") for part in (costs, genes)))


class Belief:
    """What the model makes of a history: of each finished design, and of any other.

    Designs that are being trained count as if they came to what the model expects, so that workers go different ways;
    one that was stopped counts as what it had come to.

    Args:
        history: with at least one observed metric.
        gate: computes what designs cost.
        encoder: of the gate's space.
    """

    def __init__(self, history: Sequence[Past], gate: Gate, encoder: Encoder) -> None:
        self._encoder = encoder
        observed = [past for past in history if past.metric is not None]
        running = [past for past in history if past.state == "running" and past.metric is None]
        verdicts = [gate.cheap(gate.space.decode(past.flat)) for past in (*observed, *running)]
        vectors, seen = encoder(verdicts), len(observed)
        metrics = np.array([past.metric for past in observed], dtype=float)
        self._surrogate = Surrogate(vectors[:seen], metrics)
        if running:
            guessed = self._surrogate.predict(vectors[seen:]).mean
            self._surrogate = Surrogate(vectors, np.concatenate([metrics, guessed]))
        done = [index for index, past in enumerate(observed) if past.state == "complete"]
        self.finished = [verdicts[index] for index in done]
        self.expected = self._surrogate.predict(vectors[done]).mean

    def predict(self, verdicts: Sequence[Verdict]) -> Prediction:
        """What designs would come to."""
        return self._surrogate.predict(self._encoder(verdicts))
