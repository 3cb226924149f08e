from __future__ import annotations

import sys
from pathlib import Path

import portfolio
import pytest


def test_an_unknown_dataset_to_leave_out_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    out = tmp_path / "portfolio.json"
    monkeypatch.setattr(sys, "argv", ["portfolio.py", "--without", "neu_dte", "--out", str(out)])
    with pytest.raises(SystemExit) as stopped:
        portfolio.main()
    assert stopped.value.code == 2
    said = capsys.readouterr().err
    assert "--without names no dataset of the table: got neu_dte; did you mean neu_det? known: " in said
    assert not out.exists()


def test_each_design_taken_raises_most_what_the_others_lack() -> None:
    """c has the best mean, and b, with the worst one, adds more to it than a does."""
    ranks = {
        "steel": {"a": 0.9, "b": 0.1, "c": 1.0},
        "plates": {"a": 0.8, "b": 0.2, "c": 1.0},
        "tiles": {"a": 0.1, "b": 0.7},  # c does not fit here
    }
    assert portfolio.cover(ranks, 3) == ["c", "b", "a"]
    ranks["tiles"]["c"] = 0.7
    assert portfolio.cover(ranks, 2) == ["c", "a"]  # nothing is left to gain, so the better mean
    assert portfolio.cover(ranks, 9) == ["c", "a", "b"]
