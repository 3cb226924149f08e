from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from compressdefect import catalog
from compressdefect.errors import DataError, RunError
from compressdefect.models.templates import TEMPLATES
from compressdefect.search.constraints import Budgets
from compressdefect.search.gate import Gate
from compressdefect.space.genotype import Genotype
from compressdefect.study import Context, load_study


@pytest.fixture(scope="module")
def study() -> ModuleType:
    return load_study(catalog.studies()["search"])


def answers(study: ModuleType, wrong: int, n: int = 200) -> Any:
    """Two classes in turn, of which the first so many images are answered wrongly."""
    labels = np.arange(n) % 2
    said = np.where(np.arange(n) < wrong, 1 - labels, labels)
    return study.Answers(np.eye(2)[said], labels, np.arange(n))


def test_a_difference_is_the_mean_over_seeds_with_an_interval_around_it(study: ModuleType) -> None:
    pairs = [(answers(study, 4), answers(study, 10)), (answers(study, 6), answers(study, 10))]
    mean, low, high = study.difference(pairs, "accuracy")
    assert mean == pytest.approx((6 + 4) / 200 / 2)
    assert 0 < low < mean < high < 0.06
    assert study.difference([(answers(study, 4), answers(study, 4))], "balanced_accuracy") == (0.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("mean", "low", "escape", "verdict"),
    [(0.0, -0.01, 0.0, True), (-0.006, -0.01, 0.0, False), (0.0, -0.02, 0.0, False), (0.0, 0.0, 0.03, False)],
)
def test_not_worse_is_a_matter_of_all_three(
    study: ModuleType, mean: float, low: float, escape: float, verdict: bool
) -> None:
    assert study.Difference(3, mean, low, 0.1, escape).is_not_worse == verdict
    assert study.Difference(3, 0.0, 0.0, 0.1, None).is_not_worse


def test_the_scaled_design_has_at_most_the_winners_macs(study: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "best").mkdir()
    bundle = {"input": [1, 224, 224], "classes": ["good", "bad"], "cost": {"macs": 12_000_000}}
    (tmp_path / "best" / "bundle.json").write_text(json.dumps(bundle))
    path = study._scaled(tmp_path, tmp_path / "scaled.json")
    space = catalog.find_space("lightdefectnet").for_task("classify")
    gate = Gate(
        space, TEMPLATES[space.template], Budgets(), input_shape=(1, 224, 224), heads={"image": ("good", "bad")}
    )
    macs = gate.cheap(Genotype.from_json(json.loads(path.read_text()))).cost.macs
    assert 9_000_000 < macs <= 12_000_000


def test_what_is_compared_with_a_search_waits_for_it(study: ModuleType, tmp_path: Path) -> None:
    row = next(row for row in study.rows(1.0) if row.key.startswith("scaled-synthetic"))
    with pytest.raises(DataError, match="has no result"):
        row.measure(Context(tmp_path, None, {}))


def test_a_search_that_would_know_its_own_data_is_refused(study: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no portfolio without elsewhere"):
        study._space("elsewhere", tmp_path)


def test_a_search_that_was_stopped_stops_the_study(
    study: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(study.api, "search", lambda *_, **__: {"status": "stopped", "run": str(tmp_path)})
    row = next(row for row in study.rows(1.0) if row.key.startswith("ladder-synthetic"))
    with pytest.raises(KeyboardInterrupt):
        row.measure(Context(tmp_path, None, {}))
