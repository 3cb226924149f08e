from __future__ import annotations

import argparse
import json
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import evaluation_table
import pytest
import table_figures
from evaluation_table import Ask, asks, nearest, run
from table_store import Table

from compressdefect.errors import TrainingError


class Threads(ThreadPoolExecutor):
    """In place of processes; what runs until the end waits for ``over``, which is set when no more can begin."""

    over = threading.Event()

    def __init__(self, size: int, **_: object) -> None:
        super().__init__(size)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        super().shutdown(wait=False, cancel_futures=cancel_futures)
        self.over.set()
        super().shutdown(wait)


@pytest.fixture
def options(monkeypatch: pytest.MonkeyPatch) -> argparse.Namespace:
    monkeypatch.setattr(evaluation_table, "ProcessPoolExecutor", Threads)
    monkeypatch.setattr(Threads, "over", threading.Event())
    return argparse.Namespace(workers=1, data="")


@pytest.fixture
def table(tmp_path: Path) -> Table:
    table = Table(tmp_path)
    for number, width in enumerate((8, 16, 24)):
        table.designs[f"design {number}"] = {
            **dict.fromkeys(("params", "macs", "peak_bytes"), 100 * width),
            **{"number": number, "design": f"design {number}", "origin": "random", "latency_ms": ""},
            "flat": {"width": width, "depth": 2 if width > 8 else 1},
        }
    table.write_designs()
    return table


def answer(ask: Ask) -> dict[str, Any]:
    trained = {"measure": "end", "side": 224, "steps": 1, "seconds": 1, "parent": "", "probabilities": "900 100"}
    about = {"design": ask.fingerprint, "seed": ask.seed}
    return {"answers": [trained | about], "figures": about | {"figures": "{}"}}


def test_a_design_that_diverges_has_a_row_that_says_so(
    table: Table, options: argparse.Namespace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def measure(ask: Ask, *_: object) -> Mapping[str, Any]:
        if ask.fingerprint == "design 1":
            raise TrainingError("training diverged", got="a loss of nan in epoch 1")
        return answer(ask)

    monkeypatch.setattr(evaluation_table, "measure", measure)
    monkeypatch.setattr(evaluation_table, "_PROCESS", {"load": lambda _: None, "threads": 1})
    wanted = asks(table, ["steel"], 0)
    run(table, wanted, options)
    assert "design 1 seed 0 failed" in capsys.readouterr().out

    assert len(wanted) == 3
    assert asks(Table(table.folder), ["steel"], 0) == []  # the one that diverged is not measured again either
    shown = {row["design"]: json.loads(row["figures"]) for row in table_figures.read(table.folder, "steel-figures")}
    assert shown["design 1"] == {"failed": "training diverged: got a loss of nan in epoch 1"}
    answers = table_figures.read(table.folder, "steel-answers")
    assert [row["design"] for row in answers] == ["design 0", "design 2"]


def test_an_error_lets_no_further_measurement_begin(
    table: Table, options: argparse.Namespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[int] = []

    def work(ask: Ask, *_: object) -> dict[str, Any]:
        begun.append(ask.seed)
        if ask.seed == 0:
            raise ZeroDivisionError
        assert Threads.over.wait(timeout=60)
        return answer(ask)

    monkeypatch.setattr(evaluation_table, "_work", work)
    with pytest.raises(ZeroDivisionError):
        run(table, [Ask("steel", "design 0", seed) for seed in range(10)], options)
    assert len(begun) <= 2  # the one that failed, and what had begun when that was seen


def test_some_designs_are_measured_with_three_seeds(table: Table) -> None:
    wanted = asks(table, ["steel", "tiles"], repeated=1)
    assert [(ask.dataset, ask.seed) for ask in wanted if ask.fingerprint == "design 0"] == [
        *(("steel", 0), ("tiles", 0)),
        *((name, seed) for seed in (1, 2) for name in ("steel", "tiles")),
    ]
    assert {ask.seed for ask in wanted if ask.fingerprint != "design 0"} == {0}


def test_the_nearest_earlier_design_shares_most_genes(table: Table) -> None:
    assert nearest(table.designs["design 1"], table.designs) == "design 0"
    assert nearest(table.designs["design 2"], table.designs) == "design 1"
