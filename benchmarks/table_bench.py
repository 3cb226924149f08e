"""Trainings, probes and proxies of one design on one dataset, for the evaluation table."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from inherit import inherit
from numpy.typing import NDArray
from table_designs import SIDE
from torch import Tensor, nn

from compressdefect.data.images import SYNTHETIC, Images
from compressdefect.data.load import load_images
from compressdefect.data.shrink import at_side
from compressdefect.data.split import Split, make_split
from compressdefect.data.statistics import pixel_statistics
from compressdefect.data.synthetic.plates import plates
from compressdefect.models.inspector import Inspector
from compressdefect.models.templates import TEMPLATES
from compressdefect.space.genotype import Genotype
from compressdefect.train.batches import gather, steps_per_epoch
from compressdefect.train.config import FitConfig
from compressdefect.train.fit import fit
from compressdefect.train.predict import predict
from compressdefect.train.task import Aim, Task
from compressdefect.train.tasks import task_kind
from compressdefect.train.validate import seeded

HALF = 112
PASSES, RUNG0_STEPS, CHILD_STEPS, RUNG1_STEPS, SMALL_BATCH = 20_000, 64, 32, 256, 16
VAL_SHARE, FRESH_PLATES = 0.3, 400
METRICS = {"magnetic_tile": "balanced_accuracy"}


@dataclass(frozen=True)
class Data:
    """What designs are trained and scored on, at both sizes."""

    images: Mapping[int, Images]
    train: NDArray[np.int64]
    val: NDArray[np.int64]
    task: Task


def load(dataset: str, folder: str) -> Data:
    """A dataset without its test part; synthetic plates are validated on fresh ones."""
    if dataset == SYNTHETIC:
        shown = plates()
        train = make_split(shown).train
        fresh = plates(FRESH_PLATES // 2, FRESH_PLATES // 2, seed=1000)
        pixels = np.concatenate([shown.pixels[train], fresh.pixels])
        labels = np.concatenate([shown.labels[train], fresh.labels])
        names = tuple(f"{i:04d}" for i in range(len(labels)))
        images = replace(shown, pixels=pixels, labels=labels, names=names, hashes=names, groups=np.arange(len(labels)))
        split = Split(np.arange(len(train)), np.arange(len(train), len(labels)), np.arange(0))
    else:
        images = load_images(str(Path(folder) / dataset), input=SIDE)
        split = make_split(images, val_share=VAL_SHARE)
    task = task_kind("classify").on_images(images, Aim(metric=METRICS.get(dataset)))
    return Data({SIDE: images, HALF: at_side(images, HALF)}, split.train, split.val, task)


@dataclass(frozen=True)
class Bench:
    """Trains and probes designs on one dataset with one seed."""

    data: Data
    seed: int
    threads: int

    def built(self, genotype: Genotype, side: int = SIDE) -> Inspector:
        images = self.data.images[side]
        graph = TEMPLATES[genotype.template].describe(genotype, self.data.task.heads)
        mean, std = pixel_statistics(images, self.data.train)
        return seeded(lambda: Inspector.from_statistics(graph.build(images.shape[0]), mean, std), self.seed)

    def trained(
        self,
        genotype: Genotype,
        measure: str,
        side: int,
        steps: int | None,
        parent: tuple[str, Mapping[str, Tensor]] | None = None,
    ) -> tuple[Inspector, dict[str, Any]]:
        """Train as many steps, None for ``PASSES`` by the product's recipe, and answer the validation part."""
        data, few = self.data, len(self.data.train) < 500
        batch = SMALL_BATCH if few or steps is not None else FitConfig().batch_size
        per_epoch = steps_per_epoch(len(data.train), batch)
        epochs = max(1, round((PASSES / batch if steps is None else steps) / per_epoch))
        config = FitConfig(
            epochs=epochs, batch_size=batch, seed=self.seed, threads=self.threads, score_every=epochs + 1
        )
        network = self.built(genotype, side)
        if parent is not None:
            inherit(network, parent[1])
        began = time.monotonic()
        found = fit(network, data.images[side], data.train, data.val, data.task, config)
        assert found.val_records is not None
        thousandths = np.rint(1000 * found.val_records).astype(int)
        return network, {
            "measure": measure,
            "side": side,
            "steps": epochs * per_epoch,
            "seconds": round(time.monotonic() - began, 2),
            "parent": parent[0] if parent else "",
            "probabilities": ";".join(" ".join(map(str, image)) for image in thousandths),
        }

    def log_loss(self, network: nn.Module, side: int) -> float:
        images, val = self.data.images[side], self.data.val
        found = predict(network, images, val, self.data.task)
        true = found[np.arange(len(val)), images.labels[val]]
        return float(-np.log(np.maximum(true, 5e-4)).mean())

    def probes(self, network: Inspector) -> dict[str, float]:
        """How much the log loss rises when noise as large as a stage's own spread is added to its output."""
        plain, found = self.log_loss(network, HALF), {}
        for name, module in network.named_modules():
            if name.endswith(".columns"):
                generator = torch.Generator().manual_seed(0)

                def noised(_: nn.Module, __: object, out: Tensor, generator: torch.Generator = generator) -> Tensor:
                    return out + out.std() * torch.randn(out.shape, generator=generator)

                handle = module.register_forward_hook(noised)
                found[name.split(".")[-2]] = round(self.log_loss(network, HALF) - plain, 4)
                handle.remove()
        return found

    def proxies(self, network: Inspector) -> dict[str, float]:
        """Zero-cost proxies of the untrained network at full resolution: synflow, gradient norm, NASWOT."""
        images = self.data.images[SIDE]
        rows = np.random.default_rng(0).permutation(self.data.train)[:SMALL_BATCH]
        pixels, labels = gather(images, rows), torch.from_numpy(images.labels[rows])
        codes: list[Tensor] = []
        hooks = [
            module.register_forward_hook(lambda _, __, out: codes.append((out > 0).flatten(1).float()))
            for module in network.modules()
            if isinstance(module, nn.ReLU)
        ]
        network.train()
        out = network(pixels)
        for hook in hooks:
            hook.remove()
        columns = out if out.ndim == 3 else out.unsqueeze(1)
        loss = nn.functional.cross_entropy(columns.mean(dim=1).float(), labels)
        loss.backward()
        norm = sum(float(p.grad.norm()) for p in network.parameters() if p.grad is not None)
        network.zero_grad()
        kernel = sum(code @ code.T + (1 - code) @ (1 - code).T for code in codes) if codes else torch.eye(2)
        found = {"grad_norm": norm, "naswot": float(torch.linalg.slogdet(kernel.double())[1])}
        found["synflow"] = _synflow(network, images.shape)
        return {name: round(value, 4) for name, value in found.items()}


def _synflow(network: Inspector, shape: tuple[int, int, int]) -> float:
    """log Σ |θ · ∂R/∂θ| of the network with absolute weights, on an image of ones (Tanaka et al., 2020)."""
    body = network.network.double().eval()
    with torch.no_grad():
        for tensor in body.state_dict().values():
            tensor.abs_()
    body.zero_grad()
    out = body(torch.ones(1, *shape, dtype=torch.float64))
    out.sum().backward()
    total = sum(float((p * p.grad).detach().abs().sum()) for p in body.parameters() if p.grad is not None)
    return math.log(max(total, 1e-300))
