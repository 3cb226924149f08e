from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compressdefect.errors import RunError
from compressdefect.search.trials import COLUMNS, Tally, TrialRecord, TrialTable, read_trials, write_trials

DONE = TrialRecord(
    number=3,
    state="complete",
    fingerprint="0123456789abcdef",
    params=770_000,
    macs=46_500_000,
    flops=93_000_000,
    peak_bytes=1_204_224,
    latency_ms=0.61,
    metric=0.982,
    netscore=94.15,
    epochs=20,
    seconds=12.5,
    repaired=True,
    genotype='{"net":{"stem_width":24}}',
)
REJECTED = replace(
    DONE,
    number=None,
    state="infeasible",
    fingerprint="f" * 16,
    **dict.fromkeys(("latency_ms", "metric", "netscore", "epochs", "seconds"), None),
    reason="flops ≤ 100 M (got 131 M)",
)


def test_the_columns_are_the_agreed_ones() -> None:
    assert ",".join(COLUMNS) == (
        "number,state,fingerprint,params,macs,flops,peak_bytes,latency_ms,metric,netscore,rung,score,"
        "epochs,seconds,repaired,reason,genotype"
    )


def test_a_table_is_read_back(tmp_path: Path) -> None:
    write_trials(tmp_path / "trials.csv", [DONE, REJECTED])
    assert read_trials(tmp_path / "trials.csv") == [DONE, REJECTED]


@given(reason=st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=30), cut=st.integers(1, 60))
def test_a_torn_last_line_is_left_out(tmp_path_factory: pytest.TempPathFactory, reason: str, cut: int) -> None:
    path = tmp_path_factory.mktemp("torn") / "trials.csv"
    write_trials(path, [DONE, replace(REJECTED, reason=" ".join(reason.split()))])
    path.write_bytes(path.read_bytes()[:-cut])
    assert read_trials(path) == [DONE]


def test_a_table_goes_on_after_a_tear(tmp_path: Path) -> None:
    path = tmp_path / "trials.csv"
    write_trials(path, [DONE, REJECTED])
    path.write_bytes(path.read_bytes() + b"7,complete,\xe2\x89")
    table = TrialTable(path)
    table.rewrite([DONE])
    table.reject(replace(REJECTED, fingerprint="e" * 16))
    table.reject(REJECTED)
    assert read_trials(path) == [DONE, REJECTED, replace(REJECTED, fingerprint="e" * 16)]


@pytest.mark.parametrize(
    "content", ["", "a,b\n", ",".join(COLUMNS) + "\n1,2\n", ",".join(COLUMNS) + "\n" + "x," * 14 + "\n"]
)
def test_a_damaged_table_is_an_error(tmp_path: Path, content: str) -> None:
    (tmp_path / "trials.csv").write_text(content)
    with pytest.raises(RunError, match=r"trials\.csv"):
        read_trials(tmp_path / "trials.csv")


def test_designs_are_counted_by_how_far_they_came() -> None:
    compared = replace(DONE, state="compared", metric=None, netscore=None, score=0.6)
    rows = [
        replace(DONE, rung=2, score=0.7, fingerprint="0"),
        replace(compared, fingerprint="1"),
        replace(compared, fingerprint="2", rung=1),
        replace(compared, fingerprint="3", rung=2, state="failed"),
        replace(compared, fingerprint="4", state="failed", score=None),
        replace(compared, fingerprint="5", state="interrupted", score=None),
        replace(compared, fingerprint="5"),
        REJECTED,
    ]
    assert Tally.of(rows) == Tally(asked=7, infeasible=1, compared=5, climbed=3, finished=1)
    assert Tally.of(rows).admitted == 6
    assert Tally.of([DONE, REJECTED]) == Tally(2, 1, compared=1, climbed=0, finished=1)
