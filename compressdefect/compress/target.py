"""How small or fast a model is to become: in macs, parameters, or milliseconds on the runtime that ships."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from torch import nn

from compressdefect import units
from compressdefect.compress.stage import Bench, Stage
from compressdefect.cost.counting import quick_macs, trainable
from compressdefect.cost.latency import latency_ms
from compressdefect.deploy.export import export_onnx
from compressdefect.errors import ModelError
from compressdefect.models.inspector import Inspector

ROUND = 0.7  # stays in a round, at least


class Quantity(NamedTuple):
    """What can be a target: how it is measured of a network (without its normalisation), and how it is written."""

    measure: Callable[[Bench, Inspector], float]
    show: Callable[[float], str]


class Target(NamedTuple):
    """So much of a quantity is to stay: at most ``limit``, or a ``share`` of what the model has."""

    quantity: str
    share: float | None = None
    limit: float | None = None


def _macs(bench: Bench, network: Inspector) -> float:
    return float(quick_macs(network.network, bench.images.shape))


def _params(bench: Bench, network: Inspector) -> float:
    return float(trainable(network))


def _latency_ms(bench: Bench, network: Inspector) -> float:
    graph = bench.new_file()
    export_onnx(network, bench.task, graph, input_shape=bench.images.shape, batch=1)
    return latency_ms(graph, threads=bench.threads)


QUANTITIES: Mapping[str, Quantity] = {
    "macs": Quantity(_macs, lambda value: f"{units.count(value)} macs"),
    "params": Quantity(_params, lambda value: f"{units.count(value)} params"),
    "latency": Quantity(_latency_ms, units.milliseconds),
}


class Measured(NamedTuple):
    """A target that is measured of a model's networks.

    Attributes:
        measure: of a bare network, the quantity.
        show: writes it.
        whole: of the first model.
        limit: the target.
    """

    measure: Callable[[nn.Module], float]
    show: Callable[[float], str]
    whole: float
    limit: float

    @classmethod
    def of(cls, target: Target, bench: Bench, first: Stage) -> Measured:
        """Measure the first model.

        Raises:
            ModelError: it is within the target.
        """
        quantity = QUANTITIES[target.quantity]

        def measure(bare: nn.Module) -> float:
            return quantity.measure(bench, Inspector(first.network.normalize, bare))

        whole = measure(first.network.network)
        limit = whole * target.share if target.share is not None else target.limit
        assert limit is not None, "a target has a share or a limit"
        if whole <= limit:
            raise ModelError("the model is below the target already", got=quantity.show(whole), fix="ask for less")
        return cls(measure, quantity.show, whole, limit)

    def rounds(self) -> Iterator[float]:
        """The limits of the rounds, down to the target in even steps."""
        yield from (share * self.whole for share in shares(self.limit / self.whole))


def shares(target: float) -> Iterator[float]:
    """What stays after each round, of which none takes more than ``ROUND`` leaves.

    >>> [round(share, 2) for share in shares(0.3)]
    [0.74, 0.55, 0.41, 0.3]
    """
    count = max(1, math.ceil(math.log(target) / math.log(ROUND) - 1e-9))
    yield from (target ** (number / count) for number in range(1, count + 1))
