from __future__ import annotations

import io

from rich.console import Console

from compressdefect.search.progress import Bar, SearchState


def test_a_state_says_all_that_was_promised() -> None:
    state = SearchState(
        asked=40,
        infeasible=2,
        done=12,
        planned=20,
        best_metric=0.987,
        best_netscore=94.15,
        left_s=125,
        doing="training",
    )
    assert state.text == (
        "12 trained of 40 asked · 95.0 % feasible · best 98.7 % (NetScore 94.2) · 2 min 5 s left · training"
    )
    assert SearchState().text == "0 trained of 0 asked · 100.0 % feasible · starting"


def test_without_a_terminal_there_is_a_line_for_each_trained_design() -> None:
    stream = io.StringIO()
    with Bar(Console(file=stream, width=200)) as bar:
        for done in (0, 0, 1, 1, 2):
            bar.update(SearchState(asked=3, done=done))
    assert [line.split()[0] for line in stream.getvalue().splitlines()] == ["0", "1", "2"]


def test_without_a_terminal_a_long_trial_is_told_of_every_half_minute() -> None:
    stream, now = io.StringIO(), [0.0]
    with Bar(Console(file=stream, width=200), lambda: now[0]) as bar:
        for share in range(10):
            bar.update(SearchState(asked=1, doing="training", share=share / 10))
            now[0] += 12
    told = [line.rpartition(" ")[2] for line in stream.getvalue().splitlines()]
    assert told == ["0%", "30%", "60%", "90%"]


def test_a_terminal_gets_a_bar() -> None:
    stream = io.StringIO()
    with Bar(Console(file=stream, width=200, force_terminal=True)) as bar:
        bar.update(SearchState(asked=3, done=2, planned=4))
    assert "2 trained of 3 asked" in stream.getvalue()
