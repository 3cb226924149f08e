from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest

from compressdefect.errors import InfeasibleError, RunError, TrainingError
from compressdefect.runs import RunFolder
from compressdefect.search.clock import Clock
from compressdefect.search.constraints import Budgets
from compressdefect.search.evaluate import SHORTENED, Evaluator
from compressdefect.search.ladder import NO_LADDER, Ladder
from compressdefect.search.objective import WORST_NETSCORE, Objective
from compressdefect.search.plan import DEFAULT_EPOCHS
from compressdefect.search.repair import admit
from compressdefect.search.rungs import Rung
from compressdefect.search.samplers import SAMPLERS
from compressdefect.search.study import SearchStudy
from compressdefect.search.trials import TrialRecord, read_trials
from compressdefect.search.workers import InProcess
from compressdefect.space.domain import IntDomain
from compressdefect.space.genotype import Genotype
from compressdefect.space.space import Condition, Space
from tests.search.fakes import (
    BUDGETS,
    FIRST,
    IMPATIENT,
    SPACE,
    FakeTime,
    Killed,
    fake_latency,
    gate,
    run_search,
    without_numbers,
)

pytest.importorskip("nni")


def evaluated(folder: Path) -> list[str]:
    return [line.split()[0] for line in (folder / "log").read_text().splitlines()]


@pytest.mark.parametrize(
    ("sampler", "kind"),
    [
        *((name, "netscore") for name in SAMPLERS),
        *((name, "pareto") for name in ("tpe", "nsga2", "surrogate", "generative")),
    ],
)
def test_a_killed_search_goes_on_as_the_unbroken_one(tmp_path: Path, sampler: str, kind: str) -> None:
    config: dict[str, Any] = {"sampler": sampler, "trials": 13, "epochs": 3, "seed": 5, "objective": Objective(kind)}
    unbroken = run_search(tmp_path / "unbroken", **config)
    for kill_at in (1, 13):
        with pytest.raises(Killed):
            run_search(tmp_path / "killed", resume=kill_at > 1, evaluator={"kill_at": kill_at}, **config)
    outcome = run_search(tmp_path / "killed", resume=True, **config)
    assert without_numbers(outcome) == without_numbers(unbroken)
    assert outcome.infeasible == unbroken.infeasible
    assert outcome.trained == unbroken.trained == 13
    repeated = Counter(evaluated(tmp_path / "killed"))
    assert sum(count - 1 for count in repeated.values()) == 2


@pytest.mark.long
def test_kill_9_at_any_moment_loses_nothing_that_was_finished(tmp_path: Path) -> None:
    unbroken = run_search(tmp_path / "unbroken", trials=25, seed=3)
    command = [sys.executable, "-m", "tests.search.search_process", str(tmp_path / "killed"), "25", "3"]
    moments = random.Random(0)
    finished: dict[str, float | None] = {}
    for kill in range(5):
        process = subprocess.Popen(command, cwd=Path(__file__).parents[2])
        log, before = tmp_path / "killed" / "log", 0 if kill == 0 else len(evaluated(tmp_path / "killed"))
        while process.poll() is None and (not log.exists() or len(evaluated(tmp_path / "killed")) < before + 3):
            time.sleep(0.05)
        time.sleep(moments.uniform(0, 0.8))
        process.kill()
        process.wait()
        now = {row.fingerprint: row.metric for row in finished_rows(tmp_path / "killed")}
        assert finished.items() <= now.items()
        finished = now
    outcome = run_search(tmp_path / "killed", resume=True, trials=25, seed=3)
    assert without_numbers(outcome) == without_numbers(unbroken)
    assert len(evaluated(tmp_path / "killed")) <= 25 + 5


def finished_rows(folder: Path) -> list[TrialRecord]:
    return [row for row in read_trials(folder / "trials.csv") if row.state in ("complete", "pruned")]


def test_trials_without_a_time_limit_make_the_steps_that_a_judgement_needs_too(tmp_path: Path) -> None:
    run_search(tmp_path / "few", trials=2, epochs=None, least_epochs=50)
    run_search(tmp_path / "many", trials=2, epochs=None, least_epochs=3)
    run_search(tmp_path / "asked", trials=2, epochs=2, least_epochs=50)
    trained = [(tmp_path / name / "log").read_text().split()[2] for name in ("few", "many", "asked")]
    assert trained == ["50", str(DEFAULT_EPOCHS), "2"]


