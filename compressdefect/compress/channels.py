"""Which channels of a network can only be taken out together: the one file that knows torch-pruning.

torch-pruning follows the gradients of one pass through a network and says, for the output channels of a layer, which
others go with them: of batch norms, of the inputs of the layers behind, of what is added or concatenated. Here that
becomes units, the smallest sets of channels that can be taken out, as the connected parts of all it says. So channels
that are tied in two ways are in one unit, and a grouped convolution, which torch-pruning leaves alone beside a
concatenation, needs one more tie: the channels of the same number in each of its groups go together.
"""

from __future__ import annotations

import copy
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
import torch_pruning as tp
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from torch import nn

from compressdefect.models.edits import Edits, Kept, cuttable

INPUTS, OUTPUTS = Kept._fields
Place = tuple[str, str]  # a layer's name, and one of the two
Channels = NDArray[np.int64]

ALIGNED = 8  # wide layers keep a multiple of so many channels: CPU kernels have vectors of so many
NARROW = 16  # channels below which a layer is not aligned
FEWEST = 8  # of so many units one stays


@dataclass(frozen=True)
class UnitGroup:
    """Units that have channels in the same places, as many each.

    Attributes:
        places: of each place the channels (units, m) that belong to each unit.
        step: how many units are taken out at a time, so that wide layers stay aligned.
        least: how many stay at least.
    """

    places: Mapping[Place, Channels]
    step: int
    least: int

    def __len__(self) -> int:
        return len(next(iter(self.places.values())))

    def rounded(self, units: float) -> int:
        """The number of units to keep, for a wish: upwards, in steps."""
        return min(len(self), max(self.least, math.ceil(units / self.step) * self.step))


class Coupling(NamedTuple):
    """What can be taken out of a network.

    Attributes:
        groups: the units that can, in the order of their layers.
        widths: how many channels there are in each place.
        fixed: the layers that can lose no output.
    """

    groups: tuple[UnitGroup, ...]
    widths: Mapping[Place, int]
    fixed: tuple[str, ...]

    def edits(self, kept: Sequence[Channels]) -> Edits:
        """What is kept of every layer where of each group these units are."""
        gone: dict[Place, set[int]] = defaultdict(set)
        for group, units in zip(self.groups, kept, strict=True):
            removed = np.setdiff1d(np.arange(len(group)), units)
            for place, channels in group.places.items():
                gone[place].update(channels[removed].ravel().tolist())
        sides: dict[str, dict[str, tuple[int, ...]]] = defaultdict(dict)
        for (name, side), missing in gone.items():
            if missing:
                stay = range(self.widths[name, side])
                sides[name][side] = tuple(channel for channel in stay if channel not in missing)
        return {name: Kept(**of) for name, of in sides.items()}


def couple(network: nn.Module, shape: tuple[int, int, int]) -> Coupling:
    """Find what can be taken out of a network on normalised images (C, H, W).

    Channels stay where nothing reads them, as answers do, and where a layer that ``edits`` cannot cut has a part in
    them.
    """
    network = copy.deepcopy(network).eval()
    names = {module: name for name, module in network.named_modules()}
    ties, fixed, widths = _ties(network, names, shape)
    offsets = dict(zip(widths, np.cumsum([0, *widths.values()]).tolist(), strict=False))
    ends = [np.concatenate(side) for side in zip(*(_edge(offsets, *tie) for tie in ties), strict=True)]
    count = sum(widths.values())
    graph = coo_array((np.ones(len(ends[0])), (ends[0], ends[1])), shape=(count, count))
    _, unit_of = connected_components(graph, directed=False)
    stuck = {unit_of[offsets[place] + channel] for place, channels in fixed for channel in channels}
    groups = _groups(widths, offsets, unit_of, stuck)
    free = {place for group in groups for place in group.places}
    return Coupling(
        groups, widths, tuple(name for name, side in widths if side == OUTPUTS and (name, side) not in free)
    )


Tie = tuple[Place, Sequence[int], Place, Sequence[int]]


