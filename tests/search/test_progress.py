from __future__ import annotations

import io
import itertools
from pathlib import Path

import pytest
from rich.console import Console

from compressdefect.search.evaluate import TrialResult
from compressdefect.search.ladder import NO_LADDER, Ladder
from compressdefect.search.progress import Bar, SearchState
from compressdefect.search.rungs import Rung
from compressdefect.search.trials import Tally
from compressdefect.search.workers import InProcess, Tell
from tests.search.fakes import FakeTime, run_search

LADDER = Ladder(Rung(10, 0.5, until=0.2))


class Heard:
    """Remembers every state."""

    def __init__(self) -> None:
        self.states: list[SearchState] = []

    def update(self, state: SearchState) -> None:
        self.states.append(state)


def test_a_state_says_all_that_was_promised() -> None:
    state = SearchState(
        Tally(asked=40, infeasible=2, compared=12, finished=12),
        done=12,
        planned=20,
        best_metric=0.987,
        best_netscore=94.15,
        left_s=125,
        doing="training",
    )
    assert state.text == (
        "12 trained of 40 asked · 95.0 % feasible · best 98.7 % (NetScore 94.2) · 2 min 5 s left to train · training"
    )
    assert SearchState().text == "0 trained of 0 asked · 100.0 % feasible · starting"


def test_a_state_says_how_far_the_ladder_is() -> None:
    state = SearchState(Tally(40, 2, 31, 9, 3), on_ladder=True, left_s=270, limit_s=360, doing="ending", share=0.4)
    assert state.text == (
        "40 asked · 38 admitted · 31 compared · 9 climbed · 3 finished · 4 min 30 s left of 6 min 0 s · ending 40%"
    )


@pytest.mark.parametrize("ladder", [LADDER, NO_LADDER], ids=["ladder", "off"])
def test_nothing_that_was_done_is_taken_back(tmp_path: Path, ladder: Ladder) -> None:
    heard = Heard()
    run_search(tmp_path / "run", ladder=ladder, trials=12, seed=1, progress=heard)
    for figures in zip(*((*state.tally, state.done) for state in heard.states), strict=True):
        assert list(figures) == sorted(figures)
    last = heard.states[-1]
    assert last.done == last.planned == (12 + 4 if ladder.top else 12)
    assert last.tally.admitted == 12
    assert last.tally.finished == (4 if ladder.top else last.tally.compared)
    assert last.tally.climbed == (4 if ladder.top else 0)


@pytest.mark.parametrize("ladder", [LADDER, NO_LADDER], ids=["ladder", "off"])
def test_what_is_left_is_left_of_the_whole_command(tmp_path: Path, ladder: Ladder) -> None:
    """What follows the search takes some of it."""
    time, left = FakeTime(mac_s=3e-6), list[tuple[float | None, float]]()
    clock = time.clock(1000.0)

    class Compared:
        def update(self, state: SearchState) -> None:
            assert state.limit_s == 1000.0
            left.append((state.left_s, clock.left_s))

    run_search(
        tmp_path / "run",
        ladder=ladder,
        epochs=10,
        clock=clock,
        reserve=lambda _: 300.0,
        evaluator={"time": time},
        progress=Compared(),
    )
    assert all(told == there for told, there in left)
    assert 200 < left[-1][1] < 500


def test_without_a_limit_what_is_left_is_to_train(tmp_path: Path) -> None:
    heard = Heard()
    run_search(tmp_path / "run", trials=12, seed=1, progress=heard)
    assert heard.states[-1].left_s == 0
    assert all(state.limit_s is None for state in heard.states)


class Patient(InProcess):
    """Has two places, and an answer when it is looked for the third time."""

    size = 2
    looks = 0

    def collect(self, tell: Tell) -> list[tuple[int, TrialResult]]:
        self.looks += 1
        if self.looks % 3:
            tell(0.5)
            return []
        return super().collect(tell)


def test_nothing_is_asked_again_while_nothing_was_finished(tmp_path: Path) -> None:
    """Where one place is free and there is nothing left to start, the last training is what goes on."""
    heard = Heard()
    run_search(
        tmp_path / "run", trials=1, progress=heard, open_workers=lambda evaluator, *_: Patient(evaluator, threads=1)
    )
    doings = [doing for doing, _ in itertools.groupby(state.doing for state in heard.states)]
    assert doings == ["asking", "training", "asking"]


