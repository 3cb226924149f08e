"""The contract of every sampler, and what Optuna's and NNI's are guarded against."""

from __future__ import annotations

import copy
import math
import random
import sys
from collections import Counter
from collections.abc import Mapping, Sequence

import pytest

from compressdefect.errors import MissingExtraError, SpaceError
from compressdefect.search import nni_bridge
from compressdefect.search.draws import derive_seed
from compressdefect.search.objective import Direction
from compressdefect.search.proposal import Past, Proposer, SearchDimensions
from compressdefect.search.samplers import SAMPLERS, sampler
from compressdefect.search.starting import STARTUP
from compressdefect.search.study import StoredTrial
from compressdefect.search.trials import State
from compressdefect.space.domain import Value
from tests.search.fakes import BUDGETS, FIRST, SPACE, gate

ONE: tuple[Direction, ...] = ("maximize",)
TWO: tuple[Direction, ...] = ("maximize", "minimize")


def make(name: str, directions: tuple[Direction, ...] = ONE) -> Proposer:
    if name.startswith("nni:"):
        pytest.importorskip("nni")
    return sampler(name, SearchDimensions(SPACE.dimensions, directions, SPACE.flatten(FIRST), gate(BUDGETS)))


def history(length: int, values: int = 1) -> list[Past]:
    rng = random.Random(length)
    past = [
        Past(SPACE.sample(rng), "complete", (float(i), float(-i))[:values], float(i), 0.0, i / 100)
        for i in range(length)
    ]
    return [*past, *([Past(SPACE.sample(rng), "pruned"), Past(SPACE.sample(rng), "failed")] if length else [])]


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("directions", [ONE, TWO])
class TestSamplerContract:
    @pytest.mark.parametrize("length", [0, 1, STARTUP + 5])
    def test_a_proposal_has_every_dimension_in_its_domain(
        self, name: str, directions: tuple[Direction, ...], length: int
    ) -> None:
        flat = make(name, directions).propose(history(length, len(directions)), 1)
        assert list(flat) == list(SPACE.dimensions)
        for dimension, value in flat.items():
            assert SPACE.dimensions[dimension].contains(value), dimension

    @pytest.mark.parametrize("length", [1, STARTUP + 5])
    def test_the_same_seed_and_history_give_the_same_proposal(
        self, name: str, directions: tuple[Direction, ...], length: int
    ) -> None:
        past = history(length, len(directions))
        first = make(name, directions).propose(past, 7)
        used = make(name, directions)
        used.propose(past, 8)
        random.seed(length)
        assert used.propose(past, 7) == first

    def test_another_seed_gives_another_proposal(self, name: str, directions: tuple[Direction, ...]) -> None:
        past, proposer = history(STARTUP + 5, len(directions)), make(name, directions)
        found = {tuple(proposer.propose(past, seed).items()) for seed in range(6)}
        assert len(found) > 1

    def test_nothing_is_changed(self, name: str, directions: tuple[Direction, ...]) -> None:
        past = history(STARTUP + 5, len(directions))
        before, state = copy.deepcopy(past), random.getstate()
        make(name, directions).propose(past, 3)
        assert past == before
        assert random.getstate() == state

    def test_running_trials_do_not_stop_it(self, name: str, directions: tuple[Direction, ...]) -> None:
        rng = random.Random(0)
        past = [*history(STARTUP, len(directions)), *(Past(SPACE.sample(rng), "running") for _ in range(40))]
        assert make(name, directions).propose(past, 3)


@pytest.mark.parametrize("name", ["tpe", "nsga2"])
def test_the_first_mutations_are_of_the_best_design_that_could_win(name: str) -> None:
    best, weak = SPACE.sample(random.Random(1)), SPACE.sample(random.Random(2))
    past = [
        Past(SPACE.flatten(FIRST), "complete", (1.0,), 1.0),
        Past(best, "complete", (2.0,), 2.0),
        Past(weak, "complete", (3.0,), 3.0, shortfall=0.1),
        Past(SPACE.sample(random.Random(3)), "pruned"),
    ]
    proposer = make(name)
    shared = Counter(
        parent
        for seed in range(20)
        for parent, flat in (("best", best), ("weak", weak))
        for dimension, value in proposer.propose(past, seed).items()
        if flat[dimension] == value
    )
    assert shared["best"] > 0.75 * 20 * len(SPACE.dimensions)
    assert shared["best"] > 1.2 * shared["weak"]