def test_trial_zero_is_the_named_design_and_the_budgets_hold(tmp_path: Path) -> None:
    outcome = run_search(tmp_path / "run", budgets=Budgets(macs=30_000_000), trials=8)
    assert outcome.trials[0].fingerprint == FIRST.fingerprint
    assert all(trial.macs <= 30_000_000 for trial in outcome.trials)
    assert outcome.baseline == outcome.trials[0]
    assert outcome.ended == "as many as were wanted"


def test_the_winner_is_the_cheapest_that_the_images_cannot_tell_from_the_best(tmp_path: Path) -> None:
    outcome = run_search(tmp_path / "run", budgets=Budgets(), trials=6, sampler="random", evaluator={"images": 400})
    finished = {trial.number: trial for trial in outcome.trials if trial.state == "complete"}
    assert outcome.choice is not None
    assert outcome.winner is not None
    assert outcome.choice.competed == len(finished) > 4
    assert outcome.passed_over == outcome.baseline is not None
    assert outcome.passed_over.metric == max(trial.metric or 0 for trial in finished.values())
    assert 0 < (outcome.passed_over.metric or 0) - (outcome.winner.metric or 0) <= 0.01
    assert (outcome.winner.netscore or 0) > (outcome.passed_over.netscore or 0)
    manifest = RunFolder.open(tmp_path / "run").manifest
    assert manifest["choice"] == outcome.choice.to_json()
    assert manifest["led"][0] == 0
    assert manifest["led"][-1] == outcome.winner.number
    kept = {path.stem for path in (tmp_path / "run" / "validation").iterdir()}
    assert kept == {trial.fingerprint for trial in finished.values()}


def test_without_answers_the_best_metric_wins(tmp_path: Path) -> None:
    outcome = run_search(tmp_path / "run", trials=6)
    assert outcome.winner is not None
    assert outcome.winner.metric == max(trial.metric or 0 for trial in outcome.trials)
    assert outcome.passed_over is None


def test_a_search_in_which_every_design_scores_0_has_a_winner_with_a_number(tmp_path: Path) -> None:
    outcome = run_search(tmp_path / "run", trials=3, evaluator={"blind": True})
    assert outcome.winner is not None
    assert (outcome.winner.metric, outcome.winner.netscore) == (0.0, WORST_NETSCORE)
    RunFolder.open(tmp_path / "run").update_manifest(netscore=outcome.winner.netscore)
    assert [row.netscore for row in read_trials(tmp_path / "run" / "trials.csv")] == [WORST_NETSCORE] * 3


def test_a_search_that_is_gone_on_with_compares_the_answers_of_both_parts(tmp_path: Path) -> None:
    run_search(tmp_path / "run", trials=4, evaluator={"images": 50})
    outcome = run_search(tmp_path / "run", trials=7, resume=True, evaluator={"images": 50})
    assert outcome.choice is not None
    assert outcome.choice.competed == sum(trial.state == "complete" for trial in outcome.trials) > 4


def test_only_trials_with_answers_on_the_same_images_compete(tmp_path: Path) -> None:
    """Of two runs that share a storage the other's folder may be out of reach, and so may be some files.

    After one epoch none is stopped early, whatever the second run draws.
    """
    config: dict[str, Any] = {
        "storage": f"sqlite:///{tmp_path / 'shared.db'}",
        "epochs": 1,
        "evaluator": {"images": 50},
    }
    one = run_search(tmp_path / "one", trials=3, **config)
    both = run_search(tmp_path / "two", trials=5, **config)
    assert one.choice is not None
    assert both.choice is not None
    assert (one.choice.competed, both.choice.competed) == (3, 5)
    shutil.rmtree(tmp_path / "one")
    alone = run_search(tmp_path / "two", trials=5, resume=True, **config)
    assert alone.choice is not None
    assert alone.choice.competed == 2
    assert alone.choice.winner in (3, 4)
    assert (one.choice.left_out, both.choice.left_out, alone.choice.left_out) == ((), (), (0, 1, 2))
    assert RunFolder.open(tmp_path / "two").manifest["choice"]["left_out"] == [0, 1, 2]


