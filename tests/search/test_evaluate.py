from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from compressdefect.catalog import find_space
from compressdefect.data.images import Images
from compressdefect.data.split import Split
from compressdefect.errors import TrainingError
from compressdefect.models.templates import template_of
from compressdefect.models.weights import load_weights
from compressdefect.search import evaluate as module
from compressdefect.search import latency
from compressdefect.search.evaluate import NO_TIME, SHORTENED, Interrupted, TrainingEvaluator, TrialJob
from compressdefect.search.latency import LatencyProbe
from compressdefect.search.rungs import Rung
from compressdefect.search.stopping import StopRule
from compressdefect.search.workers import open_workers
from compressdefect.train.classify import Classify
from compressdefect.train.config import FitConfig
from compressdefect.train.predict import predict
from compressdefect.train.schedule import Deadline
from compressdefect.train.validate import FOLDS

SIZE = 32
SPACE = find_space("lightdefectnet")
DESIGN = SPACE.decode({name: domain.default for name, domain in SPACE.dimensions.items()})


def evaluator(*, held_out: bool) -> TrainingEvaluator:
    rng = np.random.default_rng(0)
    labels = np.arange(24) % 2
    pixels = (
        rng.integers(0, 60, (24, 1, SIZE, SIZE)).astype(np.uint8) + (labels * 150).astype(np.uint8)[:, None, None, None]
    )
    names = tuple(f"{i}.png" for i in range(24))
    images = Images(pixels, labels, names, names, ("good", "defective"), np.arange(24), good=0)
    none = np.empty(0, dtype=np.int64)
    split = Split(np.arange(8, 24), np.arange(8) if held_out else none, none)
    template = template_of(DESIGN)
    config = FitConfig(batch_size=8, augment="none", accelerator="cpu", precision="fp32", score_every=1)
    return TrainingEvaluator(template, images, split, Classify(images.classes, 0), config, (100.0,), (80.0,)).prepare(1)


@pytest.fixture
def ticks() -> Callable[[], float]:
    """A clock that moves one second each time it is read."""
    seconds = itertools.count(1)
    return lambda: float(next(seconds))


def go_on(share: float) -> bool:
    return True


@pytest.mark.parametrize("held_out", [True, False])
def test_a_trial_is_trained_and_scored(held_out: bool) -> None:
    job = TrialJob(DESIGN, seed=3, epochs=2)
    result = evaluator(held_out=held_out)(job, go_on)
    trainings = 1 if held_out else FOLDS
    assert result.state == "complete"
    assert result.metric == result.val["accuracy"]
    assert result.epochs == 2 * trainings
    steps = 2 * trainings
    assert [share for share, _ in result.curve] == pytest.approx(
        [step / steps for step in range(1, steps + 1)], abs=1e-6
    )
    again = evaluator(held_out=held_out)(job, go_on)
    assert (again.metric, again.curve) == (result.metric, result.curve)


def test_a_trial_of_the_first_fold_is_one_training() -> None:
    first = replace(evaluator(held_out=False), first_fold=True)
    job = TrialJob(DESIGN, seed=3, epochs=2)
    one, all_folds = first(job, go_on), evaluator(held_out=False)(job, go_on)
    assert (one.state, one.epochs, one.weights) == ("complete", 2, None)
    assert one.held_out is not None
    assert all_folds.held_out is not None
    assert len(one.held_out.indices) < len(all_folds.held_out.indices) == 16
    known = np.isin(all_folds.held_out.indices, one.held_out.indices)
    np.testing.assert_array_equal(all_folds.held_out.records[known], one.held_out.records)


def test_a_poor_trial_is_stopped_but_not_at_its_end() -> None:
    poor = StopRule(((0.5, 2.0),))
    result = evaluator(held_out=True)(TrialJob(DESIGN, 0, epochs=4, stop=poor), go_on)
    assert (result.state, result.epochs, result.metric) == ("pruned", 2, None)
    late = StopRule(((1.0, 2.0),))
    assert evaluator(held_out=True)(TrialJob(DESIGN, 0, epochs=1, stop=late), go_on).state == "complete"


def test_a_trial_tells_how_far_it_is() -> None:
    shares: list[float] = []
    evaluator(held_out=False)(TrialJob(DESIGN, 0, epochs=2), lambda share: shares.append(share) is None)
    assert shares == pytest.approx([n / 6 for n in range(1, 7)], abs=1e-6)


@pytest.mark.parametrize("held_out", [True, False])
def test_a_trial_is_shortened_to_end_in_time(
    held_out: bool, monkeypatch: pytest.MonkeyPatch, ticks: Callable[[], float]
) -> None:
    """The clock moves a second when it is read, about twice for each step; each training gets its share of steps."""
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=ticks))
    monkeypatch.setattr(module, "Deadline", lambda at: Deadline(at, ticks))
    result = evaluator(held_out=held_out)(TrialJob(DESIGN, 0, epochs=1000, seconds=60.0), go_on)
    assert (result.state, result.reason) == ("complete", SHORTENED)
    assert result.metric == result.val["accuracy"]
    assert 10 <= result.epochs <= 40
    assert result.seconds < 80


def test_a_trial_without_time_is_no_result(monkeypatch: pytest.MonkeyPatch) -> None:
    result = evaluator(held_out=False)(TrialJob(DESIGN, 0, epochs=2, seconds=-1.0), go_on)
    assert (result.state, result.metric, result.epochs) == ("pruned", None, 0)
    assert result.reason == "the time was over before it was trained"


