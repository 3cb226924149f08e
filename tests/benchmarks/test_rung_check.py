from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import rung_check
from rung_check import Training, run, show, stored
from table_designs import BUDGET, gate_of, starts

from compressdefect.errors import RunError
from compressdefect.search.evaluate import TrialJob, TrialResult
from compressdefect.search.gate import Verdict
from compressdefect.search.ladder import LADDER


class Workers:
    """Answers every job at once: 0.5 after a short training, 0.9 after a whole one."""

    def __init__(self, *_: object) -> None:
        self.asked: list[tuple[int, TrialJob]] = []

    def submit(self, number: int, job: TrialJob) -> None:
        self.asked.append((number, job))

    def collect(self, tell: Callable[[float], None]) -> list[tuple[int, TrialResult]]:
        asked, self.asked = self.asked, []
        whole, short = TrialResult("complete", 1.0, metric=0.9), TrialResult("compared", 1.0, score=0.5)
        return [(number, short if job.rung else whole) for number, job in asked]

    def close(self) -> None: ...


@pytest.fixture
def verdict() -> Verdict:
    return starts(gate_of("6M"))[0].verdict


@pytest.fixture
def training(verdict: Verdict, monkeypatch: pytest.MonkeyPatch) -> Training:
    monkeypatch.setattr(rung_check, "Processes", Workers)
    return Training("steel", 8000, 0, verdict, TrialJob(verdict.genotype, seed=0, epochs=2))


def test_a_line_is_known_by_all_that_its_training_depends_on(training: Training, tmp_path: Path) -> None:
    path, short = tmp_path / "rungs.csv", replace(training.job, rung=LADDER.short)
    others: list[Training] = [
        training,
        training._replace(data="tiles"),
        training._replace(passes=2000),
        training._replace(seed=1),
        training._replace(job=short),
    ]
    assert len({other.key for other in others}) == len(others)
    evaluator: Any = None
    for other in others:
        assert other.key not in stored(path)
        run(evaluator, [other], 2, path)
        assert other.key in stored(path)
    assert [line["value"] for line in stored(path).values()] == ["0.9", "0.9", "0.9", "0.9", "0.5"]
    assert {line["macs"] for line in stored(path).values()} == {str(training.verdict.cost.macs)}


def test_a_csv_that_does_not_say_what_it_was_measured_on_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "rungs.csv"
    path.write_text("design,seed,training,params,macs,value,seconds\nabc,0,short,1,1,0.5,1.0\n")
    with pytest.raises(RunError, match=r"other columns than data,passes,design.*; give another file with --csv"):
        stored(path)


def test_images_without_a_ladder_are_refused_before_anything_is_trained(
    parts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "rungs.csv"
    monkeypatch.setattr(rung_check, "run", None)
    arguments = ["lightdefectnet", "--data", str(parts), "--csv", str(path)]
    monkeypatch.setattr(sys, "argv", ["rung_check.py", *arguments])
    with pytest.raises(SystemExit) as stopped:
        rung_check.main()
    assert stopped.value.code == 2
    said = capsys.readouterr().err
    assert "error: there is no ladder on these images: a short training needs 32 images" in said
    assert "Traceback" not in said
    assert not path.exists()


def test_the_taus_are_of_the_lines_of_each_seed(capsys: pytest.CaptureFixture[str]) -> None:
    """Three designs: the score has one of three pairs the wrong way round, params have all."""
    ends, scores = {"a": 0.9, "b": 0.8, "c": 0.7}, {"a": 0.6, "b": 0.4, "c": 0.5}
    params = {"a": 10, "b": 20, "c": 30}
    lines = [
        {"seed": seed, "training": kind, "params": str(params[design]), "value": str(values[design])}
        for seed in ("0", "1")
        for design in ends
        for kind, values in ((rung_check.SHORT, scores), (rung_check.WHOLE, ends))
    ]
    show(lines, seeds=2)
    said = capsys.readouterr().out.splitlines()
    assert "seed 0, 3 designs: tau with the end: score 0.33" in said[0]
    assert said[0].endswith("params -1.00")
    assert said[2] == "seed 0 with seed 1: tau of the ends 1.00"


def test_the_designs_begin_like_a_search() -> None:
    gate = gate_of(BUDGET)
    found = list(rung_check.designs(gate, 5))
    assert [admission.flat for admission in found[:3]] == [admission.flat for admission in starts(gate)]
    assert len({admission.verdict.genotype.fingerprint for admission in found}) == 5
    assert all(admission.verdict.feasible for admission in found)
