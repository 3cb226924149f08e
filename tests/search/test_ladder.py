from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import optuna
import pytest

from compressdefect.errors import RunError
from compressdefect.search.agenda import Agenda
from compressdefect.search.clock import Clock
from compressdefect.search.config import SearchConfig
from compressdefect.search.constraints import Budgets
from compressdefect.search.evaluate import SHORTENED
from compressdefect.search.ladder import Ladder, as_seen_by_samplers, by_design, climbers
from compressdefect.search.objective import Objective
from compressdefect.search.pacing import Pacing
from compressdefect.search.plan import After, Plan
from compressdefect.search.rungs import Rung
from compressdefect.search.sizes import size_adjusted
from compressdefect.search.study import StoredTrial
from compressdefect.search.trials import read_trials
from compressdefect.search.weights import read_weights, weights_path
from tests.search.fakes import FIRST, SPACE, FakeTime, Killed, run_search, without_numbers

LADDER, LOW, QUICK = (Ladder(Rung(10, 0.5, until=until)) for until in (0.4, 0.2, 0.03))


def on_rungs(folder: Path) -> dict[int, list[str]]:
    """The designs trained, by the steps of their short trainings; 0 for those to the end."""
    found: dict[int, list[str]] = {}
    for line in (folder / "log").read_text().splitlines():
        fingerprint, *_, steps = line.split()
        found.setdefault(int(steps), []).append(fingerprint)
    return found


def trial(number: int, score: float | None, *, rung: int = 0, macs: int = 100, **changes: Any) -> StoredTrial:
    given: dict[str, Any] = {
        "number": number,
        "state": "compared",
        "fingerprint": f"design {number}",
        "params": 1000,
        "macs": macs,
        "flops": 2 * macs,
        "peak_bytes": 1,
        "rung": rung,
        "score": score,
        "genotype": "{}",
        "flat": {},
    }
    return StoredTrial(**{**given, **changes})


def test_all_designs_are_compared_and_a_few_are_trained_to_the_end(tmp_path: Path) -> None:
    outcome = run_search(tmp_path / "run", ladder=LADDER, trials=30, seed=1)
    trained = on_rungs(tmp_path / "run")
    assert {steps: len(designs) for steps, designs in trained.items()} == {10: 30, 0: 4}
    assert all(len(designs) == len(set(designs)) for designs in trained.values())
    first = outcome.trials[0].fingerprint
    assert first == trained[10][0]
    assert first in trained[0]
    assert set(trained[0]) <= set(trained[10])
    merits = size_adjusted([t.score or 0 for t in outcome.trials], [t.params for t in outcome.trials])
    assert outcome.trials[merits.index(max(merits))].fingerprint in trained[0]
    assert outcome.winner is not None
    assert outcome.winner.fingerprint in trained[0]
    assert outcome.baseline is not None
    assert outcome.baseline.state == "complete"
    assert outcome.trained == outcome.asked - len(outcome.infeasible) == 30


def test_the_table_has_one_row_for_each_design(tmp_path: Path) -> None:
    outcome = run_search(tmp_path / "run", ladder=LADDER, trials=20, seed=1)
    rows = read_trials(tmp_path / "run" / "trials.csv")
    assert Counter(row.fingerprint for row in rows).most_common(1)[0][1] == 1
    ended = [row for row in rows if row.state == "complete"]
    assert len(ended) == 4
    assert {row.rung for row in ended} == {1}
    assert all(row.metric is not None and row.score is not None for row in ended)
    assert all(row.metric is None and row.netscore is None for row in rows if row.state == "compared")
    assert rows[0].number == 0
    assert rows[0].fingerprint == on_rungs(tmp_path / "run")[10][0]
    assert outcome.choice is not None
    assert outcome.choice.winner in {row.number for row in ended}


def test_the_best_trial_of_the_study_is_one_that_was_trained_to_the_end(tmp_path: Path) -> None:
    outcome = run_search(tmp_path / "run", ladder=LADDER, trials=20, seed=1)
    study = optuna.load_study(study_name="search", storage=f"sqlite:///{tmp_path / 'run' / 'study.db'}")
    states = Counter(trial.state.name for trial in study.trials)
    assert states == {"PRUNED": 20, "COMPLETE": 4}
    assert study.best_value == max(row.netscore or 0 for row in outcome.trials)