def test_trial_zero_is_tried_at_a_half_and_a_quarter_of_its_macs_before_anything_else(tmp_path: Path) -> None:
    first, half, quarter, *_ = run_search(tmp_path / "run", trials=4).trials
    for trial, share in ((half, 0.5), (quarter, 0.25)):
        assert 0.5 * share * first.macs < trial.macs <= share * first.macs
        different = {name for name, value in trial.flat.items() if value != first.flat[name]}
        assert different <= set(SPACE.widths)


def test_a_start_that_cannot_shrink_is_left_out(tmp_path: Path) -> None:
    smallest = replace(SPACE, parameters=tuple(replace(p, role=None) for p in SPACE.parameters))
    outcome = run_search(tmp_path / "run", trials=4, space=smallest)
    assert outcome.trained == 4


def test_the_tables_say_what_the_study_says(tmp_path: Path) -> None:
    outcome = run_search(tmp_path / "run", budgets=Budgets(macs=1_500_000), trials=10, sampler="random")
    rows = read_trials(tmp_path / "run" / "trials.csv")
    assert outcome.infeasible
    assert len(rows) == len(outcome.trials) + len(outcome.infeasible) == outcome.asked
    assert [row.fingerprint for row in rows[:10]] == [trial.fingerprint for trial in outcome.trials]
    assert all(row.number is None and "macs ≤ 1.50 M" in row.reason for row in rows[10:])
    front = read_trials(tmp_path / "run" / "pareto.csv")
    assert [row.number for row in front] == [trial.number for trial in outcome.front]


def test_every_row_of_the_table_has_the_cost_of_its_own_design(tmp_path: Path) -> None:
    """Also where a design was repaired to one budget and then missed another."""
    budgets = Budgets(macs=2_000_000, latency_ms=0.125)
    run_search(tmp_path / "run", budgets=budgets, latency=fake_latency, trials=5, sampler="random")
    rows = read_trials(tmp_path / "run" / "trials.csv")
    assert {row.state for row in rows} >= {"complete", "infeasible"}
    assert any("after repair: latency" in row.reason for row in rows)
    for row in rows:
        design = Genotype.from_json(json.loads(row.genotype))
        cost = gate(budgets, latency=fake_latency).cheap(design).cost
        assert (row.fingerprint, row.macs, row.params) == (design.fingerprint, cost.macs, cost.params)
        assert row.latency_ms is None or row.latency_ms == fake_latency(design)
        assert (row.state == "infeasible") == bool(row.reason)


def test_optuna_opens_the_study(tmp_path: Path) -> None:
    run_search(tmp_path / "run", trials=5, objective=Objective("pareto"))
    study = optuna.load_study(study_name="search", storage=f"sqlite:///{tmp_path}/run/study.db")
    assert len(study.trials) == 5
    assert study.best_trials
    trial = study.trials[0]
    assert set(trial.params) == set(SPACE.dimensions)
    assert {"genotype", "fingerprint", "macs", "metric", "netscore", "seconds", "curve"} <= set(trial.user_attrs)
    assert trial.constraints["macs"] <= 0


def test_a_design_is_not_trained_twice(tmp_path: Path) -> None:
    small = replace(
        SPACE,
        parameters=tuple(replace(p, domain=IntDomain(1, 2)) for p in SPACE.parameters if p.name == "depth")
        + tuple(p for p in SPACE.parameters if p.name == "columns"),
        stages=1,
        column_count=None,
        fixed={"net": {"operator": "aads", "stem_width": 8}, "stage": {"width": 8, "lower": "exit"}},
        designs={},
    )
    outcome = run_search(tmp_path / "run", space=small, trials=50, budgets=Budgets())
    assert small.size == 6
    assert len(outcome.trials) == 6
    assert outcome.ended == "no further feasible design was found"
    assert max(Counter(evaluated(tmp_path / "run")).values()) == 1


def test_poor_trials_are_stopped_in_both_objectives(tmp_path: Path) -> None:
    for kind in ("netscore", "pareto"):
        outcome = run_search(tmp_path / kind, trials=20, objective=Objective(kind), epochs=10, sampler="random")
        states = Counter(trial.state for trial in outcome.trials)
        assert states["pruned"] >= 1
        assert states["pruned"] + states["complete"] == 20
        pruned = [trial for trial in outcome.trials if trial.state == "pruned"]
        assert all(trial.epochs is not None and trial.epochs < 10 and trial.metric is None for trial in pruned)


