"""Seeds, and draws of flat vectors that depend on nothing else."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Mapping

from compressdefect.space.domain import Domain, Value

MUTATION = 0.1

Domains = Mapping[str, Domain]
Flat = Mapping[str, Value]


def derive_seed(*parts: object) -> int:
    """A 32-bit seed from anything printable, the same in every process."""
    return int.from_bytes(hashlib.sha256("/".join(map(str, parts)).encode()).digest()[:4])


def uniform(domains: Domains, seed: int) -> dict[str, Value]:
    """Draw every dimension independently."""
    rng = random.Random(seed)
    return {name: domain.sample(rng) for name, domain in domains.items()}


def mutate(domains: Domains, parent: Flat, seed: int) -> dict[str, Value]:
    """Draw each dimension anew with probability ``MUTATION``, keep the others."""
    rng = random.Random(seed)
    return {name: domain.sample(rng) if rng.random() < MUTATION else parent[name] for name, domain in domains.items()}


def cross(first: Flat, second: Flat, seed: int) -> dict[str, Value]:
    """Take each stage, and whatever belongs to the whole net, from either parent."""
    rng, taken = random.Random(seed), dict[str, bool]()
    return {name: (first if taken.setdefault(stage_of(name), rng.random() < 0.5) else second)[name] for name in first}


def stage_of(name: str) -> str:
    """The stage that a dimension belongs to; the dimension itself where it belongs to the whole net.

    >>> stage_of("stage2.column1.width"), stage_of("stem_width")
    ('stage2', 'stem_width')
    """
    return name.split(".", 1)[0]