@pytest.mark.parametrize("objective", [Objective(), Objective("pareto")], ids=["netscore", "pareto"])
def test_a_killed_ladder_goes_on_as_the_unbroken_one(tmp_path: Path, objective: Objective) -> None:
    config: dict[str, Any] = {"ladder": LADDER, "trials": 12, "seed": 5, "objective": objective}
    unbroken = run_search(tmp_path / "unbroken", **config)
    for kill_at in (7, 15):  # on both rungs
        with pytest.raises(Killed):
            run_search(tmp_path / "killed", resume=kill_at > 7, evaluator={"kill_at": kill_at}, **config)
    outcome = run_search(tmp_path / "killed", resume=True, **config)
    assert without_numbers(outcome) == without_numbers(unbroken)
    trained, whole = on_rungs(tmp_path / "killed"), on_rungs(tmp_path / "unbroken")
    assert {steps: len(set(designs)) for steps, designs in trained.items()} == {
        steps: len(designs) for steps, designs in whole.items()
    }
    assert sum(map(len, trained.values())) == sum(map(len, whole.values())) + 2


def test_a_resumed_ladder_takes_up_more_designs(tmp_path: Path) -> None:
    run_search(tmp_path / "run", ladder=LADDER, trials=10, seed=1)
    before = on_rungs(tmp_path / "run")
    outcome = run_search(tmp_path / "run", resume=True, ladder=LADDER, trials=40, seed=1)
    after = on_rungs(tmp_path / "run")
    assert len(after[10]) == 40 == outcome.trained
    assert set(before[0]) < set(after[0])
    assert all(len(designs) == len(set(designs)) for designs in after.values())


def test_a_resumed_search_keeps_its_ladder(tmp_path: Path) -> None:
    run_search(tmp_path / "run", ladder=LADDER, trials=5)
    with pytest.raises(RunError, match="must keep its ladder"):
        run_search(tmp_path / "run", resume=True, trials=5)


def test_a_time_limit_is_shared_among_the_rungs(tmp_path: Path) -> None:
    time = FakeTime(mac_s=3e-6)
    outcome = run_search(
        tmp_path / "run", ladder=LOW, epochs=10, seed=1, clock=time.clock(1000.0), evaluator={"time": time}
    )
    trained = on_rungs(tmp_path / "run")
    assert len(trained[10]) > 20
    assert len(trained[0]) >= 4
    assert outcome.plan.to_the_top is not None
    assert outcome.plan.to_the_top <= len(trained[0]) - 1
    assert 900 < time.now <= 1000


@pytest.mark.parametrize(
    ("ladder", "limit_s", "ended"),
    [(LOW, 200.0, "the time is used"), (QUICK, 500.0, "all that were compared are finished")],
)
def test_designs_are_finished_until_the_time_is_used(
    tmp_path: Path, ladder: Ladder, limit_s: float, ended: str
) -> None:
    time = FakeTime(mac_s=1e-6)
    outcome = run_search(
        tmp_path / "run", ladder=ladder, epochs=3, seed=1, clock=time.clock(limit_s), evaluator={"time": time}
    )
    assert outcome.tally.finished > 9
    assert outcome.ended == ended
    assert time.now <= limit_s


def test_too_short_a_time_still_finishes_a_design(tmp_path: Path) -> None:
    time = FakeTime(mac_s=5e-6)
    outcome = run_search(
        tmp_path / "run", ladder=LADDER, epochs=100, seed=1, clock=time.clock(120.0), evaluator={"time": time}
    )
    assert outcome.winner is not None
    assert time.now < 150


