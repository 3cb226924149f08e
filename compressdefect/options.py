"""What a user can ask of the long commands, with the defaults in one place."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class DataOptions:
    """Which images, how they are read and split, and what every training is told."""

    data: str = "synthetic"
    format: str | None = None
    labels: str = "all"
    good: str | None = None
    unlabelled: str | None = None
    group: str = "auto"
    split: str | None = None
    test_share: float | None = None
    val_share: float = 0.2
    input: int | None = None
    tile: int | None = None
    task: str | None = None
    metric: str | None = None
    overkill: float = 0.01
    loss: str | None = None
    balance: float | None = None
    gradual: str | None = None
    augment: str | None = None
    epochs: int | None = None
    time: str | None = None
    accelerator: str = "auto"
    threads: int = 1
    peers: str = "timm:mobilenetv3_large_100,timm:efficientnet_b0"
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class TrainOptions(DataOptions):
    """How one model is trained; what is not given is the recipe's own."""

    optimizer: str | None = None
    schedule: str | None = None
    learning_rate: float | None = None
    batch_size: int | None = None


@dataclass(frozen=True, kw_only=True)
class SearchOptions(DataOptions):
    """Where to search, under which budgets, and how."""

    space: str | None = None
    budget_flops: str | None = None
    budget_macs: str | None = None
    budget_params: str | None = None
    budget_memory: str | None = None
    budget_latency: str | None = None
    objective: str = "netscore"
    latency_exponent: float = 0.0
    sampler: str = "tpe"
    trials: int | None = None
    workers: int = 1
    threads_per_trial: int | None = None
    storage: str | None = None
    study: str = "search"
