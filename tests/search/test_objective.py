from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compressdefect.cost.cost import Cost
from compressdefect.errors import SpaceError
from compressdefect.search.objective import WORST_NETSCORE, Objective, baseline
from compressdefect.search.trials import State, TrialRecord


def trial(number: int, metric: float | None, macs: int, state: State = "complete", name: str = "") -> TrialRecord:
    score = None if metric is None else Objective().netscore(metric, Cost(10**6, macs, 0), None)
    return TrialRecord(
        number=number,
        state=state,
        fingerprint=name or str(number),
        params=10**6,
        macs=macs,
        flops=2 * macs,
        peak_bytes=0,
        metric=metric,
        netscore=score,
        genotype="{}",
    )


def test_netscore_is_the_papers() -> None:
    # SYSTEMS §2: LightDefectNet scores 94.15 in the paper's Table 1
    assert Objective().values(0.982, Cost(770_000, 46_500_000, 0), None) == (pytest.approx(94.15, abs=0.01),)


def test_a_metric_of_zero_stays_finite() -> None:
    assert Objective().values(0.0, Cost(1, 1, 0), None) == (WORST_NETSCORE,)


def test_the_latency_exponent_prefers_the_faster() -> None:
    objective = Objective(latency_exponent=0.5)
    assert objective.needs_latency
    # 20·log10 of t^-δ: ten times slower costs 20·δ
    slow, fast = (objective.netscore(0.9, Cost(10**6, 10**6, 0), ms) for ms in (10.0, 1.0))
    assert fast - slow == pytest.approx(10.0)


def test_the_front_holds_what_nothing_beats() -> None:
    trials = [trial(0, 0.90, 50), trial(1, 0.95, 60), trial(2, 0.90, 40), trial(3, 0.80, 45), trial(4, 0.99, 70)]
    trials += [trial(5, None, 1, "pruned"), trial(6, 0.95, 60)]
    assert [t.number for t in Objective("pareto").front(trials)] == [2, 1, 4]


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(1, 20)), min_size=1, max_size=12))
def test_the_front_is_what_its_definition_says(points: list[tuple[int, int]]) -> None:
    trials = [trial(number, metric / 20, macs) for number, (metric, macs) in enumerate(points)]
    front = {(t.metric, t.macs) for t in Objective("pareto").front(trials)}

    def beaten(a: TrialRecord) -> bool:
        assert a.metric is not None
        return any(
            b.metric is not None
            and b.metric >= a.metric
            and b.macs <= a.macs
            and (b.metric > a.metric or b.macs < a.macs)
            for b in trials
        )

    assert front == {(t.metric, t.macs) for t in trials if not beaten(t)}


def test_only_finished_trials_may_win_and_with_pareto_those_on_the_front() -> None:
    trials = [trial(0, 0.90, 50), trial(1, None, 1, "pruned"), trial(2, 0.92, 40), trial(3, None, 1, "running")]
    assert [t.number for t in Objective().pool(trials)] == [0, 2]
    assert [t.number for t in Objective("pareto").pool(trials)] == [2]


def test_samplers_aim_a_point_below_the_best() -> None:
    trials = [trial(0, 0.90, 50), trial(1, 0.92, 40), trial(2, 0.8, 40)]
    assert Objective().floor(trials) == pytest.approx(0.91)
    assert Objective("pareto").floor(trials) == Objective().floor([]) == -math.inf


def test_trial_zero_may_have_been_tried_again() -> None:
    trials = [trial(0, None, 9, "interrupted", "a"), trial(1, 0.8, 9, "complete", "a"), trial(2, 0.7, 9)]
    assert baseline(trials) == trials[1]


def test_the_objective_has_to_exist() -> None:
    with pytest.raises(SpaceError, match="did you mean netscore"):
        Objective("netscor")
    with pytest.raises(SpaceError, match="at least 0"):
        Objective(latency_exponent=-1)
