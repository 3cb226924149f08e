"""The recipe of one training."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import chain

import torch
from torch import nn
from torch.optim import SGD, AdamW, Optimizer

from compressdefect.data.augment.recipes import RECIPES
from compressdefect.errors import CompressDefectError, known_names
from compressdefect.train.schedule import SCHEDULES

OPTIMIZERS = ("adamw", "sgd")
AUGMENTATIONS = (*RECIPES, "none")
PRECISIONS = ("auto", "fp32", "bf16")


@dataclass(frozen=True)
class FitConfig:
    """How to train; JSON-able through ``dataclasses.asdict``.

    Attributes:
        epochs: passes over the training images.
        batch_size: images per step; the sizes are evened out so that no batch is left over.
        optimizer: ``adamw``, or ``sgd`` with Nesterov momentum 0.9.
        learning_rate: the schedule's peak.
        weight_decay: of the weights of convolutions and linear layers; biases, normalisation and learned scales,
            whatever their shape, are not decayed.
        schedule: ``cosine`` or ``onecycle``, moved at every step.
        clip_norm: largest norm of a step's gradient.
        balance: how evenly an epoch shows the classes, from 0 (as often as they occur) to 1 (``train.sampling``).
        augment: an augmentation by name (``data.augment.recipes.RECIPES``), or ``none``.
        gradual: ``on``, or when to stop magnifying defects and when to let normal images in, such as ``20k,80k`` steps
            (``train.gradual.Gradual.parse``); None shows all images from the start.
        precision: ``fp32``, ``bf16`` (autocast), or ``auto``; see ``uses_bf16``.
        accelerator: Lightning's name: ``auto`` (a GPU when there is one), ``cpu``, ``gpu`` …
        score_every: epochs between scores of the validation part; the last epoch is always scored.
        seed: of batch order, augmentation and dropout.
        threads: CPU threads; None leaves PyTorch's setting.
    """

    epochs: int = 100
    batch_size: int = 32
    optimizer: str = "adamw"
    learning_rate: float = 3e-3
    weight_decay: float = 0.05
    schedule: str = "onecycle"
    clip_norm: float = 5.0
    balance: float = 0.5
    augment: str = "standard"
    gradual: str | None = None
    precision: str = "auto"
    accelerator: str = "auto"
    score_every: int = 3
    seed: int = 0
    threads: int | None = None

    def __post_init__(self) -> None:
        names = {"optimizer": OPTIMIZERS, "schedule": SCHEDULES, "augment": AUGMENTATIONS, "precision": PRECISIONS}
        for field, known in names.items():
            value = getattr(self, field)
            if value not in known:
                raise CompressDefectError(f"unknown {field}", got=value, fix=known_names(str(value), known))
        for field, least in (("epochs", 1), ("batch_size", 2), ("score_every", 1)):
            if getattr(self, field) < least:
                raise CompressDefectError(f"{field} must be at least {least}", got=getattr(self, field))
        if not 0 <= self.balance <= 1:
            raise CompressDefectError("balance must be from 0 to 1", got=self.balance, fix="use a value like 0.5")
        if not (math.isfinite(self.learning_rate) and self.learning_rate > 0):
            raise CompressDefectError("the learning rate must be a positive number", got=self.learning_rate)


def make_optimizer(network: nn.Module, config: FitConfig) -> Optimizer:
    """Build the optimizer, with weight decay only where it acts on directions and not on scales and offsets."""
    decayed: list[nn.Parameter] = []
    free: list[nn.Parameter] = []
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            (decayed if name.endswith("weight") and parameter.ndim >= 2 else free).append(parameter)
    groups = [
        {"params": decayed, "weight_decay": config.weight_decay},
        {"params": free, "weight_decay": 0.0},
    ]
    if config.optimizer == "sgd":
        return SGD(groups, lr=config.learning_rate, momentum=0.9, nesterov=True)
    return AdamW(groups, lr=config.learning_rate, fused=True)


def clip_gradients(optimizer: Optimizer, norm: float) -> None:
    """Scale all gradients down alike where their norm is larger, in a third of the time of PyTorch's own on a CPU."""
    parameters = chain.from_iterable(group["params"] for group in optimizer.param_groups)
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    found = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
    torch._foreach_mul_(gradients, (norm / (found + 1e-6)).clamp(max=1.0))


def uses_bf16(precision: str, device: torch.device) -> bool:
    """Whether to train under bfloat16 autocast.

    ``auto`` does where the device multiplies bfloat16 in hardware: a CUDA GPU since Ampere, a CPU with AVX512-BF16 or
    AMX. Elsewhere bfloat16 is emulated and slower than float32.
    """
    if precision != "auto":
        return precision == "bf16"
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type == "cpu" and (
        torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()  # public only since torch 2.13
    )
