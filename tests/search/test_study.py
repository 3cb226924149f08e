"""A storage that fails under a search; what searches do with one that works is in ``test_driver``."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import optuna
import pytest
from sqlalchemy import event

from compressdefect.errors import RunError
from compressdefect.search.evaluate import TrialResult
from compressdefect.search.objective import Objective
from compressdefect.search.repair import Admission, admit
from compressdefect.search.study import INTERRUPTED, SearchStudy
from compressdefect.search.trials import Tally
from tests.search.fakes import BUDGETS, FIRST, SPACE, Killed, gate

LONG = 20_000  # more than the pages that there are have room for
CURVE = tuple((step / LONG, 0.5) for step in range(1, LONG, 20))


def opened(folder: Path, name: str = "search") -> SearchStudy:
    storage = f"sqlite:///{folder / 'study.db'}"
    return SearchStudy(storage, name, space=SPACE, objective=Objective(), run="one" * LONG, folder=folder, identity={})


@pytest.fixture
def first() -> Admission:
    return admit(gate(BUDGETS), SPACE.flatten(FIRST))


@pytest.fixture
def study(tmp_path: Path) -> Iterator[SearchStudy]:
    study = opened(tmp_path)
    yield study
    study.close()


@pytest.mark.parametrize("founder", ["another", ""], ids=["founded by another", "founder killed"])
def test_a_study_has_one_founder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, founder: str) -> None:
    """Of two runs that start together: the one that made it, which has not yet said what for."""
    made = optuna.create_study(storage=f"sqlite:///{tmp_path / 'study.db'}", study_name="search", direction="maximize")

    def found(_: float) -> None:
        if founder:
            made.set_user_attr("founder", founder)
            made.set_user_attr("identity", {})

    monkeypatch.setattr("compressdefect.search.study.time.sleep", found)
    with closing(opened(tmp_path)) as study:
        assert (study.worker == 0) == (not founder)


def test_a_study_that_is_being_founded_for_something_else_is_not_shared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = optuna.create_study(storage=f"sqlite:///{tmp_path / 'study.db'}", study_name="search", direction="maximize")

    def found(_: float) -> None:
        made.set_user_attr("founder", "another")
        made.set_user_attr("identity", {"seed": 7})

    monkeypatch.setattr("compressdefect.search.study.time.sleep", found)
    with pytest.raises(RunError, match="differs in its seed: got nothing instead of 7"):
        opened(tmp_path)


@pytest.mark.parametrize(
    ("directions", "trials", "got"),
    [
        (["maximize"], 3, "trials: 3, directions: maximize"),
        (["minimize"], 0, "trials: 0, directions: minimize"),
        (["maximize", "minimize"], 1, "trials: 1, directions: maximize and minimize"),
    ],
)
def test_a_study_that_was_made_by_something_else_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, directions: list[str], trials: int, got: str
) -> None:
    monkeypatch.setattr("compressdefect.search.study.time.sleep", lambda _: pytest.fail("waits for a founder"))
    made = optuna.create_study(storage=f"sqlite:///{tmp_path / 'study.db'}", study_name="search", directions=directions)
    for _ in range(trials):
        made.add_trial(optuna.trial.create_trial(values=[0.5] * len(directions)))
    with pytest.raises(RunError, match=f"was not made by a search like this one: got {got}; choose another --study"):
        opened(tmp_path)
    assert made.user_attrs == {}


def fill_disk(study: SearchStudy) -> None:
    """No page more than there are: SQLite says what it says of a full disk."""

    @event.listens_for(study._storage.engine, "checkout")
    def _(connection: sqlite3.Connection, *_: object) -> None:
        connection.execute("PRAGMA max_page_count=1")


@pytest.mark.parametrize(
    "store",
    [
        lambda study, first: study.start(first, epochs=1),
        lambda study, first: study.finish(0, TrialResult("complete", 1.0, 0.5, epochs=1000, curve=CURVE)),
    ],
    ids=["start", "finish"],
)
def test_a_full_disk_is_one_line(
    study: SearchStudy, first: Admission, store: Callable[[SearchStudy, Admission], object]
) -> None:
    study.start(first, epochs=1000)
    fill_disk(study)
    with pytest.raises(RunError, match=r"the study's storage failed: got .*disk is full; free some space.* --resume"):
        store(study, first)


def test_nothing_is_known_of_a_trial_that_was_killed_as_its_results_were_stored(
    study: SearchStudy, first: Admission, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does not count as compared, and once more when it was repeated."""

    def kill(*_: object) -> None:
        raise Killed

    study.start(first, epochs=0)
    monkeypatch.setattr(study, "_tell", kill)
    with pytest.raises(Killed):
        study.finish(0, TrialResult("compared", 1.0, score=0.7, epochs=3, curve=((1.0, 0.7),), probes={"stage1": 0.1}))
    with closing(opened(tmp_path)) as resumed:
        resumed.interrupt()
        (trial,) = resumed.trials()
    assert (trial.state, trial.reason, trial.folder) == ("interrupted", INTERRUPTED, tmp_path)
    assert (trial.score, trial.epochs, trial.seconds, trial.curve, trial.probes) == (None, None, None, (), {})
    assert Tally.of([trial]).compared == 0


@pytest.mark.parametrize("ask", [SearchStudy.trials, SearchStudy.interrupt, lambda study: study.epochs])
def test_a_storage_that_cannot_be_read_any_more_is_one_line(
    study: SearchStudy, first: Admission, tmp_path: Path, ask: Callable[[SearchStudy], object]
) -> None:
    study.start(first, epochs=1)
    with sqlite3.connect(tmp_path / "study.db") as connection:
        connection.execute("DROP TABLE trials")
    connection.close()
    with pytest.raises(RunError, match=r"the study's storage failed: got .*no such table: trials"):
        ask(study)


def test_a_new_study_in_a_storage_that_cannot_be_written_is_one_line(study: SearchStudy, tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "study.db") as connection:
        connection.execute("CREATE TRIGGER broken BEFORE INSERT ON studies BEGIN SELECT no_function(); END")
    connection.close()
    with pytest.raises(RunError, match=r"storage cannot be opened: got .*no such function: no_function; check"):
        opened(tmp_path, "another")