def test_ctrl_c_leaves_a_valid_run_that_goes_on(tmp_path: Path) -> None:
    config: dict[str, Any] = {"trials": 8, "seed": 1}
    unbroken = run_search(tmp_path / "unbroken", **config)
    stopped = run_search(tmp_path / "run", evaluator={"interrupt_at": 4}, **config)
    assert stopped.status == "stopped"
    assert stopped.winner is not None
    assert [trial.state for trial in stopped.trials] == ["complete"] * 3 + ["interrupted"]
    assert [row.state for row in read_trials(tmp_path / "run" / "trials.csv")][:4] == ["complete"] * 3 + ["interrupted"]
    outcome = run_search(tmp_path / "run", resume=True, **config)
    assert outcome.status == "complete"
    assert without_numbers(outcome) == without_numbers(unbroken)


def test_failing_trials_do_not_end_the_search_unless_all_fail(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"the first 5 trials all failed.*loss of nan"):
        run_search(tmp_path / "run", trials=9, evaluator={"fails": True})
    rows = read_trials(tmp_path / "run" / "trials.csv")
    assert [row.state for row in rows if row.number is not None] == ["failed"] * 5
    outcome = run_search(tmp_path / "run", trials=9, resume=True)
    assert Counter(trial.state for trial in outcome.trials)["failed"] == 5
    assert outcome.trained == 9


def test_the_time_limit_is_kept_and_counts_earlier_processes(tmp_path: Path) -> None:
    time = FakeTime()
    options: dict[str, Any] = {"epochs": None, "evaluator": {"time": time}, "reserve": lambda epoch_s: 20.0}
    outcome = run_search(tmp_path / "run", clock=time.clock(100.0), **options)
    assert outcome.ended == "the time is used"
    assert {trial.epochs for trial in outcome.trials if trial.state == "complete"} == {outcome.plan.epochs}
    assert 60 < time.now <= 80
    manifest = RunFolder.open(tmp_path / "run").manifest
    assert manifest["elapsed_s"] == time.now
    again = run_search(tmp_path / "run", clock=time.clock(100.0, manifest["elapsed_s"]), resume=True, **options)
    assert (again.trained, time.now) == (outcome.trained, manifest["elapsed_s"])
    assert len(evaluated(tmp_path / "run")) == outcome.trained, "nothing is trained to be thrown away"


def test_a_machine_that_becomes_busy_does_not_break_the_time_limit(tmp_path: Path) -> None:
    """The trial that is in training then is shortened, and no further one is started that cannot end in time."""
    time = FakeTime(busy_from=40.0, slower=8.0)
    outcome = run_search(
        tmp_path / "run",
        clock=time.clock(100.0),
        epochs=None,
        evaluator={"time": time},
        reserve=lambda epoch_s: 20.0,
    )
    (slowest,) = {trial.macs for trial in outcome.trials[:1]}
    assert time.now <= 80 + 8 * 1e-7 * slowest
    assert [trial.reason for trial in outcome.trials[:3]] == [""] * 3
    assert outcome.winner is not None


def test_trial_zero_ends_in_time_with_a_result(tmp_path: Path) -> None:
    """However slow the machine is: it is trained for less, and nothing else is."""
    time = FakeTime(mac_s=1e-5)
    outcome = run_search(
        tmp_path / "run",
        clock=time.clock(100.0),
        epochs=None,
        least_epochs=30,
        evaluator={"time": time},
        reserve=lambda epoch_s: 20.0,
    )
    (only,) = outcome.trials
    assert (only.state, only.reason) == ("complete", SHORTENED)
    assert time.now <= 80 + 1e-5 * only.macs
    assert outcome.winner == only


