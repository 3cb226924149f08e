"""Designs answered without training: from the evaluation table and, outside it, by a forest fitted to the table.

A design of the table has its own row. Any other has the forest's prediction plus how far the forest is off, out of
fold, for one design of the table: a whole row at a time, so that rungs and end err together, drawn by the design's
fingerprint and the seed. What the forest misses and what differs between seeds are both in it. How well the forest
ranks designs that it has not seen is ``taus``; no proposer sees the forest, which is another kind of model than theirs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import kendalltau
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import KFold
from table_figures import SCORES, Dataset, ended

from compressdefect.cost.netscore import netscore
from compressdefect.search.constraints import Check
from compressdefect.search.draws import Flat, derive_seed
from compressdefect.search.gate import Gate, Verdict
from compressdefect.search.surrogate import COSTS, Encoder
from compressdefect.space.genotype import Genotype

MEASURES = ("rung0-half", "end")
COLUMNS = tuple((measure, score) for measure in MEASURES for score in SCORES)
PROBES = ("stage1", "stage2", "stage3", "stage4")
TREES, FOLDS, REPEATS = 150, 5, 3
COMPARED, DRAWS = 16, 50  # designs and bootstraps for a standard error
LOSSES = ("log loss", "balanced log loss")

Floats = NDArray[np.float64]


class Answer(NamedTuple):
    """What a design comes to: its scores by (measure, score), higher the better, its probes on rung 0, and its cost."""

    fingerprint: str
    flat: Flat
    verdict: Verdict
    scores: Mapping[tuple[str, str], float]
    probes: Mapping[str, float]

    @property
    def metric(self) -> float:
        """At the end."""
        return self.scores["end", "metric"]

    @property
    def macs(self) -> int:
        return self.verdict.cost.macs

    def netscore(self, metric: float) -> float:
        """NetScore, were this the metric."""
        return netscore(max(metric, 1e-3), self.verdict.cost.params, self.macs)


class KnownCosts(Gate):
    """A gate that refuses designs with fewer params or macs than any of the table, of which it says nothing."""

    def __init__(self, gate: Gate, known: Iterable[Mapping[str, Any]]) -> None:
        super().__init__(gate.space, gate.template, gate.budgets, input_shape=gate.input_shape, heads=gate.heads)
        rows = list(known)
        self._least = {name: min(row[name] for row in rows) for name in ("params", "macs")}

    @property
    def computed(self) -> Gate:
        """It measures nothing."""
        return self

    def cheap(self, genotype: Genotype) -> Verdict:
        verdict = super().cheap(genotype)
        checks = (Check(name, least / getattr(verdict.cost, name), 1.0) for name, least in self._least.items())
        return replace(verdict, checks=(*verdict.checks, *checks))


class World:
    """One dataset of the table."""

    def __init__(self, data: Dataset, known: Mapping[str, Mapping[str, Any]], gate: Gate) -> None:
        self.data, self.gate = data, gate
        self._encode = Encoder(gate.space.dimensions)
        self.known = ended(data)
        self.flats: Mapping[str, Flat] = {design: known[design]["flat"] for design in self.known}
        verdicts = [gate.cheap(gate.space.decode(flat)) for flat in self.flats.values()]
        self._rows = {design: self._measured(design) for design in self.known}
        vectors, rows = self._encode(verdicts), np.array(list(self._rows.values()))
        self._forest = Forest(vectors, rows)
        guessed = [_out_of_fold(vectors, rows, seed) for seed in range(REPEATS)]
        self._misses = np.concatenate([rows - each for each in guessed])
        self.taus = {
            column: float(np.mean([kendalltau(each[:, i], rows[:, i]).statistic for each in guessed]))
            for i, column in enumerate(COLUMNS)
        }
        self.errors = {column: self._error(*column) for column in COLUMNS}

    def answer(self, flat: Flat, verdict: Verdict, seed: int) -> Answer:
        """What a design that keeps the budgets comes to."""
        fingerprint = verdict.genotype.fingerprint
        row = self._rows.get(fingerprint)
        if row is None:
            miss = np.random.default_rng(derive_seed(seed, fingerprint)).integers(len(self._misses))
            row = self._forest.predict(self._encode([verdict]))[0] + self._misses[miss]
        scores = {column: _back(column[1], value) for column, value in zip(COLUMNS, row, strict=False)}
        probes = dict(zip(PROBES, row[len(COLUMNS) :], strict=True))
        return Answer(fingerprint, flat, verdict, scores, probes)

    def _measured(self, design: str) -> Floats:
        scores = ((kind, self.data.score(kind, self.data.answers[design, 0, measure])) for measure, kind in COLUMNS)
        probes = self.data.figures[design, 0]["probes"]
        return np.array([*(_forth(kind, value) for kind, value in scores), *(probes[stage] for stage in PROBES)])

    def _error(self, measure: str, kind: str) -> float:
        """The standard error of a difference of two designs, paired over images: the median over pairs of designs."""
        rng, size = np.random.default_rng(0), len(self.data.labels)
        draws = [rng.integers(size, size=size) for _ in range(DRAWS)]
        shown = [self.data.answers[design, 0, measure] for design in rng.permutation(self.known)[:COMPARED]]
        scores = np.array([[self.data.score(kind, answer, rows) for rows in draws] for answer in shown])
        pairs = np.triu_indices(len(shown), 1)
        return float(np.median((scores[pairs[0]] - scores[pairs[1]]).std(axis=1)))


class Forest:
    """Log costs by a straight line, then a random forest on what is left."""

    def __init__(self, vectors: Floats, rows: Floats) -> None:
        self._line = LinearRegression().fit(vectors[:, :COSTS], rows)
        left = rows - self._line.predict(vectors[:, :COSTS])
        self._spread = left.std(axis=0) + 1e-9
        self._trees = RandomForestRegressor(TREES, min_samples_leaf=2, max_features=0.33, random_state=0)
        self._trees.fit(vectors, left / self._spread)

    def predict(self, vectors: Floats) -> Floats:
        """(n designs, columns)."""
        return self._line.predict(vectors[:, :COSTS]) + self._spread * self._trees.predict(vectors)


def _out_of_fold(vectors: Floats, rows: Floats, seed: int) -> Floats:
    found = np.empty_like(rows)
    for fitted, left in KFold(min(FOLDS, len(rows)), shuffle=True, random_state=seed).split(vectors):
        found[left] = Forest(vectors[fitted], rows[fitted]).predict(vectors[left])
    return found


def _forth(kind: str, value: float) -> float:
    """A score on a scale without ends, on which errors are alike everywhere."""
    return -np.log(max(-value, 1e-6)) if kind in LOSSES else -np.arcsin(np.sqrt(1 - value))


def _back(kind: str, value: float) -> float:
    return float(-np.exp(-value) if kind in LOSSES else 1 - np.sin(np.clip(-value, 0, np.pi / 2)) ** 2)
