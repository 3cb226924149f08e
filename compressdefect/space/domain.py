"""Domains: the values that one parameter of a search space may take."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import TypeAlias

Value: TypeAlias = bool | int | float | str


@dataclass(frozen=True)
class IntDomain:
    """Integers from low to high, both included, in steps.

    >>> IntDomain(8, 32, 8).values
    (8, 16, 24, 32)
    """

    low: int
    high: int
    step: int = 1

    @property
    def values(self) -> tuple[int, ...]:
        """Every value, ascending."""
        return tuple(range(self.low, self.high + 1, self.step))

    @property
    def size(self) -> int:
        """How many values there are."""
        return (self.high - self.low) // self.step + 1

    @property
    def default(self) -> int:
        """The value that an inactive parameter shows to a sampler."""
        return self.low

    def contains(self, value: object) -> bool:
        """Whether the value is one of the domain's."""
        is_int = isinstance(value, int) and not isinstance(value, bool)
        return is_int and self.low <= value <= self.high and (value - self.low) % self.step == 0  # type: ignore[operator]

    def sample(self, rng: random.Random) -> int:
        """Draw a value uniformly."""
        return self.low + self.step * rng.randrange(self.size)


@dataclass(frozen=True)
class FloatDomain:
    """Real numbers from low to high; ``log`` draws them uniformly in their logarithm."""

    low: float
    high: float
    log: bool = False

    @property
    def size(self) -> float:
        """Infinite: designs with a real-valued gene cannot be counted."""
        return math.inf

    @property
    def default(self) -> float:
        """The value that an inactive parameter shows to a sampler."""
        return self.low

    def contains(self, value: object) -> bool:
        """Whether the value lies in the interval."""
        return isinstance(value, int | float) and not isinstance(value, bool) and self.low <= value <= self.high

    def sample(self, rng: random.Random) -> float:
        """Draw a value uniformly, in the logarithm if the domain says so."""
        if self.log:
            return math.exp(rng.uniform(math.log(self.low), math.log(self.high)))
        return rng.uniform(self.low, self.high)


@dataclass(frozen=True)
class ChoiceDomain:
    """A few values without an order."""

    values: tuple[Value, ...]

    @property
    def size(self) -> int:
        """How many values there are."""
        return len(self.values)

    @property
    def default(self) -> Value:
        """The value that an inactive parameter shows to a sampler."""
        return self.values[0]

    def contains(self, value: object) -> bool:
        """Whether the value is one of the choices; True is not 1 here."""
        return any(value == choice and type(value) is type(choice) for choice in self.values)

    def sample(self, rng: random.Random) -> Value:
        """Draw a value uniformly."""
        return self.values[rng.randrange(len(self.values))]


Domain: TypeAlias = IntDomain | FloatDomain | ChoiceDomain