def test_all_that_is_done_has_its_word(tmp_path: Path) -> None:
    time, heard = FakeTime(mac_s=3e-6), Heard()
    run_search(
        tmp_path / "run",
        ladder=LADDER,
        epochs=10,
        seed=1,
        clock=time.clock(1000.0),
        evaluator={"time": time},
        progress=heard,
    )
    words = list(dict.fromkeys(state.doing for state in heard.states))
    assert words == ["timing a few steps", "asking", "comparing", "training to the end"]
    assert all(state.planned is None for state in heard.states)
    assert all(state.left_s is not None for state in heard.states if state.doing == "comparing")


def test_without_a_terminal_there_is_a_line_for_each_trained_design() -> None:
    stream = io.StringIO()
    with Bar(Console(file=stream, width=200)) as bar:
        for done in (0, 0, 1, 1, 2):
            bar.update(SearchState(Tally(asked=3), done=done))
    assert [line.split()[0] for line in stream.getvalue().splitlines()] == ["0", "1", "2"]


def test_without_a_terminal_a_ladder_tells_of_what_begins_and_of_finished_designs() -> None:
    """There would be a line every few seconds for all that it compares."""
    stream, now = io.StringIO(), [0.0]
    with Bar(Console(file=stream, width=200), lambda: now[0]) as bar:
        for compared in range(20):
            for doing in ("asking", "comparing"):
                bar.update(SearchState(Tally(compared, 0, compared), on_ladder=True, done=compared, doing=doing))
            now[0] += 4
        for finished in (0, 1, 2):
            bar.update(SearchState(Tally(20, 0, 20, 5, finished), on_ladder=True, done=20 + finished, doing="ending"))
    told = [line.split(" · ") for line in stream.getvalue().splitlines()]
    assert [(line[2], line[4], line[5]) for line in told] == [
        ("0 compared", "0 finished", "asking"),
        ("0 compared", "0 finished", "comparing"),
        ("8 compared", "0 finished", "asking"),
        ("16 compared", "0 finished", "asking"),
        ("20 compared", "0 finished", "ending"),
        ("20 compared", "1 finished", "ending"),
        ("20 compared", "2 finished", "ending"),
    ]


def test_without_a_terminal_a_long_trial_is_told_of_every_half_minute() -> None:
    stream, now = io.StringIO(), [0.0]
    with Bar(Console(file=stream, width=200), lambda: now[0]) as bar:
        for share in range(10):
            bar.update(SearchState(Tally(asked=1), doing="training", share=share / 10))
            now[0] += 12
    told = [line.rpartition(" ")[2] for line in stream.getvalue().splitlines()]
    assert told == ["0%", "30%", "60%", "90%"]


def test_a_terminal_gets_a_bar() -> None:
    stream = io.StringIO()
    with Bar(Console(file=stream, width=200, force_terminal=True)) as bar:
        bar.update(SearchState(Tally(asked=3), done=2, planned=4))
    assert "2 trained of 3 asked" in stream.getvalue()


def test_a_narrow_terminal_shows_the_line_to_its_end() -> None:
    stream = io.StringIO()
    with Bar(Console(file=stream, width=80, force_terminal=True)) as bar:
        bar.update(SearchState(Tally(140, 2, 131, 19, 3), on_ladder=True, best_metric=0.987, doing="comparing"))
    assert all(word in stream.getvalue() for word in ("asked", "finished", "comparing"))


def test_the_bar_goes_by_time_where_the_number_of_trainings_is_not_known() -> None:
    now = [100.0]
    bar = Bar(Console(file=io.StringIO(), force_terminal=True), lambda: now[0])
    now[0] += 30
    assert bar.extent(SearchState(on_ladder=True, left_s=90)) == (30, 120)
    assert bar.extent(SearchState(on_ladder=True, left_s=90, done=7, planned=20)) == (7, 20)
    assert bar.extent(SearchState(done=7)) == (7, None)
