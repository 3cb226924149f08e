"""A tiny network, its graph and its bundle; the network is built by hand so that these tests need no search space."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from compressdefect.cost.cost import Cost
from compressdefect.deploy.bundle import FP32, Bundle, write_bundle
from compressdefect.deploy.export import export_onnx
from compressdefect.deploy.manifest import (
    BundleManifest,
    CostFigures,
    GraphFigures,
    LatencyFigures,
    Parity,
    Preprocessing,
    Reading,
)
from compressdefect.models.graph import Heads
from compressdefect.models.inspector import Inspector
from compressdefect.train.classify import Classify

SHAPE = (3, 24, 20)
TASK = Classify(("good", "scratch", "spot"), good=0)
MEAN, STD = [120.0, 100.0, 90.0], [60.0, 50.0, 40.0]


class TinyNet(nn.Module):
    """Everything a real design has that the exporter could stumble on, with lively batch statistics."""

    def __init__(self, channels: int = 3, classes: int = 3) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(channels, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU())
        self.blur = nn.Sequential(nn.ReflectionPad2d(1), nn.Conv2d(8, 8, 3, 2, groups=8, bias=False))
        self.head = nn.Linear(8, 2 * classes)
        norm = self.stem[1]
        nn.init.uniform_(norm.running_mean, -1, 1)
        nn.init.uniform_(norm.running_var, 0.5, 2)
        nn.init.normal_(self.head.weight)

    def forward(self, x: Tensor) -> Tensor:
        features = self.blur(self.stem(x)).mean(dim=(2, 3))
        return self.head(features).unflatten(1, (2, -1))


DESIGN = {"kind": "timm", "timm": "test_tiny", "task": "classify"}


class TinyDesign:
    """Stands in for a parsed design."""

    name, genotype, input, tasks = "tiny", None, 224, ("classify",)

    def build(self, *, channels: int, heads: Heads) -> nn.Module:
        torch.manual_seed(0)
        return TinyNet(channels, sum(map(len, heads.values())))

    def cost(self, *, input_shape: tuple[int, int, int], heads: Heads, memory: bool = True) -> Cost:
        return Cost(
            10 * sum(map(len, heads.values())), macs=input_shape[0] * input_shape[1] * input_shape[2], peak_bytes=0
        )


def tiny_inspector() -> Inspector:
    torch.manual_seed(0)
    return Inspector.from_statistics(TinyNet(), MEAN, STD)


GRAPH = GraphFigures(
    precision="fp32",
    bytes=3_145_728,
    parity=Parity(images=64, max_difference=3e-7),
    latency=(LatencyFigures(batch=10, threads=1, median_ms=0.61, p95_ms=0.7),),
)


def manifest(**changes: object) -> BundleManifest:
    figures = {
        "n": 617,
        "accuracy": 0.98,
        "balanced_accuracy": 0.979,
        "interval": [0.966, 0.989],
        "escape": 0.031,
        "escape_interval": [0.02, 0.05],
        "overkill": 0.012,
        "overkill_interval": [0.004, 0.03],
    }
    fields = {
        "name": "timm:test",
        "design": DESIGN,
        "task": "classify",
        "heads": dict(TASK.heads),
        "reading": Reading.of(TASK),
        "classes": TASK.classes,
        "good": 0,
        "input": SHAPE,
        "preprocessing": Preprocessing(mean=tuple(MEAN), std=tuple(STD)),
        "threshold": 0.4375,
        "metrics": {"val": figures, "test": {**figures, "escape": 0.047}},
        "cost": CostFigures(params=770_000, macs=46_000_000, flops=92_000_000, peak_bytes=3 * 2**20),
        "graphs": {FP32: GRAPH},
        "default_graph": FP32,
        "machine": {"cpu": "a CPU", "cores": 2, "runtime": "onnxruntime 1.0"},
        "budgets": {"flops": 1e8},
        "data": {"name": "synthetic", "fingerprint": "0123abcd", "split": {"train": 164, "val": 41, "test": 617}},
        "training": {"seed": 3, "epochs": 40},
    }
    return BundleManifest.model_validate(fields | changes)


@pytest.fixture(scope="session")
def network() -> Inspector:
    return tiny_inspector()


@pytest.fixture(scope="session")
def graph(network: Inspector, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("graph") / FP32
    export_onnx(network, TASK, path, input_shape=SHAPE)
    return path


@pytest.fixture(scope="session")
def pixels() -> np.ndarray:
    """Noise of growing brightness, so that the answers differ."""
    highest = np.linspace(40, 256, 5).reshape(-1, 1, 1, 1)
    return np.random.default_rng(0).integers(0, highest, (5, *SHAPE), dtype=np.uint8)


@pytest.fixture
def bundle(tmp_path: Path, network: Inspector, graph: Path) -> Bundle:
    folder = tmp_path / "bundle"
    return write_bundle(folder, manifest(), network=network, graphs={FP32: graph}, extras={"split.json": "{}\n"})
