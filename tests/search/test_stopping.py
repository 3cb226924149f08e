from __future__ import annotations

import pickle

from compressdefect.search.stopping import MIN_TRIALS, StopRule, quartile_rule


def curve(final: float) -> list[tuple[float, float]]:
    return [(epoch / 10, final * epoch / 10) for epoch in range(1, 11)]


def test_nothing_is_stopped_before_there_are_enough_trials() -> None:
    assert quartile_rule([curve(0.9)] * (MIN_TRIALS - 1)) == StopRule()
    assert not StopRule().stops([(1.0, 0.0)])


def test_a_trial_below_the_lower_quartile_is_stopped_and_one_at_it_is_not() -> None:
    rule = quartile_rule([curve(final) for final in (0.6, 0.7, 0.8, 0.9, 1.0)])
    assert rule.stops(curve(0.69)[:5])
    assert not rule.stops(curve(0.7)[:5])
    assert not rule.stops(curve(0.1)[:4])


def test_what_was_reached_earlier_counts() -> None:
    rule = quartile_rule([curve(0.8)] * 4)
    assert not rule.stops([(0.2, 0.9), (0.5, 0.1)])


def test_a_rule_crosses_processes() -> None:
    rule = quartile_rule([curve(0.8)] * 4)
    assert pickle.loads(pickle.dumps(rule)) == rule