@pytest.mark.parametrize("name", ["tpe", "nsga2", "nni:tpe", "nni:evolution"])
@pytest.mark.parametrize("falls_short", [False, True])
def test_history_guides(name: str, falls_short: bool) -> None:
    """Asked in a loop for wide stems, a guided sampler beats the 25 % that a uniform one gets.

    The wide ones score best, or they score worst and all others stay below what a winner needs.
    """
    proposer = make(name)
    past: list[Past] = []
    for number in range(60):
        flat = proposer.propose(past, derive_seed(number))
        score = stem_score(flat)
        if falls_short:
            past.append(Past(flat, "complete", (-score,), -score, 0.0 if score == 32 else 0.5))
        else:
            past.append(Past(flat, "complete", (score,), score))
    assert sum(trial.flat["stem_width"] == 32 for trial in past[-20:]) >= 8


def stem_score(flat: dict[str, Value]) -> float:
    width = flat["stem_width"]
    assert isinstance(width, int)
    return float(width)


@pytest.mark.parametrize("name", ["nni:tpe", "nni:evolution"])
def test_nni_leaves_stdout_alone(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    proposer, past = make(name), history(3)
    for seed in range(4):
        past = [*past, Past(proposer.propose(past, seed), "complete", (0.5,), 0.5)]
    assert capsys.readouterr().out == ""


def test_nni_tpe_does_not_fall_into_its_grid() -> None:
    past: Sequence[Past] = [Past(SPACE.flatten(FIRST), "complete", (0.5,), 0.5)] * 30
    assert make("nni:tpe").propose(past, 0)


def test_without_nni_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nni.algorithms.hpo.tpe_tuner", None)
    with pytest.raises(MissingExtraError, match=r"compressdefect\[nni\]"):
        nni_bridge.tpe(SPACE.dimensions, 5)


def test_an_unknown_sampler_lists_the_known_ones() -> None:
    with pytest.raises(SpaceError, match="did you mean nsga2"):
        make("nsga3")


def stored(number: int, state: State, flat: Mapping[str, Value], metric: float) -> StoredTrial:
    """A trial; where it was stopped, ``metric`` is the last point of its curve."""
    done = metric if state == "complete" else None
    return StoredTrial(
        number=number,
        state=state,
        fingerprint=str(number),
        params=1,
        macs=1,
        flops=2,
        peak_bytes=0,
        metric=done,
        netscore=None if done is None else 100 * done,
        genotype="{}",
        flat=flat,
        values=() if done is None else (100 * done,),
        curve=((0.5, metric),) if state in ("complete", "pruned") else (),
    )


def test_a_stopped_trial_falls_short_by_where_it_was_stopped() -> None:
    flat = SPACE.flatten(FIRST)
    assert stored(0, "complete", flat, 0.85).past(0.9).shortfall == pytest.approx(0.05)
    assert stored(0, "complete", flat, 0.95).past(0.9).shortfall == pytest.approx(-0.05)
    assert stored(0, "pruned", flat, 0.6).past(0.9).shortfall == pytest.approx(0.3)
    assert stored(0, "pruned", flat, 0.95).past(0.9).shortfall > 0
    assert stored(0, "pruned", flat, 0.6).past(-math.inf).shortfall > 0
    assert stored(0, "failed", flat, 0.0).past(0.9).shortfall == 0
    assert stored(0, "complete", flat, 0.6).past(-math.inf).shortfall == -1


def test_samplers_are_told_the_metric() -> None:
    flat = SPACE.flatten(FIRST)
    assert stored(0, "complete", flat, 0.85).past(0.9).metric == 0.85
    assert stored(0, "pruned", flat, 0.6).past(0.9).metric == 0.6
    assert stored(0, "failed", flat, 0.0).past(0.9).metric is None
    assert stored(0, "running", flat, 0.0).past(0.9).metric is None


def test_tpe_does_not_take_stopped_trials_for_good_ones() -> None:
    """Trial 0, eight trials just below what a winner needs and, stopped far below it, three with the narrowest stem."""
    rng, proposer = random.Random(0), make("tpe")
    trials = [stored(0, "complete", SPACE.flatten(FIRST) | {"stem_width": 32}, 0.9)]
    trials += [stored(n, "complete", SPACE.sample(rng) | {"stem_width": 32}, 0.89) for n in range(1, 9)]
    trials += [stored(n, "pruned", SPACE.sample(rng) | {"stem_width": 8}, 0.5) for n in range(9, 12)]
    past = [trial.past(0.9) for trial in trials]
    proposed = Counter(proposer.propose(past, seed)["stem_width"] for seed in range(30))
    assert proposed[32] > 2 * proposed[8]
