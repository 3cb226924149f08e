"""What the console prints says the same as the card and the report."""

from __future__ import annotations

import pytest

from compressdefect import console
from compressdefect.deploy.card import render_card
from tests.deploy.conftest import manifest

RARE = {"n": 2500, "accuracy": 0.9996, "balanced_accuracy": 0.9997, "interval": [0.9977, 0.99993]}
RARE |= {"escape": 1 / 2500, "overkill": 0.0, "escape_interval": [0.0001, 0.002], "overkill_interval": [0.0, 0.003]}


def test_a_rare_failure_is_not_rounded_away(capsys: pytest.CaptureFixture[str]) -> None:
    console.show("evaluate", {"run": "r", "task": "classify", "val": None, "test": RARE})
    printed, card = capsys.readouterr().out, render_card(manifest(metrics={"test": RARE}))
    for text in ("0.04 %", "0.0 %", "99.96 %", "99.8–99.993 %", "99.97 %"):
        assert text in printed
        assert text in card


def test_a_better_design_that_was_passed_over_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    better = {"design": "named", "better_by": 0.006, "standard_error": 0.0081, "ratios": {"params": 0.5, "flops": 0.25}}
    best = {"design": "d", "params": 1, "macs": 1, "flops": 2, "latency_ms": 1.0, "netscore": 9.0, "test": RARE}
    result = {"run": "r", "task": "classify", "asked": 2, "infeasible": 0, "trained": 2, "finished": 1}
    console.show("search", {**result, "best": {**best, "passed_over": better}})
    printed = capsys.readouterr().out
    assert "2 designs asked, 0 infeasible, 2 trained, 1 of them to the end" in printed
    assert "passed over: named, +0.6 points on validation (standard error 0.81)" in printed
    assert "best has 0.50× its params and 0.25× its flops" in printed
    console.show("search", {**result, "best": {**best, "passed_over": None}})
    assert "passed over" not in capsys.readouterr().out


def test_counts_are_written_as_on_the_card(capsys: pytest.CaptureFixture[str]) -> None:
    cost = manifest().cost
    row = {"model": "m", "input": (3, 24, 20), "params": cost.params, "macs": cost.macs, "flops": cost.flops}
    console.show("cost", {"models": [{**row, "peak_bytes": cost.peak_bytes}]})
    printed = capsys.readouterr().out
    for text in ("770 k", "46.0 M", "92.0 M", "3.00 MiB"):
        assert text in printed
        assert text in render_card(manifest())
