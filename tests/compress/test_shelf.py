"""What was trained is found again, and what others taught is kept where it gained something."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from compressdefect.compress import pipeline
from compressdefect.compress.drop import Drop
from compressdefect.compress.pipeline import Plan, compress
from compressdefect.compress.prune import PruneConfig
from compressdefect.compress.shelf import Finished, Shelf
from compressdefect.compress.stage import Bench
from compressdefect.compress.teaching import Teacher
from compressdefect.models.weights import weights_of
from compressdefect.train.config import FitConfig
from compressdefect.train.fit import FitResult
from compressdefect.train.schedule import Deadline
from tests.compress.conftest import trained

CONFIG = FitConfig(epochs=1, batch_size=12, precision="fp32", augment="none", learning_rate=1e-3)


@pytest.mark.parametrize("gains", [True, False])
def test_a_lesson_is_kept_where_it_gains_and_trained_once(
    bench_for: Callable[[str], Bench], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gains: bool
) -> None:
    bench = bench_for("classify")
    first = bench.stage("as it was", *trained("timm:test_resnet", bench.task))
    drop = Drop("accuracy", 9, 0.8, 0.9 if gains else 0.8, 0.2, 0.2, None, None, None)
    monkeypatch.setattr(Bench, "drop", lambda self, before, after: drop)
    shelf = Shelf(tmp_path / "shelf" / "one", bench.images.shape[0], bench.task.heads)
    teacher = (Teacher([first.network], bench.task), "itself")
    plan = Plan(None, PruneConfig(), replace(CONFIG, seed=1), int8=False, teacher=teacher, lesson=2)
    found = compress(bench, first, plan, shelf=shelf)
    assert [stage.title for stage in found.stages] == ["as it was", "taught by itself"]
    assert (found.best is first, bool(found.notes)) == (not gains, not gains)
    monkeypatch.setattr(pipeline, "fit", lambda *args, **kwargs: pytest.fail("trained again"))
    again = compress(bench, first, plan, shelf=shelf, deadline=Deadline.after(0))
    assert weights_of(again.stages[1].network) == weights_of(found.stages[1].network)
    other = Shelf(tmp_path / "shelf" / "two", bench.images.shape[0], bench.task.heads)
    late = compress(bench, first, plan, shelf=other, deadline=Deadline.after(0))
    assert (late.stages, late.notes) == ((first,), ("the time was over before it was taught",))
    cut = replace(plan, lesson=5)  # what is on the shelf was two epochs long
    assert compress(bench, first, cut, shelf=shelf).stages[1].title == "taught by itself, trained for 2 of 5 epochs"


def test_what_was_not_trained_is_no_step(
    bench_for: Callable[[str], Bench], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time was over before the first step of the lesson."""
    bench = bench_for("classify")
    first = bench.stage("as it was", *trained("timm:test_resnet", bench.task))
    monkeypatch.setattr(pipeline, "fit", lambda *args, **kwargs: FitResult([], None, 0.0, 0.0, "deadline"))
    shelf = Shelf(tmp_path / "shelf" / "one", bench.images.shape[0], bench.task.heads)
    teacher = (Teacher([first.network], bench.task), "itself")
    plan = Plan(None, PruneConfig(), CONFIG, int8=False, teacher=teacher, lesson=2)
    found = compress(bench, first, plan, shelf=shelf)
    assert found.stages == (first,)
    assert found.notes == ("not taught: there was no time left to train it; give it more --time",)
    assert shelf.get("taught", first.network) is None


def test_what_is_damaged_on_the_shelf_is_missing(bench_for: Callable[[str], Bench], tmp_path: Path) -> None:
    bench = bench_for("classify")
    design, network = trained("timm:test_resnet", bench.task)
    shelf = Shelf(tmp_path / "a" / "b", bench.images.shape[0], bench.task.heads)
    assert shelf.get("taught", network) is None
    shelf.put("taught", Finished(design, network, 3))
    found = shelf.get("taught", network)
    assert found is not None
    assert found.epochs == 3
    (shelf.folder / "taught.safetensors").write_bytes(b"cut off")
    assert shelf.get("taught", network) is None