def _ties(
    network: nn.Module, names: Mapping[nn.Module, str], shape: tuple[int, int, int]
) -> tuple[list[Tie], list[tuple[Place, Sequence[int]]], dict[Place, int]]:
    """Pairs of channels that go together, channels that stay, and the width of every place that was met."""
    graph = tp.DependencyGraph()
    own = list(_own_parameters(network))
    graph.build_dependency(network, torch.rand(2, *shape), unwrapped_parameters=own, verbose=False)
    ties: list[Tie] = []
    fixed: list[tuple[Place, Sequence[int]]] = []
    widths: dict[Place, int] = {}
    for group in graph.get_all_groups():
        root = (names[group[0].dep.target.module], OUTPUTS)
        widths.setdefault(root, len(group[0].idxs))
        for item in group:
            place = _place(graph, names, item.dep)
            if place is None:
                continue
            widths.setdefault(place, _width(network, place))
            ties.append((root, item.root_idxs, place, item.idxs))
            if not cuttable(network.get_submodule(place[0])):
                fixed.append((root, item.root_idxs))
    for module, name in names.items():
        if isinstance(module, nn.Conv2d) and 1 < module.groups < module.out_channels:
            ties += [
                tie for side in (INPUTS, OUTPUTS) if (name, side) in widths for tie in _grouped(name, side, module)
            ]
    return ties, fixed, widths


def _grouped(name: str, side: str, layer: nn.Conv2d) -> Iterator[Tie]:
    """The channels of the same number in every group of a convolution, tied to those of the first group."""
    place, size = (name, side), (layer.in_channels if side == INPUTS else layer.out_channels) // layer.groups
    for group in range(1, layer.groups):
        yield place, range(size), place, range(group * size, (group + 1) * size)


def _place(graph: Any, names: Mapping[nn.Module, str], dependency: Any) -> Place | None:
    """Where a dependency takes channels out; None where it is an operator without channels of its own."""
    target = dependency.target
    if isinstance(target.module, nn.Parameter):
        return graph._param_to_name[target.module].rpartition(".")[0], OUTPUTS
    if target.module not in names:
        return None
    both = isinstance(target.module, nn.Conv2d) and target.module.groups == target.module.out_channels > 1
    is_input = graph.is_in_channel_pruning_fn(dependency.handler) and not graph.is_out_channel_pruning_fn(
        dependency.handler
    )
    return names[target.module], INPUTS if is_input and not both else OUTPUTS


def _own_parameters(network: nn.Module) -> Iterator[tuple[nn.Parameter, int]]:
    """Parameters that are a block's own, with the dimension that counts channels."""
    for module in network.modules():
        for parameter in module.parameters(recurse=False):
            if parameter.ndim == 4 and parameter.shape[0] == 1 and not isinstance(module, nn.Conv2d):
                yield parameter, 1


def _width(network: nn.Module, place: Place) -> int:
    layer: Any = network.get_submodule(place[0])
    for name in ("in_channels", "in_features") if place[1] == INPUTS else ("out_channels", "out_features"):
        if hasattr(layer, name):
            return int(getattr(layer, name))
    return max(parameter.numel() for parameter in layer.parameters(recurse=False))


def _edge(
    offsets: Mapping[Place, int], one: Place, channels: Sequence[int], other: Place, others: Sequence[int]
) -> tuple[Channels, Channels]:
    return offsets[one] + np.asarray(channels), offsets[other] + np.asarray(others)


def _groups(
    widths: Mapping[Place, int], offsets: Mapping[Place, int], unit_of: Channels, stuck: set[int]
) -> tuple[UnitGroup, ...]:
    """Units that can be taken out, by the places that they have channels in."""
    units: dict[int, dict[Place, list[int]]] = defaultdict(lambda: defaultdict(list))
    for place, width in widths.items():
        for channel in range(width):
            unit = int(unit_of[offsets[place] + channel])
            if unit not in stuck:
                units[unit][place].append(channel)
    alike: dict[tuple[tuple[Place, int], ...], list[dict[Place, list[int]]]] = defaultdict(list)
    read = [of_unit for of_unit in units.values() if any(side == INPUTS for _, side in of_unit)]
    for of_unit in read:
        alike[tuple((place, len(channels)) for place, channels in of_unit.items())].append(of_unit)
    return tuple(_group([place for place, _ in kind], members) for kind, members in alike.items())


def _group(places: Sequence[Place], units: Sequence[Mapping[Place, list[int]]]) -> UnitGroup:
    channels = {place: np.array([unit[place] for unit in units]) for place in places}
    steps = [ALIGNED // math.gcd(ALIGNED, found.shape[1]) for found in channels.values() if found.size >= NARROW]
    step = min(max(steps, default=1), len(units))
    return UnitGroup(channels, step, min(len(units), math.ceil(len(units) / FEWEST / step) * step))
