"""NNI 3.0's tuners as proposals; the only file that imports nni, and only when one of them is asked for.

A fresh tuner is made for every proposal and the history is replayed into it, so the tuners' own state never matters.
What is guarded against:

- NNI logs to stdout, which belongs to ``--json``: its handler is removed.
- The evolution tuner ignores seeds and draws from the global ``random`` too: its own generator is replaced after
  ``update_search_space``, and the global one is seeded for the call and put back.
- The evolution tuner fails when asks outrun tells by its population: only finished trials are replayed.
- The TPE tuner minimises by default, and answers a duplicate from a grid that overflows on many parameters: its
  duplicate check is switched off, since the driver asks again when a design is known.
"""

from __future__ import annotations

import contextlib
import importlib
import random
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from compressdefect.errors import MissingExtraError
from compressdefect.search.proposal import Past
from compressdefect.space.domain import Domain, FloatDomain, Value

REPLAY_SEED = 0
SHORTFALL_POINTS = 200.0  # NetScore's own slope is about 20 points per unit of the metric


@dataclass(frozen=True)
class Evolution:
    """NNI's naive evolution: the loser of a random pair is replaced by the winner with one gene changed."""

    domains: Mapping[str, Domain]
    population: int
    module: Any

    def propose(self, history: Sequence[Past], seed: int) -> dict[str, Value]:
        """See ``proposal.Proposer``."""
        tuner = self.module.EvolutionTuner(optimize_mode="maximize", population_size=self.population)
        with _global_random(seed):
            tuner.update_search_space(_space(self.domains))
            tuner.random_state = np.random.RandomState(seed)
            tuner.population.clear()
            for _ in range(self.population):
                tuner._random_generate_individual()
            random.seed(REPLAY_SEED)
            for number, (past, reward) in enumerate(_scored(history)):
                tuner.generate_parameters(number)
                tuner.running_trials[number].config = _nested(self.domains, past.flat)
                tuner.receive_trial_result(number, None, reward)
            random.seed(seed)
            return _flat(self.domains, tuner.generate_parameters(len(history)))


@dataclass(frozen=True)
class Tpe:
    """NNI's tree-structured Parzen estimator."""

    domains: Mapping[str, Domain]
    startup: int
    module: Any

    def propose(self, history: Sequence[Past], seed: int) -> dict[str, Value]:
        """See ``proposal.Proposer``."""
        tuner = self.module.TpeTuner("maximize", seed, {"n_startup_jobs": self.startup})
        tuner.update_search_space(_space(self.domains))
        tuner.dedup = _NoDeduplication()
        told = [{"parameter": _indices(self.domains, past.flat), "value": value} for past, value in _scored(history)]
        tuner.import_data(told)
        return _flat(self.domains, tuner.generate_parameters(len(told)))


def evolution(domains: Mapping[str, Domain], population: int) -> Evolution:
    """The sampler ``nni:evolution``."""
    return Evolution(domains, population, _import("nni.algorithms.hpo.evolution_tuner"))


def tpe(domains: Mapping[str, Domain], startup: int) -> Tpe:
    """The sampler ``nni:tpe``."""
    return Tpe(domains, startup, _import("nni.algorithms.hpo.tpe_tuner"))


class _NoDeduplication:
    def __call__(self, parameters: dict[str, Any]) -> dict[str, Any]:
        return parameters

    def add_history(self, parameters: dict[str, Any]) -> None:
        """Forget it."""


def _import(name: str) -> Any:
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(sys.stderr):
            warnings.simplefilter("ignore")
            module = importlib.import_module(name)
            importlib.import_module("nni").silence_stdout()
    except ImportError as error:
        raise MissingExtraError("nni", "nni") from error
    return module


@contextlib.contextmanager
def _global_random(seed: int) -> Iterator[None]:
    state = random.getstate()
    random.seed(seed)
    try:
        yield
    finally:
        random.setstate(state)


def _scored(history: Sequence[Past]) -> list[tuple[Past, float]]:
    """Finished trials with a score; pruned ones count as badly as the worst complete one.

    The tuners know no constraints: a shortfall costs ten times what it already costs in NetScore.
    """
    scores = {
        number: past.score - SHORTFALL_POINTS * max(0.0, past.shortfall)
        for number, past in enumerate(history)
        if past.state == "complete" and past.score is not None
    }
    worst = min(scores.values(), default=0.0)
    finished = (number for number, past in enumerate(history) if past.state in ("complete", "pruned"))
    return [(history[number], scores.get(number, worst)) for number in finished]


def _space(domains: Mapping[str, Domain]) -> dict[str, Any]:
    """NNI's form of a space: discrete domains by index, so that no value changes its type on the way."""
    return {name: _entry(domain) for name, domain in domains.items()}


def _entry(domain: Domain) -> dict[str, Any]:
    if isinstance(domain, FloatDomain):
        return {"_type": "loguniform" if domain.log else "uniform", "_value": [domain.low, domain.high]}
    return {"_type": "choice", "_value": list(range(len(domain.values)))}


def _indices(domains: Mapping[str, Domain], flat: Mapping[str, Value]) -> dict[str, Any]:
    return {
        name: flat[name] if isinstance(domain, FloatDomain) else list(domain.values).index(flat[name])
        for name, domain in domains.items()
    }


def _nested(domains: Mapping[str, Domain], flat: Mapping[str, Value]) -> dict[str, Any]:
    """A vector as the evolution tuner keeps it: choices carry their index."""
    indices = _indices(domains, flat)
    return {
        name: indices[name] if isinstance(domain, FloatDomain) else {"_index": indices[name], "_value": indices[name]}
        for name, domain in domains.items()
    }


def _flat(domains: Mapping[str, Domain], parameters: Mapping[str, Any]) -> dict[str, Value]:
    flat: dict[str, Value] = {}
    for name, domain in domains.items():
        if isinstance(domain, FloatDomain):
            flat[name] = min(max(float(parameters[name]), domain.low), domain.high)
        else:
            flat[name] = domain.values[int(parameters[name])]
    return flat