def test_what_had_no_time_is_trained_when_there_is_some(tmp_path: Path) -> None:
    """Nothing is known of it: trial 0 takes part as if it had not been tried."""
    time, given = FakeTime(mac_s=3e-6), {"ladder": QUICK, "epochs": None, "whole": 20, "seed": 1}
    short = run_search(tmp_path / "run", clock=time.clock(0.1), evaluator={"time": time}, **given)
    assert short.winner is None
    spent_s = time.now
    longer = run_search(
        tmp_path / "run", resume=True, clock=time.clock(3000.0, spent_s), evaluator={"time": time}, **given
    )
    assert longer.baseline is not None
    assert {trial.state for trial in longer.trials} == {"interrupted", "compared", "complete"}
    assert longer.plan.epochs == 20


def test_the_first_on_the_top_has_some_time_though_it_was_interrupted_before(tmp_path: Path) -> None:
    time, given = FakeTime(mac_s=1e-6), {"ladder": LOW, "epochs": None, "whole": 20, "trials": 6, "seed": 1}
    with pytest.raises(Killed):
        run_search(tmp_path / "run", clock=time.clock(100.0), evaluator={"time": time, "kill_at": 7}, **given)
    outcome = run_search(
        tmp_path / "run", resume=True, clock=time.clock(100.0, spent_s=99.0), evaluator={"time": time}, **given
    )
    assert outcome.winner is not None


@pytest.mark.parametrize("kill_at", [9, 24, 27])
def test_a_kill_under_a_time_limit_loses_what_was_in_training_alone(tmp_path: Path, kill_at: int) -> None:
    time, given = FakeTime(mac_s=3e-6), {"ladder": LOW, "epochs": 10, "seed": 1}
    with pytest.raises(Killed):
        run_search(tmp_path / "run", clock=time.clock(400.0), evaluator={"time": time, "kill_at": kill_at}, **given)
    outcome = run_search(
        tmp_path / "run", resume=True, clock=time.clock(400.0, time.now), evaluator={"time": time}, **given
    )
    trained = on_rungs(tmp_path / "run")
    asked_again = sum(len(designs) - len(set(designs)) for designs in trained.values())
    assert asked_again == 1
    assert outcome.tally.compared == len(set(trained[10]))
    assert outcome.tally.finished == len(set(trained[0])) >= 3
    assert time.now <= 400


def test_epochs_that_a_limit_made_fewer_are_kept_without_one(tmp_path: Path) -> None:
    time, given = FakeTime(mac_s=3e-6), {"ladder": LOW, "epochs": 50, "seed": 1}
    before = run_search(tmp_path / "run", clock=time.clock(150.0), evaluator={"time": time}, **given)
    assert before.plan.epochs < 50
    after = run_search(tmp_path / "run", resume=True, trials=before.trained + 2, evaluator={"time": time}, **given)
    assert after.plan.epochs == before.plan.epochs


def test_a_ladder_under_a_time_limit_goes_on_without_one(tmp_path: Path) -> None:
    """As long as its trainings were, whatever the recipe's own length is."""
    time = FakeTime(mac_s=3e-6)
    given: dict[str, Any] = {"ladder": LOW, "epochs": None, "whole": 100, "seed": 1, "evaluator": {"time": time}}
    before = run_search(tmp_path / "run", clock=time.clock(150.0), **given)
    assert before.plan.epochs < 100
    after = run_search(tmp_path / "run", resume=True, trials=before.trained + 3, **given)
    assert after.plan.epochs == before.plan.epochs
    assert after.trained == before.trained + 3


def test_more_time_compares_more_designs(tmp_path: Path) -> None:
    """The end of the trainings on the top that was planned before is not that of the short ones now."""
    time = FakeTime(mac_s=3e-6)
    given: dict[str, Any] = {"ladder": LOW, "epochs": None, "whole": 100, "seed": 1, "evaluator": {"time": time}}
    before = run_search(tmp_path / "run", clock=time.clock(150.0), **given)
    after = run_search(tmp_path / "run", resume=True, clock=time.clock(1000.0, spent_s=time.now), **given)
    assert after.tally.compared > before.tally.compared
    assert {trial.state for trial in after.trials} == {"compared", "complete"}


def test_a_design_that_cannot_be_timed_does_not_end_the_search(tmp_path: Path) -> None:
    time = FakeTime(mac_s=1e-6)
    outcome = run_search(
        tmp_path / "run",
        ladder=LOW,
        epochs=None,
        whole=2,
        seed=1,
        budgets=Budgets(),
        clock=time.clock(1000.0),
        evaluator={"time": time, "untimed": True},
    )
    assert outcome.tally.finished > 1


