"""Rules of promotion that the ladder's own (`search/sizes.py`) was chosen among: which designs climb first."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from simulated import Answer, World


def worth(answer: Answer, measure: str, kind: str) -> float:
    """NetScore of a rung's score."""
    score = answer.scores[measure, kind]
    return answer.netscore(math.exp(score) if "loss" in kind else score)


def by_score(world: World, answers: Sequence[Answer], measure: str, kind: str) -> list[Answer]:
    """The best score first."""
    return sorted(answers, key=lambda answer: -answer.scores[measure, kind])


def by_half(world: World, answers: Sequence[Answer], measure: str, kind: str) -> list[Answer]:
    """In turn the best score, and the best NetScore of the better half by score."""
    ranked = by_score(world, answers, measure, kind)
    return _in_turn(ranked, ranked[: (len(ranked) + 1) // 2], measure, kind)


def by_error(errors: float) -> Rule:
    """In turn the best score, and the best NetScore within so many standard errors of the best score."""

    def rule(world: World, answers: Sequence[Answer], measure: str, kind: str) -> list[Answer]:
        ranked = by_score(world, answers, measure, kind)
        least = ranked[0].scores[measure, kind] - errors * world.errors[measure, kind]
        return _in_turn(ranked, [a for a in ranked if a.scores[measure, kind] >= least], measure, kind)

    return rule


def by_layers(world: World, answers: Sequence[Answer], measure: str, kind: str) -> list[Answer]:
    """Layers that no other design beats in score and macs, the best score of each first."""
    left, found = by_score(world, answers, measure, kind), []
    while left:
        layer: list[Answer] = []
        for answer in left:
            if all(answer.macs < better.macs for better in layer):
                layer.append(answer)
        found += layer
        left = [answer for answer in left if answer not in layer]
    return found


def _in_turn(ranked: Sequence[Answer], able: Sequence[Answer], measure: str, kind: str) -> list[Answer]:
    cheap = sorted(able, key=lambda answer: -worth(answer, measure, kind))
    mixed = [answer for pair in zip(ranked, cheap, strict=False) for answer in pair] + list(ranked)
    return list({answer.fingerprint: answer for answer in mixed}.values())


Rule = Callable[[World, Sequence[Answer], str, str], list[Answer]]
RULES: Mapping[str, Rule] = {
    "score": by_score,
    "half": by_half,
    "1 SE": by_error(1.0),
    "2 SE": by_error(2.0),
    "layers": by_layers,
}
