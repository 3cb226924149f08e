"""One training, run by Lightning."""

from __future__ import annotations

import contextlib
import logging
import signal
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim import Optimizer

from compressdefect import compat

compat.install()

import lightning as L
from lightning.pytorch.trainer.states import TrainerStatus

from compressdefect.data.augment.recipes import RECIPES
from compressdefect.data.images import Images
from compressdefect.data.truth import Truth
from compressdefect.errors import DataError, TrainingError
from compressdefect.train.batches import Batches, steps_per_epoch
from compressdefect.train.calibrate import CALIBRATED, calibrate, score_steps
from compressdefect.train.config import FitConfig, clip_gradients, make_optimizer, uses_bf16
from compressdefect.train.gradual import DefectsFirst, Gradual
from compressdefect.train.predict import predict
from compressdefect.train.schedule import SCHEDULES, Deadline, Pace
from compressdefect.train.task import Records, Task
from compressdefect.train.training_form import training_form


@dataclass(frozen=True)
class EpochReport:
    """What is known after an epoch: its number from 1, its mean loss, the validation score where one was taken."""

    epoch: int
    train_loss: float
    metric: float | None = None
    fold: int = 0


OnEpoch = Callable[[EpochReport], bool | None]  # False stops the training


@dataclass(frozen=True)
class FitResult:
    """How a training went.

    ``val_records`` (n, …) are of the final weights; ``stopped`` says why it ended early (``deadline``,
    ``on_epoch``) and is None when it did not; ``images_per_s`` counts training passes, of tiles where images are tiled,
    over the time spent training.
    """

    history: list[EpochReport]
    val_records: Records | None
    seconds: float
    images_per_s: float
    stopped: str | None


def fit(
    network: nn.Module,
    images: Images,
    train: NDArray[np.integer],
    val: NDArray[np.integer] | None,
    task: Task,
    config: FitConfig,
    *,
    on_epoch: OnEpoch | None = None,
    deadline: Deadline | None = None,
) -> FitResult:
    """Train a network in place; it is left on the CPU in evaluation mode.

    The same network, data, config and thread count give the same weights. Random state outside is left as it was.
    Of images in tiles each tile is trained on as an image of its own; what is scored is whole images.

    Args:
        network: takes uint8 pixels (N, C, H, W); if it has ``end_epoch()``, that is called after each epoch.
        images: all images, in memory.
        train: which of them to train on.
        val: which of them to score every ``config.score_every`` epochs; None or empty scores nothing.
        task: gives the loss and the score.
        config: the recipe.
        on_epoch: called after every epoch; returning False ends the training.
        deadline: the schedule is shortened to end by then.

    Raises:
        DataError: there are fewer than two training images, or none that gradual training could begin with.
        TrainingError: the loss or the outputs are not finite.
    """
    pieces, rows = images.pieces, images.rows(train)
    if len(rows) < 2:
        raise DataError("training needs at least two images", got=len(rows))
    scored = val if val is not None and len(val) else None
    closing = score_steps(len(rows), 0 if scored is None else len(images.rows(scored)), config.batch_size)
    pace = Pace(config.epochs * steps_per_epoch(len(rows), config.batch_size), deadline, closing)
    batches = _batches(pieces, rows, task, config, pace)
    training = _Training(network, images, train, scored, task, config, pace, on_epoch)
    with using_threads(config.threads), torch.random.fork_rng(devices=[]), _quiet():
        torch.manual_seed(config.seed)
        _keep_freed_memory()
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # a third faster than contiguous on a CPU
        with training_form(network):
            _run(training, batches, config)
            records = training.answered
            if records is None and training.history:
                calibrate(network, images, train, precision=config.precision)
        network.to("cpu", memory_format=torch.contiguous_format).eval()  # type: ignore[call-overload]
        if records is None and scored is not None:
            records = predict(network, images, scored, task)
    return FitResult(
        training.history,
        records,
        training.seconds,
        training.images_seen / max(training.seconds, 1e-9),
        training.stopped,
    )


def _batches(images: Images, train: NDArray[np.integer], task: Task, config: FitConfig, pace: Pace) -> Batches:
    return Batches(
        images,
        train,
        config.batch_size,
        seed=config.seed,
        augmentation=RECIPES.get(config.augment),
        needs=task.needs,
        classes=task.labels(images, train),
        balance=config.balance,
        defects_first=_defects_first(images, train, task, config),
        position=lambda: pace.position,
    )


def _defects_first(images: Images, train: NDArray[np.integer], task: Task, config: FitConfig) -> DefectsFirst | None:
    """Gradual training, if the recipe has it; where no class is good, every image shows a defect."""
    if config.gradual is None:
        return None
    gradual = Gradual.parse(config.gradual, config.epochs * steps_per_epoch(len(train), config.batch_size))
    labels = task.labels(images, np.arange(len(images)))
    return DefectsFirst(gradual, train, labels != (-1 if task.good is None else task.good), images.masks)


