from __future__ import annotations

import os
import signal
from typing import Any

import numpy as np
import pytest
import torch

from compressdefect.data.images import Images
from compressdefect.errors import DataError, TrainingError
from compressdefect.train import fit as fitting
from compressdefect.train.classify import Classify
from compressdefect.train.config import FitConfig
from compressdefect.train.fit import EpochReport, FitResult, fit
from compressdefect.train.predict import predict
from compressdefect.train.schedule import Deadline
from compressdefect.train.segment import Segment

TRAIN, VAL = np.arange(36), np.arange(36, 48)
SHORT = FitConfig(epochs=2, batch_size=18, score_every=1, threads=1, accelerator="cpu", learning_rate=0.01)


def train(network: Any, images: Images, config: FitConfig = SHORT, **options: Any) -> FitResult:
    return fit(network, images, TRAIN, VAL, Classify(images.classes, images.good), config, **options)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
@pytest.mark.parametrize("schedule", ["cosine", "onecycle"])
def test_it_learns(network: Any, images: Images, optimizer: str, schedule: str, precision: str) -> None:
    rate = 0.05 if optimizer == "adamw" else 0.3
    config = FitConfig(
        epochs=12,
        batch_size=12,
        optimizer=optimizer,
        schedule=schedule,
        precision=precision,
        learning_rate=rate,
        threads=1,
    )
    result = train(network, images, config)
    assert result.history[-1].metric is not None
    assert result.history[-1].metric > 0.9
    assert result.history[-1].train_loss < result.history[0].train_loss
    assert result.stopped is None


def test_it_reports_every_epoch_and_leaves_a_network_to_use(
    network: Any, images: Images, capfd: pytest.CaptureFixture[str]
) -> None:
    reports: list[EpochReport] = []
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    result = train(network, images, on_epoch=reports.append)
    assert result.history == reports
    assert [report.epoch for report in reports] == [1, 2]
    assert result.val_records is not None
    assert result.val_records.shape == (12, 3)
    assert result.images_per_s == pytest.approx(72 / result.seconds)
    assert not network.training
    assert all(parameter.is_contiguous() for parameter in network.parameters())
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.get_rng_state(), state)
    assert capfd.readouterr() == ("", "")


def test_the_same_seed_gives_the_same_weights(images: Images, tiny_network: Any) -> None:
    def weights(seed: int) -> torch.Tensor:
        torch.manual_seed(0)
        network = tiny_network()
        torch.rand(seed + 1)  # what was drawn outside does not matter
        train(network, images, FitConfig(epochs=2, batch_size=18, threads=1, seed=seed))
        return torch.cat([parameter.detach().flatten() for parameter in network.parameters()])

    assert torch.equal(weights(1), weights(1))
    assert not torch.equal(weights(1), weights(2))


def test_scoring_does_not_change_the_training(images: Images, tiny_network: Any) -> None:
    def last_loss(val: np.ndarray | None) -> float:
        torch.manual_seed(0)
        return fit(tiny_network(), images, TRAIN, val, Classify(images.classes), SHORT).history[-1].train_loss

    assert last_loss(VAL) == last_loss(None)


def test_score_every_third_epoch_and_the_last(network: Any, images: Images) -> None:
    config = FitConfig(epochs=5, batch_size=18, threads=1, score_every=3)
    history = train(network, images, config).history
    assert [report.epoch for report in history if report.metric is not None] == [3, 5]