def test_scores_near_the_top_climb_in_their_order() -> None:
    trials = [trial(n, score, params=10**5) for n, score in enumerate((0.5, 0.97, 0.985, 0.999))]
    trials += [trial(n, 0.6, params=10**3, macs=10) for n in range(4, 8)]
    assert climbers(trials, "design 0")[0].number == 3


def test_several_workers_climb_together(tmp_path: Path) -> None:
    outcome = run_search(tmp_path / "run", ladder=LADDER, trials=16, seed=1, workers=2)
    assert {steps: len(designs) for steps, designs in on_rungs(tmp_path / "run").items()} == {10: 16, 0: 4}
    assert outcome.winner is not None


def test_weights_are_kept_of_designs_that_were_trained_to_the_end(tmp_path: Path) -> None:
    outcome = run_search(tmp_path / "run", ladder=LADDER, trials=8, seed=1, evaluator={"weights": True})
    kept = {path.stem for path in (tmp_path / "run" / "weights").iterdir()}
    assert kept == {row.fingerprint for row in outcome.trials if row.state == "complete"}
    name = next(iter(kept))
    assert read_weights(weights_path(tmp_path / "run", name)) == b"weights of " + name.encode()
    assert read_weights(weights_path(tmp_path / "run", "another")) is None
    run_search(tmp_path / "off", trials=2, seed=1, evaluator={"weights": True})
    assert not (tmp_path / "off" / "weights").exists(), "there every winner is trained once more"


def test_the_best_of_every_size_climb_in_turn() -> None:
    """Of trial 0's, of about half its macs, and of a quarter."""
    macs = (1000, 1000, 1000, 500, 400, 250, 10)
    scores = (0.5, 0.9, 0.8, 0.7, 0.75, 0.6, 0.4)
    trials = [trial(number, score, macs=m) for number, (score, m) in enumerate(zip(scores, macs, strict=True))]
    assert [t.number for t in climbers(trials, "design 0")] == [1, 0, 4, 5, 2, 3, 6]


def test_trial_zero_climbs_in_the_second_place() -> None:
    trials = [trial(number, 0.9 - number / 100) for number in range(5)]
    assert [t.number for t in climbers(trials, "design 4")] == [0, 4, 1, 2, 3]


def test_failed_and_interrupted_trials_do_not_climb() -> None:
    trials = [trial(0, None, state="failed"), trial(1, None, state="interrupted"), trial(2, 0.5)]
    assert [t.number for t in climbers(trials, "none")] == [2]


def test_samplers_see_scores_as_metrics_of_which_a_winner_needs_the_upper_quarter() -> None:
    trials = [trial(number, score) for number, score in enumerate((0.2, 0.9, 0.4, 0.5, 0.8))]
    waiting, higher = trial(5, None, state="interrupted"), trial(6, None, rung=1, state="complete", metric=0.3)
    shown, floor = as_seen_by_samplers([*trials, waiting, higher], Objective())
    assert [t.metric for t in shown] == [0.2, 0.9, 0.4, 0.5, 0.8, None]
    assert floor == 0.8
    assert as_seen_by_samplers([], Objective()) == ([], -math.inf)
    assert as_seen_by_samplers(trials, Objective("pareto"))[1] == -math.inf


def test_a_row_sums_up_the_trainings_of_a_design() -> None:
    trials = [
        trial(0, 0.5, seconds=1.0),
        trial(1, 0.4, seconds=1.0),
        trial(2, None, rung=1, seconds=9.0, fingerprint="design 0", state="complete", metric=0.8),
        trial(3, None, rung=1, fingerprint="design 1", state="interrupted"),
    ]
    first, second = by_design(trials)
    assert (first.number, first.state, first.rung, first.metric, first.score, first.seconds) == (
        0,
        "complete",
        1,
        0.8,
        0.5,
        10.0,
    )
    assert (second.number, second.state, second.rung, second.score) == (1, "compared", 0, 0.4)


