"""The indicator 1_g of constrained search (Xu et al., 2023, Eq. 1): budgets on cost and rules of good practice.

Every constraint is one ``Check``: named, signed (at most 0 is feasible), and able to say what it found. A rule is a
function from what lowers a network's resolution to the places that break it; a new one is a function and its line in
``RULES``, and a space file switches it on by that name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from compressdefect import units
from compressdefect.cost.cost import Cost
from compressdefect.errors import SpaceError, known_names
from compressdefect.models.graph import STEM, Reduction
from compressdefect.search.quantity import (
    parse_bytes,
    parse_count,
    parse_seconds,
)

LATENCY_SHARE = 0.9
"""A design is admitted at this share of the latency budget, so that it still holds when it is measured again."""

FLOAT_GRAPH_BYTES, INT8_GRAPH_BYTES = 30_000, 110_000
"""What a graph's file holds beside its weights; in eight bits there is a pair of nodes around each operator, too."""


@dataclass(frozen=True, slots=True)
class Check:
    """What one constraint found in one design; it is met up to this ``share`` of the limit."""

    name: str
    value: float
    limit: float
    offenders: tuple[str, ...] = ()
    share: float = 1.0

    @property
    def violation(self) -> float:
        """The excess as a share of what is admitted, at most 0 when feasible; for a rule, how many places break it."""
        return self.value / (self.share * self.limit) - 1 if self.limit else self.value

    @property
    def is_rule(self) -> bool:
        """Whether this is a rule of good practice, which no scaling of widths can mend."""
        return self.name in RULES

    @property
    def text(self) -> str:
        """The constraint and what was got, such as ``flops ≤ 100 M (got 131 M)``."""
        if self.is_rule:
            return f"{self.name}: broken by {', '.join(self.offenders)}" if self.offenders else f"{self.name}: kept"
        form = FORMATS[self.name]
        limit, got = form(self.limit, 3), form(self.value, 3)
        if self.violation > 0 and got == limit:
            limit, got = form(self.limit, 9), form(self.value, 9)
        room = f", and {1 - self.share:.0%} is left for measuring again" if self.share < 1 else ""
        return f"{self.name} ≤ {limit} (got {got}{room})"


FORMATS: Mapping[str, Callable[[float | None, int], str]] = {
    "flops": units.count,
    "macs": units.count,
    "params": units.count,
    "memory": units.size,
    "size": units.size,
    "latency": units.milliseconds,
}


@dataclass(frozen=True)
class Budgets:
    """The limits a design must keep, ``None`` where there is none.

    ``flops`` counts 2 per multiply-accumulate; ``memory_bytes`` is the most activation memory live at once at batch 1;
    ``size_bytes`` is the file of the graph that ships, ``latency_ms`` its median time per sample.
    """

    flops: int | None = None
    macs: int | None = None
    params: int | None = None
    memory_bytes: int | None = None
    size_bytes: int | None = None
    latency_ms: float | None = None

    @classmethod
    def parse(
        cls,
        *,
        flops: str | None = None,
        macs: str | None = None,
        params: str | None = None,
        memory: str | None = None,
        size: str | None = None,
        latency: str | None = None,
    ) -> Budgets:
        """Read the budgets as typed on the command line.

        Raises:
            SpaceError: one does not parse or is not positive; the message names its option.
        """
        return cls(
            flops=None if flops is None else parse_count(flops, "--budget-flops"),
            macs=None if macs is None else parse_count(macs, "--budget-macs"),
            params=None if params is None else parse_count(params, "--budget-params"),
            memory_bytes=None if memory is None else parse_bytes(memory, "--budget-memory"),
            size_bytes=None if size is None else parse_bytes(size, "--budget-size"),
            latency_ms=None if latency is None else 1e3 * parse_seconds(latency, "--budget-latency"),
        )

    def __post_init__(self) -> None:
        for field in fields(self):
            limit = getattr(self, field.name)
            if limit is not None and not limit > 0:
                raise SpaceError(f"the budget {field.name} must be above 0", got=limit)

    def cheap_checks(self, cost: Cost, *, int8: bool = False) -> list[Check]:
        """Check what the closed-form cost can tell, in the order that the command line lists.

        Args:
            cost: of a design.
            int8: whether it may ship in eight bits.
        """
        found = (
            ("flops", cost.flops, self.flops),
            ("macs", cost.macs, self.macs),
            ("params", cost.params, self.params),
            ("memory", cost.peak_bytes, self.memory_bytes),
            ("size", estimated_bytes(cost, int8=int8), self.size_bytes),
        )
        return [Check(name, value, limit) for name, value, limit in found if limit is not None]

    def latency_check(self, latency_ms: float) -> list[Check]:
        """Check a measured latency, with room for measuring it again."""
        return [] if self.latency_ms is None else [Check("latency", latency_ms, self.latency_ms, share=LATENCY_SHARE)]

    def shipped_checks(self, size: int, latency_ms: float) -> list[Check]:
        """Check what was measured of the graph that ships; there is no measuring again."""
        found = (("size", size, self.size_bytes), ("latency", latency_ms, self.latency_ms))
        return [Check(name, value, limit) for name, value, limit in found if limit is not None]

    def to_json(self) -> dict[str, Any]:
        """The budgets that are set."""
        return {name: limit for name, limit in asdict(self).items() if limit is not None}


def estimated_bytes(cost: Cost, *, int8: bool) -> int:
    """The file of the graph that ships, of which it is the smaller one if that may be ``int8``.

    >>> cost = Cost(params=1_000_000, macs=0, peak_bytes=0)
    >>> estimated_bytes(cost, int8=False), estimated_bytes(cost, int8=True)
    (4030000, 1110000)
    """
    whole = 4 * cost.params + FLOAT_GRAPH_BYTES
    return min(whole, cost.params + INT8_GRAPH_BYTES) if int8 else whole


def no_strided_pointwise(reductions: Sequence[Reduction]) -> list[str]:
    """A strided 1×1 convolution drops pixels unseen (constraint ii of the paper)."""
    return [f"{r.where} ({r.operator} 1×1, stride {r.stride})" for r in reductions if r.kernel == 1]


def aads_only(reductions: Sequence[Reduction]) -> list[str]:
    """After the input layer, only anti-aliased downsampling lowers the resolution (constraint iii of the paper)."""
    return [f"{r.where} ({r.operator})" for r in reductions if r.operator != "aads" and r.where != STEM]


Rule = Callable[[Sequence[Reduction]], list[str]]
RULES: Mapping[str, Rule] = {"no_strided_pointwise": no_strided_pointwise, "aads_only": aads_only}


def active_rules(switches: Mapping[str, bool]) -> dict[str, Rule]:
    """The rules that a space switches on.

    Raises:
        SpaceError: the space names a rule that does not exist.
    """
    for name in switches:
        if name not in RULES:
            raise SpaceError("no such rule", got=name, fix=known_names(name, RULES))
    return {name: RULES[name] for name, on in switches.items() if on}