def test_what_the_last_epoch_measured_is_not_measured_again(
    network: Any, images: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    for name in ("calibrate", "predict"):
        real = getattr(fitting, name)
        monkeypatch.setattr(
            fitting, name, lambda *given, name=name, real=real, **more: (calls.append(name), real(*given, **more))[1]
        )
    result = train(network, images, FitConfig(epochs=5, batch_size=18, threads=1, score_every=3))
    assert calls == ["calibrate", "predict"] * 2
    again = predict(network, images, VAL, Classify(images.classes, images.good))
    np.testing.assert_allclose(result.val_records, again, atol=1e-5)
    calls.clear()
    train(network, images, FitConfig(epochs=5, batch_size=18, threads=1), on_epoch=lambda report: report.epoch < 4)
    assert calls == ["calibrate", "predict"] * 2  # epoch 4 was not due to be scored


def test_gradients_reach_both_columns(network: Any, images: Images) -> None:
    before = network.head.weight.detach().clone().unflatten(0, (2, 3))
    train(network, images)
    moved = (network.head.weight.detach().unflatten(0, (2, 3)) - before).abs().sum(dim=(1, 2))
    assert (moved > 0).all()


def test_divergence_is_an_error_with_its_place(network: Any, images: Images) -> None:
    config = FitConfig(epochs=30, batch_size=18, optimizer="sgd", learning_rate=1e30, clip_norm=1e30, threads=1)
    with pytest.raises(TrainingError, match=r"diverged: got a loss of (nan|inf) in epoch \d+, step \d+; lower"):
        train(network, images, config)


def test_on_epoch_may_stop(network: Any, images: Images) -> None:
    result = train(
        network, images, FitConfig(epochs=9, batch_size=18, threads=1), on_epoch=lambda report: report.epoch < 3
    )
    assert (len(result.history), result.stopped) == (3, "on_epoch")
    assert result.val_records is not None


def test_a_deadline_ends_the_training_with_what_it_has(network: Any, images: Images, ticks: Any) -> None:
    """The clock is read twice for a step, before and after it: a hundred readings are about 50 steps, 25 epochs."""
    config = FitConfig(epochs=100_000, batch_size=18, threads=1)
    result = train(network, images, config, deadline=Deadline(100.0, ticks))
    assert result.stopped == "deadline"
    assert 20 <= len(result.history) <= 26
    assert ticks.now <= 110
    assert result.val_records is not None


def test_a_deadline_that_has_passed_trains_nothing(network: Any, images: Images) -> None:
    before = network.head.weight.detach().clone()
    result = train(network, images, deadline=Deadline(0.0, lambda: 1.0))
    assert (result.history, result.stopped, result.images_per_s) == ([], "deadline", 0.0)
    assert torch.equal(network.head.weight, before)


def test_without_a_validation_part_nothing_is_scored(network: Any, images: Images) -> None:
    empty = np.array([], dtype=np.int64)
    for val in (None, empty):
        result = fit(network, images, TRAIN, val, Classify(images.classes), SHORT)
        assert result.val_records is None
        assert all(report.metric is None for report in result.history)


def test_one_image_is_too_few(network: Any, images: Images) -> None:
    with pytest.raises(DataError, match="at least two"):
        fit(network, images, np.arange(1), None, Classify(images.classes), SHORT)


def test_an_interrupt_stays_an_interrupt(network: Any, images: Images) -> None:
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        train(network, images, on_epoch=lambda report: os.kill(os.getpid(), signal.SIGINT))
    assert signal.getsignal(signal.SIGINT) is handler


def test_errors_of_the_callback_come_through(network: Any, images: Images) -> None:
    def on_epoch(report: EpochReport) -> None:
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        train(network, images, on_epoch=on_epoch)


@pytest.mark.parametrize(("criterion", "least"), [("ce", 0.3), ("dice", 0.4), ("ce+dice", 0.8), ("bce+dice", 0.8)])
def test_it_learns_to_segment(tiny_decoder: Any, marked: Images, criterion: str, least: float) -> None:
    torch.manual_seed(0)
    task = Segment(("background", *marked.regions), criterion=criterion)
    config = FitConfig(epochs=30, batch_size=12, learning_rate=0.2, threads=1, precision="fp32")
    result = fit(tiny_decoder(), marked, TRAIN, VAL, task, config)
    assert result.val_records is not None
    assert result.val_records.shape == (12,)
    assert result.history[-1].metric == task.score(result.val_records, task.labels(marked, VAL))
    assert result.history[-1].metric > least


def test_gradual_training_starts_with_defects(tiny_decoder: Any, marked: Images) -> None:
    """Every second image is good: a batch of the first half of the training has no empty mask, later ones do."""
    task, seen = Segment(("background", *marked.regions)), []

    class Spy(tiny_decoder):  # type: ignore[misc]
        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            if self.training and torch.is_grad_enabled():
                seen.append(pixels.flatten(1))
            return super().forward(pixels)

    config = FitConfig(epochs=8, batch_size=18, threads=1, augment="none", gradual="25%,50%", precision="fp32")
    fit(Spy(), marked, TRAIN, None, task, config)
    defective = [((batch > 200) | (batch < 50)).any(dim=1) for batch in seen]
    assert len(seen) == 16
    assert all(batch.all() for batch in defective[:8])
    assert all(not batch.all() for batch in defective[8:])
    assert ((seen[0] > 200) | (seen[0] < 50)).float().mean() > 3 * ((seen[7] > 200) | (seen[7] < 50)).float().mean()


def test_gradual_training_needs_a_defect_to_begin_with(tiny_decoder: Any, marked: Images) -> None:
    task = Segment(("background", *marked.regions))
    with pytest.raises(DataError, match="gradual training needs images with a defect"):
        fit(tiny_decoder(), marked, np.arange(0, 36, 2), None, task, FitConfig(epochs=1, gradual="on"))


def test_tiles_are_trained_on_as_images_of_their_own(tiny_decoder: Any, webs: tuple[Images, Images]) -> None:
    task, config = Segment(("background", *webs[0].regions)), FitConfig(epochs=2, batch_size=9, threads=1, gradual="on")
    tiled, train, networks = webs[0], np.arange(8), []
    for images, rows, val in ((tiled, train, np.arange(8, 12)), (tiled.pieces, tiled.rows(train), None)):
        torch.manual_seed(0)
        networks.append(tiny_decoder())
        result = fit(networks[-1], images, rows, val, task, config)
        assert len(result.history) == 2
        assert val is None or len(result.val_records) == 4
    for one, other in zip(*(network.state_dict().values() for network in networks), strict=True):
        assert torch.equal(one, other)
