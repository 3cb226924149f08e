"""A search simulated on the evaluation table: the designs it asks for, those it trains to the end, and its winner.

A pass is one training image at full resolution; a short training counts as many as its seconds are worth beside a
whole one. Without a ladder every design takes a whole training, and the winner a final one; the ladder compares many by
short trainings for as much of the time as `search/ladder.py` says, and trains a few to the end. All begin with trial 0,
its half and its quarter.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from promotion import RULES
from simulated import Answer, World

from compressdefect.search.asking import ATTEMPTS, GUIDED_ATTEMPTS
from compressdefect.search.draws import derive_seed, uniform
from compressdefect.search.generative import Generative
from compressdefect.search.ladder import LADDER
from compressdefect.search.proposal import Past, Proposer, SearchDimensions
from compressdefect.search.repair import Admission, admit
from compressdefect.search.samplers import SAMPLERS
from compressdefect.search.sizes import SIZE_WEIGHT, in_tiers, size_adjusted
from compressdefect.search.winner import TOLERANCE, Gap

TRIAL, FINAL, TABLE_END = 10_000, 20_000, 20_000  # passes of a trial without the ladder, a final training, the table's
FINISHING = 3  # designs besides trial 0
NEEDED = {"half": 0.5, "quarter": 0.75}
NEW: Mapping[str, Callable[[SearchDimensions], Proposer]] = {
    "generative without probes": lambda dimensions: Generative(dimensions, probed=False),
}
PROPOSERS = {**SAMPLERS, **NEW}


class Setting(NamedTuple):
    """How a simulated search works.

    ``rule`` says which designs climb, ``needed`` what samplers are told that a winner needs on rung 0: to be in the
    better ``half`` or ``quarter``. ``size_weight`` adjusts scores.
    ``of_all_sizes`` is what samplers are asked for instead.
    """

    sampler: str
    ladder: bool = True
    portfolio: bool = True
    score: str = "area under ROC"
    rule: str = "tiers"
    needed: str = "quarter"
    size_weight: float = SIZE_WEIGHT
    of_all_sizes: bool = True

    @property
    def name(self) -> str:
        """In words."""
        how = "whole trainings"
        if self.ladder:
            sizes = "all sizes" if self.of_all_sizes else f"needs the better {self.needed}"
            how = f"ladder, {self.score}, {self.rule}, {sizes}, size weight {self.size_weight}"
        return f"{self.sampler}, {how}" + (", portfolio" if self.portfolio else "")


class Result(NamedTuple):
    """What a search came to with so many passes."""

    dataset: str
    setting: Setting
    seed: int
    passes: int
    designs: int
    winner: Answer


def walk(world: World, setting: Setting, queue: Sequence[Admission], count: int, seed: int) -> Iterator[Answer]:
    """Trial 0 and the others in the queue, then what the sampler proposes, which is told one figure of each."""
    first, gate = queue[0], world.gate
    directions = ("maximize",)
    spread = setting.ladder and setting.of_all_sizes
    dimensions = SearchDimensions(gate.space.dimensions, directions, first.flat, gate, of_all_sizes=spread)
    proposer = PROPOSERS[setting.sampler](dimensions)
    seen: list[Answer] = []
    while len(seen) < count:
        known = {answer.fingerprint for answer in seen}
        waiting = [a for a in queue if a.verdict.genotype.fingerprint not in known]
        admission = waiting[0] if waiting else ask(proposer, world, history(setting, seen), known, seed)
        seen.append(world.answer(admission.flat, admission.verdict, seed))
        yield seen[-1]


def told(setting: Setting, answer: Answer) -> float:
    """The figure in [0, 1] that samplers see of a design."""
    if not setting.ladder:
        return answer.metric
    score = answer.scores["rung0-half", setting.score]
    return math.exp(score) if "loss" in setting.score else score


def history(setting: Setting, seen: Sequence[Answer]) -> list[Past]:
    """What a search tells its sampler."""
    figures = [told(setting, answer) for answer in seen]
    floor = max(figures) - TOLERANCE
    if setting.ladder:
        figures = size_adjusted(figures, [answer.verdict.cost.params for answer in seen], setting.size_weight)
        floor = float(np.quantile(figures, NEEDED[setting.needed]))
    past = []
    for answer, figure in zip(seen, figures, strict=True):
        score = answer.netscore(figure)
        probes = answer.probes if setting.ladder else {}
        past.append(Past(answer.flat, "complete", (score,), score, max(floor - figure, -1.0), figure, probes))
    return past


def ask(proposer: Proposer, world: World, past: Sequence[Past], known: set[str], seed: int) -> Admission:
    """A proposal that keeps the budgets and is new, as `search/asking.py` finds it."""
    for attempt in range(ATTEMPTS):
        own = derive_seed(seed, len(past), 0, attempt)
        dimensions = world.gate.space.dimensions
        flat = proposer.propose(past, own) if attempt < GUIDED_ATTEMPTS else uniform(dimensions, own)
        admission = admit(world.gate, flat)
        if admission.verdict.feasible and admission.verdict.genotype.fingerprint not in known:
            return admission
    raise RuntimeError("the space is exhausted")


def winner(answers: Sequence[Answer], world: World) -> Answer:
    """The design that `search/winner.py` names, the table's typical standard error taken for that of each pair."""
    figures = ["metric"] if world.data.good is None else ["metric", "area under ROC"]
    best = max(answers, key=lambda a: (*(a.scores["end", f] for f in figures), a.netscore(a.metric)))

    def close(answer: Answer, figure: str) -> bool:
        return Gap(best.scores["end", figure] - answer.scores["end", figure], world.errors["end", figure]).is_small

    able = [answer for answer in answers if all(close(answer, figure) for figure in figures)]
    return max(able, key=lambda answer: answer.netscore(answer.metric))