def test_an_epoch_is_timed_by_its_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 16 images two steps an epoch when 8 are held out, else one in each of three folds; scores come on top."""
    monkeypatch.setattr(TrainingEvaluator, "_step_s", lambda *_: 3.0)
    assert evaluator(held_out=True).epoch_s(DESIGN, 1) == pytest.approx(3 * (2 + (8 + 16) / 3 / 8))
    assert evaluator(held_out=False).epoch_s(DESIGN, 1) == pytest.approx(3 * 3 * (1 + (5 + 11) / 3 / 8))
    first = replace(evaluator(held_out=False), first_fold=True)
    assert first.epoch_s(DESIGN, 1) == pytest.approx(3 * (1 + (5 + 11) / 3 / 8))


def test_a_step_is_timed() -> None:
    assert evaluator(held_out=True).epoch_s(DESIGN, 1) > 0


def test_a_trial_that_diverges_is_a_result(monkeypatch: pytest.MonkeyPatch) -> None:
    def diverge(*args: object, **options: object) -> None:
        raise TrainingError("training diverged", got="a loss of nan")

    monkeypatch.setattr(module, "validate", diverge)
    result = evaluator(held_out=True)(TrialJob(DESIGN, 0, epochs=1), go_on)
    assert (result.state, result.reason) == ("failed", "training diverged: got a loss of nan")


@pytest.mark.parametrize(
    "error", [MemoryError(), torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")]
)
def test_a_design_too_large_to_be_timed_does_not_end_a_search(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, error: Exception
) -> None:
    def too_large(*args: object, **options: object) -> None:
        raise error

    monkeypatch.setattr(module, "fit", too_large)
    workers = open_workers(evaluator(held_out=True), 1, 1, tmp_path)
    assert workers.epochs_s([DESIGN], 1) == [math.inf]
    with pytest.raises(TrainingError, match=r"does not fit into memory: got (CUDA out of memory|MemoryError)"):
        workers.epoch_s(DESIGN, 1)


def test_a_cancelled_trial_is_not_a_result() -> None:
    with pytest.raises(Interrupted):
        evaluator(held_out=True)(TrialJob(DESIGN, 0, epochs=3), lambda share: False)


@pytest.mark.long
def test_a_worker_process_gives_the_same_result(tmp_path: Path) -> None:
    job = TrialJob(DESIGN, seed=3, epochs=1)
    workers = open_workers(evaluator(held_out=True), 2, 1, tmp_path)
    shares: list[float] = []
    try:
        assert workers.epoch_s(DESIGN, 1) > 0
        workers.submit(7, job)
        while not (answers := workers.collect(shares.append)):
            pass
    finally:
        workers.close()
    ((number, result),) = answers
    assert number == 7
    assert set(shares) <= {0.0, 1.0}
    assert result.metric == evaluator(held_out=True)(job, go_on).metric


def test_a_design_is_timed_once_in_float_and_in_eight_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = evaluator(held_out=True)
    assert isinstance(trainer.images, Images)
    images, builds = trainer.images, []

    def build(genotype: object) -> object:
        builds.append(genotype)
        return trainer.build(DESIGN, images)

    timed: list[bytes] = []

    def latency_ms(path: Path, *, batch: int, threads: int) -> float:
        timed.append(path.read_bytes())
        return 2.0 / len(timed)

    monkeypatch.setattr(latency, "latency_ms", latency_ms)
    probe = LatencyProbe(build, trainer.task, (1, SIZE, SIZE), int8=True)  # type: ignore[arg-type]
    assert probe(DESIGN) == probe(DESIGN) == 1.0  # of the faster graph
    assert len(builds) == 1
    assert [b"QuantizeLinear" in graph for graph in timed] == [False, True]
    assert template_of(DESIGN).name == "lightdefectnet"


def test_a_design_is_compared_on_a_rung() -> None:
    job = TrialJob(DESIGN, seed=3, epochs=50, rung=Rung(4, 1.0, until=0.5))
    result = evaluator(held_out=True)(job, go_on)
    assert (result.state, result.metric, result.weights, result.held_out) == ("compared", None, None, None)
    assert result.epochs == 4
    assert result.score is not None
    assert 0 < result.score < 1
    assert evaluator(held_out=True)(job, go_on).score == result.score


def test_a_comparison_that_runs_out_of_time_has_no_score() -> None:
    job = TrialJob(DESIGN, seed=3, epochs=50, seconds=0.0, rung=Rung(40, 1.0, until=0.5))
    result = evaluator(held_out=True)(job, go_on)
    assert (result.state, result.score, result.reason) == ("pruned", None, NO_TIME)


def test_weights_are_those_that_answered() -> None:
    trained = evaluator(held_out=True)
    result = trained(TrialJob(DESIGN, seed=3, epochs=2, with_weights=True), go_on)
    assert result.weights is not None
    assert result.held_out is not None
    assert trained.images is not None
    network = trained.build(DESIGN, trained.images)
    load_weights(network, result.weights)
    answers = predict(network.eval(), trained.images, result.held_out.indices, trained.task)
    np.testing.assert_allclose(answers, result.held_out.records, atol=1e-6)
    without = TrialJob(DESIGN, seed=3, epochs=1)
    assert trained(without, go_on).weights is None
    assert evaluator(held_out=False)(replace(without, with_weights=True), go_on).weights is None
