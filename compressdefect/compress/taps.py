"""Where a network's maps are read while it runs: the last one of each resolution, by the name of what makes it.

Of our families that is a node of the graph, of timm's networks what their ``feature_info`` names, of timm's encoders
what they return. A network under training may have some of its blocks exchanged (``train.training_form``), so its
modules are found by their names each time that it runs; blocks inside an exchanged one are no such places.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import takewhile
from typing import NamedTuple

import torch
from torch import Tensor, nn

from compressdefect.cost.piece import Shape
from compressdefect.errors import ModelError
from compressdefect.models.graph import Network
from compressdefect.models.inspector import Inspector
from compressdefect.models.pretrained import PretrainedSegmenter

LEAST_LEVEL = 2  # maps of half the image's side and above are large, and say little yet
PAIRS = 3  # the deepest ones that both have


class Tap(NamedTuple):
    """A place in a network.

    Attributes:
        module: by its name.
        item: which of the maps that it returns; None where it returns one.
        channels: of the map.
        size: its height and width.
    """

    module: str
    item: int | None
    channels: int
    size: tuple[int, int]


Maps = dict[int, Tensor]  # by their level


def taps_of(network: nn.Module, shape: Shape) -> dict[int, Tap]:
    """The last map of each level that a network has for images (C, H, W): its side is H / 2 ** level, about.

    Only maps of a quarter of the image's side and below, so level 2 and up; a map of one place is none.
    """
    if not isinstance(network, Inspector):
        return {}
    names = [f"network.{name}" for name in _places(network.network)]
    found: dict[int, Tap] = {}
    for name, made in _shown(network, names, shape).items():
        several = not isinstance(made, Tensor)
        for item, one in enumerate(made if several else [made]):
            if one.dim() == 4 and one.shape[-1] * one.shape[-2] > 1:
                _, channels, height, width = one.shape
                level = round(math.log2(shape[1] / height))
                found[level] = Tap(name, item if several else None, channels, (height, width))
    return {level: tap for level, tap in found.items() if level >= LEAST_LEVEL}


def pairs_of(student: Mapping[int, Tap], teacher: Mapping[int, Tap]) -> list[tuple[int, int]]:
    """The levels whose maps are compared, the student's and the teacher's: the deepest that both have.

    Where they have none in common it is the deepest of each.

    Raises:
        ModelError: one of them has no maps.
    """
    for who, taps in (("student", student), ("teacher", teacher)):
        if not taps:
            raise ModelError(f"the {who} has no maps to compare", fix="use --method answers")
    common = sorted(student.keys() & teacher.keys())[-PAIRS:]
    return [(level, level) for level in common] or [(max(student), max(teacher))]


@contextmanager
def tapped(network: nn.Module, taps: Mapping[int, Tap]) -> Iterator[Maps]:
    """Has the maps of a network (N, C, h, w), by their levels, once it has run."""
    maps: Maps = {}

    def keep(level: int, item: int | None, module: nn.Module, given: object, made: Tensor | Sequence[Tensor]) -> None:
        maps[level] = made if isinstance(made, Tensor) else made[item or 0]

    hooks = [
        network.get_submodule(tap.module).register_forward_hook(partial(keep, level, tap.item))
        for level, tap in taps.items()
    ]
    try:
        yield maps
    finally:
        for hook in hooks:
            hook.remove()


def _places(bare: nn.Module) -> list[str]:
    """The names of the modules whose outputs may be read, in the order in which they run."""
    if isinstance(bare, Network):
        trunk = takewhile(lambda node: not node.name.startswith("decoder."), bare.graph.nodes)
        heads = set(bare.graph.outputs.values())
        return [node.name for node in trunk if node.name not in heads and not node.shares]
    if isinstance(bare, PretrainedSegmenter):
        return ["encoder"]
    if getattr(bare, "output_fmt", "NCHW") != "NCHW":
        return []
    return [info["module"] for info in getattr(bare, "feature_info", ())]


def _shown(network: nn.Module, names: list[str], shape: Shape) -> dict[str, Tensor | Sequence[Tensor]]:
    """What these modules return of a black image, in their order."""
    found: dict[str, Tensor | Sequence[Tensor]] = {}

    def keep(name: str, module: nn.Module, given: object, made: Tensor | Sequence[Tensor]) -> None:
        found[name] = made

    hooks = [network.get_submodule(name).register_forward_hook(partial(keep, name)) for name in names]
    was_training = network.training
    device = next((parameter.device for parameter in network.parameters()), torch.device("cpu"))
    try:
        with torch.no_grad():
            network.eval()(torch.zeros(1, *shape, dtype=torch.uint8, device=device))
    finally:
        network.train(was_training)
        for hook in hooks:
            hook.remove()
    return {name: found[name] for name in names if name in found}
