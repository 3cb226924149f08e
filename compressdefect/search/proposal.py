"""What a sampler is told of a trial, and what it answers: a proposal for the next design."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from compressdefect.space.domain import Value


@dataclass(frozen=True)
class Past:
    """A trial as samplers see it.

    Attributes:
        flat: its vector.
        state: whether it counts as an observation.
        values: the objective's, when complete.
        score: one number for tuners that take no more.
        shortfall: how far its metric stays below what a winner needs; at most 0 when it does not.
    """

    flat: Mapping[str, Value]
    state: Literal["complete", "pruned", "failed", "running"]
    values: tuple[float, ...] = ()
    score: float | None = None
    shortfall: float = 0.0


class Proposer(Protocol):
    """Proposes the next design.

    The life of one proposal: the driver hands over what is known of all trials, finished and running, and a seed
    derived from (seed, trials stored, worker, attempt). It decodes, checks and repairs what comes back; if the gate
    rejects it, or the design has been trained before, it asks again with the next attempt's seed.
    """

    def propose(self, history: Sequence[Past], seed: int) -> dict[str, Value]:
        """One value for every dimension; the history is not changed."""