@pytest.mark.parametrize(("waiting", "asked", "found"), [(8.0, None, "1"), (0.6, None, "None"), (8.0, 2, "None")])
def test_a_busy_machine_trains_with_one_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, waiting: float, asked: int | None, found: str
) -> None:
    """Unless the threads are asked for, and only where a time limit makes it time anything at all."""
    monkeypatch.setattr("os.cpu_count", lambda: 4)
    time = FakeTime()
    outcome = run_search(
        tmp_path / "run",
        clock=time.clock(100.0),
        trials=2,
        threads=asked,
        evaluator={"time": time, "waiting": waiting},
    )
    assert {line.split()[3] for line in (tmp_path / "run" / "log").read_text().splitlines()} == {found}
    assert outcome.plan.busy == (waiting > 1), "which is for the final training, where threads are asked for of trials"
    run_search(tmp_path / "untimed", trials=1, evaluator={"waiting": waiting})
    assert (tmp_path / "untimed" / "log").read_text().split()[3] == "None"


def test_threads_that_are_asked_for_are_timed_however_slow_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many as there are cores, on a machine so busy that the comparison with one thread gave up."""
    monkeypatch.setattr("os.cpu_count", lambda: 4)
    time = FakeTime()
    outcome = run_search(
        tmp_path / "run",
        budgets=Budgets(),
        clock=time.clock(100.0),
        trials=1,
        threads=4,
        evaluator={"time": time, "waiting": 2.0 * IMPATIENT},
    )
    assert outcome.plan.epoch_s == pytest.approx(2.0 * IMPATIENT * time.epoch_s(FIRST))
    assert outcome.trained == 1


def test_trial_zero_gets_some_time_when_there_is_none_left(tmp_path: Path) -> None:
    time = FakeTime(now=5.0)
    outcome = run_search(tmp_path / "run", clock=time.clock(100.0, 95.0), epochs=None, evaluator={"time": time})
    assert [trial.state for trial in outcome.trials] == ["complete"]


@pytest.mark.parametrize("ladder", [NO_LADDER, Ladder(Rung(10, 0.5, until=0.2))], ids=["off", "ladder"])
def test_a_search_without_a_time_limit_ends_when_it_goes_on_with_one(tmp_path: Path, ladder: Ladder) -> None:
    """Also where no training was finished by which it could tell how long others take."""
    time, given = FakeTime(mac_s=1e-5), {"ladder": ladder, "trials": 3, "epochs": 20}
    kill_at = 4 if ladder.top else 1  # in the first training to the end
    with pytest.raises(Killed):
        run_search(tmp_path / "run", evaluator={"time": time, "kill_at": kill_at}, **given)
    clock = time.clock(100.0, spent_s=99.0)
    outcome = run_search(
        tmp_path / "run", resume=True, clock=clock, evaluator={"time": time, "kill_at": kill_at + 9}, **given
    )
    assert outcome.ended == "the time is used"
    assert outcome.plan.epochs == 20 or ladder.top
    assert outcome.plan.epoch_s == pytest.approx(time.epoch_s(outcome.trials[0].design))


def test_cheap_designs_are_asked_while_there_is_time_for_them(tmp_path: Path) -> None:
    """Trial 0's half and quarter take half and a quarter of its time: the time of trial 0 is not needed for them."""
    time = FakeTime()
    first_s = 10 * time.epoch_s(FIRST)
    outcome = run_search(
        tmp_path / "run",
        budgets=Budgets(),
        clock=time.clock(1.95 * first_s),
        epochs=10,
        least_epochs=10,
        evaluator={"time": time},
    )
    assert len(outcome.trials) >= 3
    assert all(trial.reason != SHORTENED for trial in outcome.trials)
    assert time.now <= 1.95 * first_s


def test_a_budget_out_of_reach_names_the_constraint(tmp_path: Path) -> None:
    with pytest.raises(InfeasibleError, match=r"flops ≤ 1.00 k: got 639\.1 k at the smallest"):
        run_search(tmp_path / "run", budgets=Budgets(flops=1000), trials=3)


def test_a_latency_budget_holds_for_every_trial(tmp_path: Path) -> None:
    outcome = run_search(
        tmp_path / "run",
        budgets=Budgets(latency_ms=0.2),
        latency=fake_latency,
        trials=8,
        objective=Objective("pareto", axis="latency_ms"),
    )
    assert all(trial.latency_ms is not None and trial.latency_ms <= 0.2 for trial in outcome.trials)


@pytest.mark.parametrize("change", [{"seed": 2}, {"sampler": "nsga2"}, {"budgets": Budgets(macs=9_000_000)}])
def test_a_resumed_search_stays_the_same_search(tmp_path: Path, change: dict[str, Any]) -> None:
    run_search(tmp_path / "run", trials=2)
    with pytest.raises(RunError, match="a resumed search must keep its"):
        run_search(tmp_path / "run", resume=True, **{"trials": 3, **change})


