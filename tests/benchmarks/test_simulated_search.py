from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pytest
import simulated_search
from simulated_search import FINISHING, Setting, climb, compared, history, told

from compressdefect.search.ladder import climbers
from compressdefect.search.study import StoredTrial
from compressdefect.search.winner import Candidate, Measures, choose
from tests.benchmarks.answers import LOSS, answer, world

SETTING = Setting("random")


@pytest.mark.parametrize("images", [110, 130, 150, 170, 190, 210, 230, 250])
@pytest.mark.parametrize("wrong", [1, 2])
def test_the_winner_is_that_of_a_search(images: int, wrong: int) -> None:
    """The dear design is right on all images, the cheap one on all but one or two: only one is let pass."""
    number = np.arange(images)
    answers = [answer("dear", 900, metric=1.0), answer("cheap", 100, metric=1 - wrong / images)]
    right = [np.ones(images), (number >= wrong).astype(float)]
    candidates = [Candidate(i, a.netscore(a.metric), right[i]) for i, a in enumerate(answers)]
    choice = choose(candidates, Measures({"metric": lambda records, rows: float(records.mean())}, number))
    assert choice is not None
    assert choice.winner == (wrong == 1)
    share = wrong / images
    error = choice.gaps["metric"].standard_error or math.sqrt((share - share**2) / (images - 1))
    assert simulated_search.winner(answers, world(metric=error)) is answers[choice.winner]


def test_with_a_good_class_the_area_under_the_curve_has_to_pass_too() -> None:
    answers = [answer("dear", 900, metric=0.9, area=0.95), answer("cheap", 100, metric=0.9, area=0.93)]
    assert simulated_search.winner(answers, world(good=0, metric=1.0, area=1.0)).fingerprint == "dear"
    assert simulated_search.winner(answers, world(metric=1.0, area=1.0)).fingerprint == "cheap"


@dataclass(frozen=True)
class Drawn:
    """Designs of a search, trial 0 first: their macs, params and scores after a short training."""

    macs: tuple[int, ...]
    params: tuple[int, ...]
    scores: tuple[float, ...]

    @classmethod
    def of(cls, seed: int, count: int = 12) -> Drawn:
        rng = np.random.default_rng(seed)
        macs = (100, *(int(m) for m in rng.integers(10, 110, count - 1)))
        return cls(macs, tuple(int(m * rng.integers(50, 200)) for m in macs), tuple(rng.random(count).round(3)))


@pytest.mark.parametrize("seed", range(8))
def test_the_designs_that_climb_are_those_of_a_search(seed: int) -> None:
    drawn = Drawn.of(seed)
    rows = list(zip(drawn.macs, drawn.params, drawn.scores, strict=True))
    seen = [answer(str(i), macs, params=params, short=score) for i, (macs, params, score) in enumerate(rows)]
    trials = [
        StoredTrial(
            number=i,
            state="compared",
            fingerprint=str(i),
            params=params,
            macs=macs,
            flops=2 * macs,
            peak_bytes=1,
            score=score,
            genotype="{}",
            flat={},
        )
        for i, (macs, params, score) in enumerate(rows)
    ]
    names = [answer.fingerprint for answer in climb(world(), SETTING, seen)]
    assert names == ["0", *[t.fingerprint for t in climbers(trials, "0") if t.number][:FINISHING]]


def test_by_another_rule_the_best_climb_beside_trial_0() -> None:
    scores = {"a": 0.1, "b": 0.5, "c": 0.9, "d": 0.2, "e": 0.7, "f": 0.3}
    seen = [answer(name, 100, short=score) for name, score in scores.items()]
    assert [a.fingerprint for a in climb(world(), SETTING._replace(rule="score"), seen)] == ["a", "c", "e", "b"]


def test_as_many_designs_are_compared_as_there_is_time_for() -> None:
    share = simulated_search.LADDER.short.until  # type: ignore[union-attr]
    assert compared(100 / share, cost=10, most=64) == pytest.approx(10, abs=1)
    assert compared(100_000, cost=1, most=64) == 64
    assert compared(100_000, cost=1e9, most=64) == FINISHING + 1


def test_samplers_are_told_a_share_whatever_the_score() -> None:
    one = answer("a", 100, short=0.8, metric=0.6)
    assert told(SETTING, one) == 0.8
    assert told(SETTING._replace(score=LOSS), one) == pytest.approx(math.exp(-0.2))
    assert told(SETTING._replace(ladder=False), one) == 0.6


def test_samplers_are_told_what_a_winner_needs() -> None:
    """Without a ladder a point less than the best; on one to be better than three in four."""
    seen = [answer(str(i), 100, short=0.2 * i, metric=0.9 - 0.02 * i) for i in range(5)]
    alone = history(SETTING._replace(ladder=False), seen)
    assert [past.shortfall for past in alone] == pytest.approx([-0.01, 0.01, 0.03, 0.05, 0.07])
    assert [past.shortfall <= 0 for past in history(SETTING, seen)] == [False, False, False, True, True]
