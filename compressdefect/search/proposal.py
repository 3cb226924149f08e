"""What a sampler is told of a search and its trials, and what it answers: a proposal for the next design."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from compressdefect.search.gate import Gate
from compressdefect.search.objective import Direction
from compressdefect.space.domain import Domain, Value


@dataclass(frozen=True)
class SearchDimensions:
    """What a sampler needs to know of a search.

    Attributes:
        domains: of the flat vector.
        directions: of the objective's values.
        prototype: where the search starts.
        gate: for samplers that check and price designs of their own before they propose one. They ask only what it
            computes: no latency is measured for a design that nobody may train.
        of_all_sizes: whether good designs of every cost are wanted, whatever the objective, since what is known of
            their metrics is early and says less of what costs little.
    """

    domains: Mapping[str, Domain]
    directions: tuple[Direction, ...]
    prototype: Mapping[str, Value]
    gate: Gate | None = None
    of_all_sizes: bool = False


@dataclass(frozen=True)
class Past:
    """A trial as samplers see it.

    Attributes:
        flat: its vector.
        state: whether it counts as an observation.
        values: the objective's, when complete.
        score: one number for tuners that take no more.
        shortfall: how far its metric stays below what a winner needs; at most 0 when it does not.
        metric: in [0, 1]; of a trial that was stopped the last that it came to, None when there is none.
        probes: how much worse its answers become when the output of a stage is noised, by the stage's name.
    """

    flat: Mapping[str, Value]
    state: Literal["complete", "pruned", "failed", "running"]
    values: tuple[float, ...] = ()
    score: float | None = None
    shortfall: float = 0.0
    metric: float | None = None
    probes: Mapping[str, float] = field(default_factory=dict)


class Proposer(Protocol):
    """Proposes the next design.

    The life of one proposal: the driver hands over what is known of all trials, finished and running, and a seed
    derived from (seed, trials stored, worker, attempt). It decodes, checks and repairs what comes back; if the gate
    rejects it, or the design has been trained before, it asks again with the next attempt's seed.
    """

    def propose(self, history: Sequence[Past], seed: int) -> dict[str, Value]:
        """One value for every dimension; the history is not changed."""
