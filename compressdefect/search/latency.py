"""The latency that the gate asks for: of the exported graph, on this machine."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import onnx
import torch
from torch import nn

from compressdefect.compress.precision import noise
from compressdefect.compress.quantize import FLAVOURS, FloatGraph, calibrate, quantized
from compressdefect.cost.latency import latency_ms
from compressdefect.deploy.export import export_onnx
from compressdefect.space.genotype import Genotype
from compressdefect.train.task import Task

_SETTLING_BATCHES = 3


@dataclass(frozen=True)
class LatencyProbe:
    """Exports an untrained design and times it; each design once.

    Latency does not depend on the weights as long as activations are ordinary numbers, so a few batches of noise settle
    the normalisation statistics first.

    Attributes:
        build: makes the design's network on raw pixels.
        task: decodes the outputs.
        input_shape: (C, H, W).
        batch: images per run; the answer is per image.
        threads: of onnxruntime.
        int8: whether the graph is timed in eight bits too; the faster one counts. One flavour is timed, and the one
            that a finished design ships in is at least as fast.
    """

    build: Callable[[Genotype], nn.Module]
    task: Task
    input_shape: tuple[int, int, int]
    batch: int = 1
    threads: int = 1
    int8: bool = False
    _known: dict[str, float] = field(default_factory=dict, repr=False, compare=False)

    def __call__(self, genotype: Genotype) -> float:
        """Milliseconds per image.

        Raises:
            ModelError: the design cannot be exported.
        """
        if genotype.fingerprint not in self._known:
            self._known[genotype.fingerprint] = self._measure(genotype)
        return self._known[genotype.fingerprint]

    def _measure(self, genotype: Genotype) -> float:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            network = _settled(self.build(genotype), self.input_shape)
        with tempfile.TemporaryDirectory(prefix="compressdefect-") as folder:
            path = Path(folder) / "design.onnx"
            export_onnx(network, self.task, path, input_shape=self.input_shape, batch=self.batch)
            found = latency_ms(path, batch=self.batch, threads=self.threads)
            if not self.int8:
                return found
            onnx.save(_in_eight_bits(path, self.input_shape), path)
            return min(found, latency_ms(path, batch=self.batch, threads=self.threads))


def _in_eight_bits(path: Path, input_shape: tuple[int, int, int]) -> onnx.ModelProto:
    graph = FloatGraph.read(path)
    return quantized(graph, calibrate(graph, noise(input_shape)), FLAVOURS[0])


def _settled(network: nn.Module, input_shape: tuple[int, int, int]) -> nn.Module:
    network.train()
    with torch.no_grad():
        for _ in range(_SETTLING_BATCHES):
            network(torch.randint(0, 256, (4, *input_shape), dtype=torch.uint8))
    return network.eval()