def edited(**changes: Any) -> Space:
    """The space with its first parameter, width, changed, or something else."""
    if "parameter" in changes:
        first = replace(SPACE.parameters[3], **changes["parameter"])
        return replace(SPACE, parameters=(*SPACE.parameters[:3], first, *SPACE.parameters[4:]))
    return replace(SPACE, **changes)


CHANGES = {
    "fixed genes": ({"space": edited(fixed={"net": {"operator": "aads", "padding": "zero"}}, designs={})}, "padding"),
    "parameters": ({"space": edited(parameter={"role": "repair"})}, "width"),
    "parameters ": ({"space": edited(parameter={"when": Condition("columns", (1, 2, 3))})}, "when columns is"),
    "parameters  ": ({"space": edited(parameter={"domain": IntDomain(8, 56, 8)}, designs={})}, "width"),
    "stages": ({"space": edited(stages=3, designs={})}, "instead of"),
    "rules": ({"space": edited(rules={"aads_only": True})}, "no_strided_pointwise"),
    "named designs": ({"space": edited(designs={"first": FIRST, "second": FIRST})}, "second"),
    "recipe": ({"recipe": {"augment": "paper", "batch_size": 16}}, "got augment "),
}


@pytest.mark.parametrize("key", CHANGES)
def test_a_search_in_an_edited_space_or_by_another_recipe_is_another_search(tmp_path: Path, key: str) -> None:
    """It neither resumes the run nor joins its study, and the one line names what differs, alone."""
    change, named = CHANGES[key]
    storage = f"sqlite:///{tmp_path / 'shared.db'}"
    config: dict[str, Any] = {"storage": storage, "recipe": {"augment": "standard", "batch_size": 16}}
    run_search(tmp_path / "run", trials=1, **config)
    for folder, resume, said in (("run", True, "a resumed search must keep its"), ("two", False, "differs in its")):
        with pytest.raises(RunError, match=f"{said} {key.strip()}: got ") as error:
            run_search(tmp_path / folder, resume=resume, **{"trials": 2, **config, **change})
        assert error.value.exit_code == 2
        assert named in str(error.value)
        assert "batch_size" not in str(error.value)


