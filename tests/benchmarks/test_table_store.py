from __future__ import annotations

import json
import lzma
from pathlib import Path

import pytest
import table_figures
from table_designs import first_designs
from table_store import Table


def test_a_table_is_read_as_it_was_written(tmp_path: Path) -> None:
    table = Table(tmp_path)
    (origin, admission), *_ = first_designs(1)
    table.add_design(origin, admission)
    table.add_design(origin, admission)  # known by now
    table.write_designs()
    (design,) = table.designs
    answer = {"measure": "end", "side": 224, "steps": 3, "seconds": 1.5, "parent": ""}
    answer |= {"probabilities": "900 100;0 1000"}
    about = {"design": design, "seed": 0}
    table.add("steel", {"answers": [answer | about], "figures": about | {"figures": json.dumps({"probes": {}})}})
    said = {"labels": [0, 1], "groups": [0, 1], "good": None, "metric": "accuracy"}
    (tmp_path / "steel.json.xz").write_bytes(lzma.compress(json.dumps(said).encode()))

    assert Table(tmp_path).of("steel") == {(design, 0)}
    assert Table(tmp_path).of("tiles") == set()
    cost = admission.verdict.cost
    row = table_figures.designs(tmp_path)[design]
    assert (row["number"], row["origin"], row["macs"], row["params"]) == (0, "named", cost.macs, cost.params)
    assert row["flat"] == dict(admission.flat)
    (data,) = table_figures.datasets(tmp_path)
    assert table_figures.dataset_names(tmp_path) == [data.name] == ["steel"]
    assert data.answers[design, 0, "end"].ravel() == pytest.approx([0.9, 0.1, 0, 1])
    assert data.seconds == {(design, 0, "end"): 1.5}
    assert data.figures == {(design, 0): {"probes": {}}}
