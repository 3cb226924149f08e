from __future__ import annotations

import argparse
import contextlib
import signal
import sys
from pathlib import Path

import kill_resume
import pytest


@pytest.mark.parametrize(
    ("search", "rows", "kills", "said"),
    [
        (
            "time.sleep(60)",
            [("a design",)],
            1,
            "ok   kill 1 hit the search (it ended with -9)\nok   kill 1 lost nothing",
        ),
        ("sys.exit(0)", [], 0, "kill 1 came too late: the search was over"),
        ("sys.exit(2)", [], None, "FAIL kill 1 hit the search (it ended with 2)"),
        (f"os.kill(os.getpid(), {int(signal.SIGABRT)})", [], None, "FAIL kill 1 hit the search (it ended with -6)"),
    ],
)
def test_only_a_search_that_was_killed_counts(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    search: str,
    rows: list[kill_resume.Row],
    kills: int | None,
    said: str,
) -> None:
    """Each stands for a search; those without rows end by themselves before they are killed."""
    monkeypatch.setattr(kill_resume, "command", lambda *_: [sys.executable, "-c", f"import os, sys, time; {search}"])
    monkeypatch.setattr(kill_resume.random.Random, "uniform", lambda *_: 0.0)
    monkeypatch.setattr(kill_resume, "finished", lambda _: rows)
    found = None
    with contextlib.suppress(SystemExit):
        found = kill_resume.kill_often(argparse.Namespace(kills=1, seed=0), tmp_path, every=1)
    assert found == kills
    assert said in capsys.readouterr().out