def test_a_portfolio_is_asked_after_the_smaller_starts(tmp_path: Path) -> None:
    wide = replace(FIRST, net={**FIRST.net, "stem_width": 8})
    slim = replace(FIRST, net={**FIRST.net, "rate": 0.5})
    space = replace(SPACE, portfolio=(wide, FIRST, slim))
    outcome = run_search(tmp_path / "run", space=space, trials=7, epochs=1, budgets=Budgets())
    asked = [trial.fingerprint for trial in outcome.trials]
    assert asked[0] == FIRST.fingerprint
    assert asked[3] == wide.fingerprint
    assert asked[5] == slim.fingerprint  # in between the one that is known already gave way to a proposal
    assert len(set(asked)) == 7


def test_a_machine_that_becomes_busy_leaves_the_final_training_its_share(tmp_path: Path) -> None:
    """What was planned for the top gets shorter, and it ends when it should."""
    time = FakeTime(mac_s=3e-6, busy_from=220.0, slower=2.0)
    outcome = run_search(
        tmp_path / "run",
        ladder=LOW,
        after=After(final=0.5),
        epochs=40,
        seed=1,
        clock=time.clock(1000.0),
        evaluator={"time": time},
    )
    plan = outcome.plan
    assert plan.top_until_s is not None
    assert 600 < plan.top_until_s < 900
    assert time.now < plan.top_until_s + 60  # an epoch of each more
    assert len(on_rungs(tmp_path / "run")[0]) >= 2
    assert outcome.baseline is not None


def test_what_was_planned_is_rather_shortened_than_left_out(tmp_path: Path) -> None:
    time = FakeTime(mac_s=3e-6, busy_from=300.0, slower=1.08)
    outcome = run_search(
        tmp_path / "run", ladder=LOW, epochs=40, seed=1, clock=time.clock(1000.0), evaluator={"time": time}
    )
    assert outcome.plan.to_the_top == 3
    whole = sorted((trial for trial in outcome.trials if trial.rung == 1), key=lambda trial: trial.number or 0)
    assert [trial.state for trial in whole] == ["complete"] * 4
    assert any(trial.reason == SHORTENED for trial in whole)
    assert time.now < 1060


def test_what_is_too_short_for_those_planned_goes_to_a_smaller_design() -> None:
    """Of 10 epochs each, at a second for 100 macs: 15 s are left, design 2 would take 24 and design 3 takes 10."""
    compared = [trial(n, 0.9 - n / 10, macs=macs) for n, macs in enumerate((1000, 400, 240, 100))]
    ended = [
        replace(compared[n], number=4 + n, rung=1, state="complete", metric=0.9, seconds=float(seconds))
        for n, seconds in enumerate((100, 40))
    ]
    pacing = Pacing(
        Plan(epochs=10, to_the_top=2, top_until_s=100.0, limit_s=200.0),
        Clock(200.0, started=0.0, now=lambda: 85.0),
        lambda epoch_s: 0.0,
        first_macs=1000,
    )
    first = SimpleNamespace(verdict=SimpleNamespace(genotype=SimpleNamespace(fingerprint="design 0")))
    agenda = Agenda(
        SearchConfig(ladder=LADDER, trials=4),
        SimpleNamespace(first=first, again=lambda trial: trial),  # type: ignore[arg-type]
        SimpleNamespace(plan=pacing.plan, pacing=pacing, plan_top=lambda *_: None),  # type: ignore[arg-type]
    )
    step = agenda.next([*compared, *ended], running=[], winner=None)
    assert step is not None
    assert (step.admission, step.rung) == (compared[3], 1)


def test_stages_are_probed_for_the_sampler_that_learns_from_it(tmp_path: Path) -> None:
    for sampler, probes in (("generative", {"stage1": 0.1, "stage2": 0.0}), ("tpe", {})):
        run_search(tmp_path / sampler, ladder=LADDER, trials=4, sampler=sampler)
        study = optuna.load_study(study_name="search", storage=f"sqlite:///{tmp_path / sampler / 'study.db'}")
        assert study.trials[0].user_attrs.get("probes", {}) == probes