class _Training(L.LightningModule):
    """The life of one batch, and what happens between epochs."""

    def __init__(
        self,
        network: nn.Module,
        images: Images,
        train: NDArray[np.integer],
        val: NDArray[np.integer] | None,
        task: Task,
        config: FitConfig,
        pace: Pace,
        on_epoch: OnEpoch | None,
    ) -> None:
        super().__init__()
        self.network = network
        self.images, self.train_part, self.val, self.task = images, train, val, task
        self.config, self.pace, self.on_epoch = config, pace, on_epoch
        self.history: list[EpochReport] = []
        self.stopped: str | None = None
        self.answered: Records | None = None  # of the validation part by the weights as they are
        self.images_seen, self.seconds = 0, 0.0
        self._losses: list[float] = []
        self._epoch_started = 0.0

    def configure_optimizers(self) -> Optimizer:
        return make_optimizer(self.network, self.config)

    def on_train_epoch_start(self) -> None:
        self._epoch_started = time.monotonic()

    def on_train_batch_start(self, batch: tuple[Tensor, Truth], batch_idx: int) -> int | None:
        if self.pace.out_of_time:
            self._stop("deadline")
            return -1  # Lightning's way to end the epoch here
        rate = self.config.learning_rate * SCHEDULES[self.config.schedule](self.pace.position)
        for group in self.trainer.optimizers[0].param_groups:
            group["lr"] = rate
        return None

    def configure_gradient_clipping(self, optimizer: Optimizer, *_: object, **__: object) -> None:
        clip_gradients(optimizer, self.config.clip_norm)

    def training_step(self, batch: tuple[Tensor, Truth], batch_idx: int) -> Tensor:
        pixels, truth = batch
        loss = self.task.loss(self.network(pixels), truth)
        self._losses.append(float(loss.detach()))
        if not np.isfinite(self._losses[-1]):
            where = f"epoch {self.current_epoch + 1}, step {batch_idx + 1}"
            raise TrainingError(
                "training diverged", got=f"a loss of {self._losses[-1]} in {where}", fix="lower the learning rate"
            )
        self.images_seen += len(truth)
        self.answered = None
        return loss

    def on_train_batch_end(self, outputs: object, batch: object, batch_idx: int) -> None:
        self.pace.step()

    def on_train_epoch_end(self) -> None:
        self.seconds += time.monotonic() - self._epoch_started
        if not self._losses:
            return
        end_epoch: Callable[[], None] | None = getattr(self.network, "end_epoch", None)
        if end_epoch is not None:
            end_epoch()
        report = EpochReport(self.current_epoch + 1, float(np.mean(self._losses)), self._score())
        self._losses.clear()
        self.history.append(report)
        if self.on_epoch is not None and self.on_epoch(report) is False:
            self._stop("on_epoch")

    def _score(self) -> float | None:
        """The validation score, when it is due and the images give one: a fold may hold no defect where others do."""
        epoch = self.current_epoch + 1
        if self.val is None or (epoch % self.config.score_every and epoch != self.config.epochs):
            return None
        is_last = epoch == self.config.epochs
        limit = CALIBRATED if is_last else CALIBRATED // 2
        calibrate(self.network, self.images, self.train_part, limit, self.config.precision)
        found = predict(self.network, self.images, self.val, self.task)
        self.answered = found if is_last else None  # what ships is calibrated in full, however early it ends
        try:
            return self.task.score(found, self.task.labels(self.images, self.val))
        except DataError:
            return None

    def _stop(self, reason: str) -> None:
        self.stopped = self.stopped or reason
        self.trainer.should_stop = True


def _run(training: _Training, batches: Batches, config: FitConfig) -> None:
    """Hand the training to Lightning with everything switched off that writes, prints or sums up."""
    device = torch.device("cuda") if config.accelerator != "cpu" and torch.cuda.is_available() else torch.device("cpu")
    trainer = L.Trainer(
        accelerator=config.accelerator,
        devices=1,
        precision="bf16-mixed" if uses_bf16(config.precision, device) else "32-true",
        max_epochs=config.epochs,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )
    interrupt = signal.getsignal(signal.SIGINT)
    try:
        trainer.fit(training, train_dataloaders=batches)
    except SystemExit as stop:  # Lightning turns Ctrl-C into an exit and ignores further ones
        if trainer.state.status != TrainerStatus.INTERRUPTED:
            raise
        signal.signal(signal.SIGINT, interrupt)
        raise KeyboardInterrupt from stop


def _keep_freed_memory() -> None:
    """Make glibc keep up to 64 MiB of what is freed, instead of handing every map back to be cleared and mapped again.

    Freeing one large block is its way to be told (mallopt(3), M_MMAP_THRESHOLD): maps are a few MiB each. A step of
    `lightdefectnet` then takes 300 page faults instead of 7,000, which were a sixth of its time.
    """
    torch.empty(31 << 20, dtype=torch.uint8)


@contextlib.contextmanager
def using_threads(count: int | None) -> Iterator[None]:
    """Use this many CPU threads for a while."""
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep Lightning's notices about devices and loggers to itself; its errors are raised all the same."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="lightning")
        try:
            yield
        finally:
            for logger, level in zip(loggers, before, strict=True):
                logger.setLevel(level)
