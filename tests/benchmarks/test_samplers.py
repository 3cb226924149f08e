from __future__ import annotations

import sys

import pytest
import samplers
from samplers import groups_of, interval, row
from simulated_search import PROPOSERS, Result, Setting

from compressdefect.errors import MissingExtraError
from tests.benchmarks.answers import answer


@pytest.mark.parametrize(
    ("option", "given", "said"),
    [
        ("--samplers", "random,tep", "--samplers names what is not known: got tep; did you mean tpe"),
        ("--datasets", "neu_dte", "--datasets names what is not known: got neu_dte; did you mean neu_det? known: "),
    ],
)
def test_an_unknown_name_is_refused_in_one_line(
    option: str, given: str, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["samplers.py", option, given])
    with pytest.raises(SystemExit) as stopped:
        samplers.main()
    assert stopped.value.code == 2
    assert said in capsys.readouterr().err


def test_a_sampler_whose_package_is_missing_is_refused_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def missing(_: object) -> None:
        raise MissingExtraError("nni", "nni")

    monkeypatch.setitem(PROPOSERS, "nni:tpe", missing)
    monkeypatch.setattr(sys, "argv", ["samplers.py", "--samplers", "random,nni:tpe"])
    with pytest.raises(SystemExit) as stopped:
        samplers.main()
    assert stopped.value.code == 2
    assert "nni is needed for this: got not installed" in capsys.readouterr().err


def test_the_default_needs_no_extra() -> None:
    assert {"random", "surrogate", "generative"} < set(samplers.OWN) < set(PROPOSERS)
    assert not any(name.startswith("nni") for name in samplers.OWN)


def test_regret_is_in_netscore_and_steep_below_a_point() -> None:
    """The winner's macs are those of the ideal design times 10, which is 10 in NetScore, and it is 3 points worse."""
    winner, ideal = answer("found", 1000, metric=0.90), answer("ideal", 100, metric=0.90)
    found = row(Result("steel", Setting("random"), 0, 96_000, 40, winner), ideal, best=0.93)
    assert found["regret"] == pytest.approx(10 + samplers.STEEP * 2)
    assert found["regret_netscore"] == pytest.approx(10)
    assert found["regret_points"] == pytest.approx(3)
    near = row(Result("steel", Setting("random"), 0, 96_000, 40, ideal), ideal, best=0.905)
    assert near["regret"] == 0


def test_an_interval_is_around_the_mean() -> None:
    assert interval([2.0, 2.0, 2.0]) == (2, 2, 2)
    mean, low, high = interval([0.0, 1.0, 2.0, 3.0])
    assert mean == 1.5
    assert 0 <= low < mean < high <= 3


@pytest.mark.parametrize("rules", [True, False])
def test_settings_that_share_a_walk_ask_for_the_same_designs(rules: bool) -> None:
    groups = groups_of(["random", "tpe"], "metric", rules=rules)
    names = [setting.name for group in groups for setting in group]
    assert len(set(names)) == len(names)
    for group in groups:
        assert len({setting._replace(rule="") for setting in group}) == 1
