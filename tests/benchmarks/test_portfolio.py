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
