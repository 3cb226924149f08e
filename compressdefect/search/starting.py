"""What a sampler proposes while there is too little to learn from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from compressdefect.search.draws import mutate, uniform
from compressdefect.search.proposal import Past, SearchDimensions
from compressdefect.space.domain import Value

STARTUP = 10


def start(dimensions: SearchDimensions, history: Sequence[Past], seed: int) -> dict[str, Value]:
    """Two in three are mutations of the best design so far, the others uniform draws."""
    if len(history) % 3 == 0:
        return uniform(dimensions.domains, seed)
    return mutate(dimensions.domains, _parent(dimensions, history), seed)


def _parent(dimensions: SearchDimensions, history: Sequence[Past]) -> Mapping[str, Value]:
    """The best finished design that could win, else the prototype."""
    able = [past for past in history if past.state == "complete" and past.shortfall <= 0 and past.score is not None]
    return max(able, key=lambda past: past.score or 0.0).flat if able else dimensions.prototype