def test_a_storage_that_cannot_be_opened_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="the study's storage cannot be opened"):
        run_search(tmp_path / "run", trials=2, storage="sqlite:////nonexistent/folder/study.db")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"seed": 2}, "seed: got 2 instead of 0"),
        ({"data": "other"}, "data: got other instead of "),
        ({"budgets": Budgets(macs=9_000_000)}, "budgets: got macs 9000000 instead of 8000000"),
    ],
    ids=["seed", "data", "budgets"],
)
def test_a_study_is_not_shared_with_another_search(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    storage = f"sqlite:///{tmp_path / 'shared.db'}"
    run_search(tmp_path / "one", trials=2, storage=storage)
    with pytest.raises(RunError, match=f"the study search in the storage differs in its {said}"):
        run_search(tmp_path / "two", trials=2, storage=storage, **change)
    again = run_search(tmp_path / "three", trials=3, storage=storage)
    assert again.trained == 3


def test_runs_that_share_a_study_train_no_design_twice(tmp_path: Path) -> None:
    """They begin together, so both ask for trial 0; each ends when the study has enough."""
    storage = f"sqlite:///{tmp_path / 'shared.db'}"
    optuna.storages.RDBStorage(storage)
    config: dict[str, Any] = {"storage": storage, "trials": 8, "evaluator": {"sleep_s": 0.05}}
    with ThreadPoolExecutor(2) as pool:
        runs = [pool.submit(run_search, tmp_path / name, **config) for name in ("one", "two")]
        found = [run.result() for run in runs]
    trained = [*evaluated(tmp_path / "one"), *evaluated(tmp_path / "two")]
    assert max(Counter(trained).values()) == 1
    assert 8 <= len(trained) <= 9
    assert {outcome.baseline.fingerprint for outcome in found if outcome.baseline} == {found[0].trials[0].fingerprint}


def test_a_run_that_joins_a_study_draws_other_seeds_than_who_made_it(tmp_path: Path) -> None:
    """From the same three trials on; who made it draws what it would have drawn alone."""
    config: dict[str, Any] = {"sampler": "random", "trials": 4}
    alone = run_search(tmp_path / "alone", **config)
    run_search(tmp_path / "one", **{**config, "trials": 3}, storage=f"sqlite:///{tmp_path / 'one.db'}")
    fourth = {}
    for name in ("two", "three"):
        shutil.copy(tmp_path / "one.db", tmp_path / f"{name}.db")
        fourth[name] = run_search(tmp_path / name, storage=f"sqlite:///{tmp_path / name}.db", **config).trials[3]
    again = run_search(tmp_path / "one", storage=f"sqlite:///{tmp_path / 'one.db'}", resume=True, **config)
    assert again.trials[3].fingerprint == alone.trials[3].fingerprint
    assert len({trial.fingerprint for trial in (*fourth.values(), again.trials[3])}) == 3


def test_all_who_share_a_study_train_as_long_as_its_first_trial(tmp_path: Path) -> None:
    config: dict[str, Any] = {"storage": f"sqlite:///{tmp_path / 'shared.db'}"}
    run_search(tmp_path / "one", trials=2, epochs=3, **config)
    joined = run_search(tmp_path / "two", trials=4, epochs=None, clock=Clock(30.0), **config)
    assert [trial.epochs_planned for trial in joined.trials] == [3] * 4
    assert RunFolder.open(tmp_path / "two").manifest["plan"]["epochs"] == joined.plan.epochs == 3
    with pytest.raises(RunError, match="trains each design for 3 epochs: got --epochs 5; leave it out, or choose"):
        run_search(tmp_path / "three", trials=5, epochs=5, **config)


def test_who_is_second_withdraws(tmp_path: Path) -> None:
    """A design, or epochs other than those of the first trial of all."""
    fits = gate(BUDGETS)
    first, other = (admit(fits, flat) for flat in (SPACE.flatten(FIRST), SPACE.sample(random.Random(1))))
    one, two = (
        SearchStudy(
            f"sqlite:///{tmp_path / 'shared.db'}",
            "search",
            space=SPACE,
            objective=Objective(),
            run=name,
            folder=tmp_path / name,
            identity={},
        )
        for name in ("one", "two")
    )
    assert one.start(first, epochs=3) == 0
    assert two.start(first, epochs=3) is None
    assert two.start(other, epochs=4) is None
    assert two.start(other, epochs=3) == 3
    assert [trial.state for trial in one.trials()] == ["running", "interrupted", "interrupted", "running"]
    assert (one.epochs, two.epochs) == (3, 3)
    one.interrupt()
    assert two.start(first, epochs=3) == 4
    one.close()
    two.close()


def test_a_smaller_start_over_the_latency_budget_is_counted(tmp_path: Path) -> None:
    def slow_when_small(genotype: Genotype) -> float:
        return 0.1 if genotype.fingerprint == FIRST.fingerprint else 0.3

    outcome = run_search(tmp_path / "run", budgets=Budgets(latency_ms=0.2), latency=slow_when_small, trials=2)
    assert outcome.trained == 1
    assert outcome.infeasible[0].macs <= 0.5 * outcome.trials[0].macs


def test_workers_are_let_go_of_when_the_storage_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where it fails before the first trial."""
    closed: list[int] = []

    class Elsewhere(InProcess):
        def close(self) -> None:
            closed.append(self.size)

    def elsewhere(evaluator: Evaluator, count: int, threads: int | None, run: Path) -> Elsewhere:
        def fail(study: SearchStudy) -> None:
            raise RunError("the study's storage failed")

        monkeypatch.setattr(SearchStudy, "trials", fail)
        return Elsewhere(evaluator, threads or 1)

    with pytest.raises(RunError, match="storage failed"):
        run_search(tmp_path / "run", trials=1, open_workers=elsewhere)
    assert closed == [1]


def test_two_workers_share_a_search(tmp_path: Path) -> None:
    outcome = run_search(tmp_path / "run", trials=6, workers=2, threads=1, evaluator={"sleep_s": 0.05})
    assert outcome.trained == 6
    assert len({trial.fingerprint for trial in outcome.trials}) == 6
    again = run_search(tmp_path / "run", trials=6, workers=1, resume=True)
    assert again.trained == 6
