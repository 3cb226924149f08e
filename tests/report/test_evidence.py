from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from compressdefect.errors import BundleError, RunError
from compressdefect.report.evidence import Evidence, leaders, read_evidence
from tests.report.fake_run import SIX, make_run


def test_a_search_is_read_whole(search: Evidence) -> None:
    assert len(search.trials) == 80
    assert [score.number for score in search.finished] == sorted(score.number for score in search.finished)
    assert search.trial_zero is not None
    assert search.winner is not None
    assert search.best is not None
    assert search.winner.trial.fingerprint == search.best.design.genotype.fingerprint
    assert (search.classes, search.good) == (("good", "defective"), 0)
    assert search.budgets == {"flops": 100_000_000.0}


def test_the_delivered_design_leads_the_search(search: Evidence) -> None:
    assert leaders(search)[-1] == search.winner


def test_leaders_are_those_that_the_search_named_when_it_had_come_so_far(search: Evidence) -> None:
    done = [score.number for score in search.finished]
    one, two, three, four = done[1:5]

    def led(*numbers: int) -> list[int]:
        return [score.number for score in leaders(replace(search, manifest={"led": numbers}))]

    assert led(0, two, three) == [0, two, three]
    assert led(0, three, one, four) == [0, one, four]
    assert led(0, two, 0) == [0]
    assert led(10**6) == led() == []


def test_the_better_design_that_was_passed_over_is_known(search: Evidence) -> None:
    found, best = search.passed_over, max(search.finished, key=lambda score: score.metric)
    assert found is not None
    assert found.score == best
    assert found.difference == pytest.approx(best.metric - search.winner.metric)
    assert found.standard_error == 0.0123
    nothing = {**search.manifest, "choice": {**search.manifest["choice"], "best": search.winner.number}}
    assert replace(search, manifest=nothing).passed_over is None
    assert replace(search, manifest={}).passed_over is None


def test_trial_zero_is_the_trial_that_repeated_it_after_a_kill(search: Evidence) -> None:
    first, *others = search.trials
    killed = replace(first, state="interrupted", metric=None, netscore=None)
    again = replace(first, number=len(search.trials))
    found = replace(search, trials=(killed, *others, again)).trial_zero
    assert found is not None
    assert (found.number, found.metric) == (len(search.trials), first.metric)


def test_a_stopped_search_has_a_leader_but_nothing_delivered(evidence_of: Callable[..., Evidence]) -> None:
    evidence = evidence_of(delivered=False)
    assert evidence.best is None
    assert evidence.winner == leaders(evidence)[-1]
    assert evidence.winner_title == "leads so far"
    assert evidence.classes == ("good", "defective")


def test_a_training_has_no_trials(evidence_of: Callable[..., Evidence]) -> None:
    evidence = evidence_of(trials=0)
    assert evidence.trials == ()
    assert evidence.winner is None
    assert evidence.best is not None


def test_what_a_trial_is_scored_by_is_said_as_it_counts(search: Evidence) -> None:
    """Of ``escape@overkill`` the score is the share of defects caught, which is higher the better."""
    asked = {"metric": "escape@overkill", "options": {"overkill": 0.02}}
    assert replace(search, manifest=asked).metric_title == "defects caught at 2 % overkill"
    assert replace(search, manifest={"metric": "balanced_accuracy"}).metric_title == "balanced accuracy"


def test_memory_budget_names_its_column(search: Evidence) -> None:
    assert replace(search, manifest={"budgets": {"memory_bytes": 5}}).budgets == {"peak_bytes": 5.0}


def test_peers_and_the_bundles_own_latency_come_once_each(search: Evidence) -> None:
    name = search.best.manifest.name
    assert [(row.model, row.batch) for row in search.latency if row.model == name] == [(name, 1), (name, 10)]
    alone = replace(search, manifest={})
    assert [row.median_ms for row in alone.latency] == [0.512]


@pytest.mark.parametrize(
    "broken", ["{}", '{"names": ["a"], "labels": [0], "probabilities": [[1, 0]], "threshold": 0.5}']
)
def test_damaged_predictions_are_named(tmp_path: Path, broken: str) -> None:
    make_run(tmp_path / "run", classes=SIX, good=None, per_class=2, trials=0, side=8)
    (tmp_path / "run" / "best" / "predictions.json").write_text(broken)
    with pytest.raises(RunError, match=r"best/predictions\.json is damaged"):
        read_evidence(tmp_path / "run")


def test_a_damaged_bundle_is_named(tmp_path: Path) -> None:
    make_run(tmp_path / "run", per_class=2, trials=0, side=8)
    (tmp_path / "run" / "best" / "bundle.json").write_text(json.dumps({"schema_version": 2}))
    with pytest.raises(BundleError, match=r"bundle\.json is wrong"):
        read_evidence(tmp_path / "run")


def test_a_folder_that_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="not a run folder"):
        read_evidence(tmp_path)
