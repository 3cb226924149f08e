"""Samplers as pure proposals: history and seed in, one flat vector out.

``propose(history, seed)`` keeps no state between calls. It builds an in-memory Optuna study from the history and asks
it once, so the same seed and history give the same proposal in whatever process they meet: a search that was killed
goes on as the unbroken one would have, and designs that the gate rejects leave no trace in the study.

Every dimension of the flat vector is always active. Guided samplers need a few trials to start from; two in three of
these are mutations instead of uniform draws: of the best design so far, at first the prototype that the paper's search
starts from too. A trial whose metric is below what a winner needs breaks a constraint of the samplers, so that a
NetScore is not won by ever smaller networks that see less and less; one that was stopped is judged by how far it had
come.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import TrialState, create_trial

from compressdefect.errors import SpaceError, known_names
from compressdefect.search import nni_bridge
from compressdefect.search.draws import uniform
from compressdefect.search.generative import Generative
from compressdefect.search.improvement import Improver
from compressdefect.search.proposal import Past, Proposer, SearchDimensions
from compressdefect.search.starting import STARTUP, start
from compressdefect.space.domain import Domain, FloatDomain, IntDomain, Value


def sampler(name: str, dimensions: SearchDimensions) -> Proposer:
    """Make a sampler by its name on the command line.

    Raises:
        SpaceError: unknown name, or real-valued dimensions that the sampler cannot take.
        MissingExtraError: one of NNI's, and NNI is not installed.
    """
    if name not in SAMPLERS:
        raise SpaceError("no such sampler", got=name, fix=known_names(name, SAMPLERS))
    return SAMPLERS[name](dimensions)


@dataclass(frozen=True)
class Uniform:
    """``random``: independent uniform draws; history changes nothing."""

    dimensions: SearchDimensions

    def propose(self, history: Sequence[Past], seed: int) -> dict[str, Value]:
        """See ``Proposer``."""
        return uniform(self.dimensions.domains, seed)


@dataclass(frozen=True)
class Guided:
    """One of Optuna's samplers, asked once about a fresh study made of the history."""

    dimensions: SearchDimensions
    make: Callable[[int], optuna.samplers.BaseSampler]

    def propose(self, history: Sequence[Past], seed: int) -> dict[str, Value]:
        """See ``Proposer``."""
        if len(history) < STARTUP:
            return start(self.dimensions, history, seed)
        study = optuna.create_study(directions=self.dimensions.directions, sampler=self.make(seed))
        distributions = {name: distribution(domain) for name, domain in self.dimensions.domains.items()}
        generations = _generations(history)
        for past, generation in zip(history, generations, strict=True):
            study.add_trial(_frozen(past, distributions, generation))
        return dict(study.ask(distributions).params)


def distribution(domain: Domain) -> BaseDistribution:
    """A domain in Optuna's terms."""
    if isinstance(domain, IntDomain):
        return IntDistribution(domain.low, domain.high, step=domain.step)
    if isinstance(domain, FloatDomain):
        return FloatDistribution(domain.low, domain.high, log=domain.log)
    return CategoricalDistribution(domain.values)


def _generations(history: Sequence[Past]) -> list[int]:
    """NSGA-II's generation of each trial: complete ones fill populations of ``STARTUP`` in the order of the history."""
    complete, generations = 0, []
    for past in history:
        generations.append(complete // STARTUP)
        complete += past.state == "complete"
    return generations


def _frozen(past: Past, distributions: dict[str, BaseDistribution], generation: int) -> optuna.trial.FrozenTrial:
    states = {
        "complete": TrialState.COMPLETE,
        "pruned": TrialState.PRUNED,
        "failed": TrialState.FAIL,
        "running": TrialState.RUNNING,
    }
    return create_trial(
        state=states[past.state],
        values=[float(value) for value in past.values] if past.state == "complete" else None,
        params=dict(past.flat),
        distributions=distributions,
        system_attrs={optuna.samplers.NSGAIISampler._get_generation_key(): generation},
        constraints={"shortfall": past.shortfall},
    )


def _tpe(seed: int) -> optuna.samplers.BaseSampler:
    return optuna.samplers.TPESampler(seed=seed, n_startup_trials=STARTUP)


def _nsga2(seed: int) -> optuna.samplers.BaseSampler:
    return optuna.samplers.NSGAIISampler(seed=seed, population_size=STARTUP)


SAMPLERS: Mapping[str, Callable[[SearchDimensions], Proposer]] = {
    "random": Uniform,
    "tpe": lambda dimensions: Guided(dimensions, _tpe),
    "nsga2": lambda dimensions: Guided(dimensions, _nsga2),
    "surrogate": Improver,
    "generative": Generative,
    "nni:evolution": lambda dimensions: nni_bridge.evolution(dimensions.domains, STARTUP),
    "nni:tpe": lambda dimensions: nni_bridge.tpe(dimensions.domains, STARTUP),
}
PROBING = frozenset({"generative"})  # those that learn from probes of a trained design's stages