def compared(passes: float, cost: float, most: int) -> int:
    """How many designs a ladder compares."""
    return max(FINISHING + 1, min(most, int(LADDER.short.until * passes / cost)))


def climb(world: World, setting: Setting, seen: Sequence[Answer]) -> list[Answer]:
    """The designs that a ladder trains to the end, trial 0 among them."""
    if setting.rule == "tiers":
        figures = [told(setting, answer) for answer in seen]
        merits = size_adjusted(figures, [answer.verdict.cost.params for answer in seen], setting.size_weight)
        order = in_tiers(merits, [answer.macs for answer in seen], seen[0].macs)
        return [seen[0], *(seen[index] for index in order if index)][: FINISHING + 1]
    return [seen[0], *RULES[setting.rule](world, seen[1:], "rung0-half", setting.score)[:FINISHING]]


def results(
    world: World,
    settings: Sequence[Setting],
    queue: Sequence[Admission],
    seed: int,
    numbers: Sequence[int],
    most: int,
) -> tuple[list[Result], list[Answer]]:
    """What searches that ask for the same designs came to with each of the numbers of passes, and all they saw."""
    cost, ladder = cost_of(world), settings[0].ladder
    counts = {
        passes: compared(passes, cost, most) if ladder else min(most, max(1, (passes - FINAL) // TRIAL))
        for passes in numbers
    }
    seen = list(walk(world, settings[0], queue, max(counts.values()), seed))
    found = []
    for each in settings:
        for passes, count in counts.items():
            trained = climb(world, each, seen[:count]) if ladder else seen[:count]
            found.append(Result(world.data.name, each, seed, passes, count, winner(trained, world)))
    return found, seen


def cost_of(world: World) -> float:
    """Passes of a short training."""
    short, whole = (
        np.median([seconds for (_, _, name), seconds in world.data.seconds.items() if name == measure])
        for measure in ("rung0-half", "end")
    )
    return float(TABLE_END * short / whole)
