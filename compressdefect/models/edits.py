"""Channels taken out of a network: plain data, which slicing turns into a smaller network.

An edit says of one layer, by its name in the network, which of its inputs and outputs are kept. A pruned network is its
design plus such edits: whoever has both can build it again, without what chose the channels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from compressdefect.blocks.condenser import Condenser
from compressdefect.errors import ModelError

Indices = tuple[int, ...]


class Kept(NamedTuple):
    """The channels of a layer that stay, as rising indices; None keeps them all.

    A depthwise convolution has outputs only. The inputs of a grouped one are those of the whole layer, as many of each
    group; so are its outputs.
    """

    inputs: Indices | None = None
    outputs: Indices | None = None


Edits = Mapping[str, Kept]


def apply_edits(network: nn.Module, edits: Edits) -> None:
    """Cut a network down to what is kept, in place; weights that stay keep their values.

    Raises:
        ModelError: an edit is of no layer of this network, or of channels that it does not have.
    """
    for name, kept in edits.items():
        try:
            layer = network.get_submodule(name)
        except AttributeError as error:
            raise ModelError("an edit is of a layer that the network does not have", got=name) from error
        cut = _cut_of(layer)
        if cut is None:
            raise ModelError(f"no channels can be cut from {name}", got=type(layer).__name__)
        cut(name, layer, kept)


def composed(first: Edits, second: Edits) -> dict[str, Kept]:
    """The edits that do both, where those of the second are of what the first left.

    >>> composed({"stem": Kept(outputs=(1, 4, 5))}, {"stem": Kept(outputs=(0, 2))})
    {'stem': Kept(inputs=None, outputs=(1, 5))}
    """
    both = dict(first)
    for name, kept in second.items():
        before = first.get(name, Kept())
        both[name] = Kept(*(_composed(*sides) for sides in zip(before, kept, strict=True)))
    return both


def _composed(first: Indices | None, second: Indices | None) -> Indices | None:
    if first is None or second is None:
        return first if second is None else second
    return tuple(first[index] for index in second)


def cuttable(layer: nn.Module) -> bool:
    """Whether channels can be taken out of a layer."""
    return _cut_of(layer) is not None


def edits_to_json(edits: Edits) -> dict[str, Any]:
    """Edits as JSON-able data."""
    return {
        name: {side: list(kept) for side, kept in edit._asdict().items() if kept is not None}
        for name, edit in edits.items()
    }


def edits_from_json(data: Mapping[str, Any]) -> dict[str, Kept]:
    """Make edits again from their JSON.

    Raises:
        KeyError, TypeError: it is damaged.
    """
    return {name: Kept(*(_indices(edit.get(side)) for side in Kept._fields)) for name, edit in data.items()}


def _indices(found: object) -> Indices | None:
    if found is None:
        return None
    if not isinstance(found, list) or not all(type(index) is int for index in found):
        raise TypeError("kept channels are a list of whole numbers")
    return tuple(found)


def _cut_convolution(name: str, layer: Any, kept: Kept) -> None:
    groups, per_group = layer.groups, layer.in_channels // layer.groups
    outputs = _checked(name, kept.outputs, layer.out_channels)
    weight = layer.weight.detach()[outputs]
    if groups == layer.out_channels > 1:
        layer.groups = layer.in_channels = len(outputs)
    else:
        inputs = _checked(name, kept.inputs, layer.in_channels)
        of_group = [inputs[inputs // per_group == group] - group * per_group for group in range(groups)]
        counts = torch.bincount(outputs // (layer.out_channels // groups), minlength=groups)
        if len({len(own) for own in of_group}) > 1 or len(counts.unique()) > 1:
            raise ModelError(f"the groups of {name} would differ in size", got=counts.tolist())
        weight = torch.cat([part[:, own] for part, own in zip(weight.split(counts.tolist()), of_group, strict=True)])
        layer.in_channels = len(inputs)
    layer.out_channels = len(outputs)
    layer.weight = nn.Parameter(weight.contiguous())
    if layer.bias is not None:
        layer.bias = nn.Parameter(layer.bias.detach()[outputs])


def _cut_linear(name: str, layer: Any, kept: Kept) -> None:
    inputs, outputs = (
        _checked(name, indices, count)
        for indices, count in ((kept.inputs, layer.in_features), (kept.outputs, layer.out_features))
    )
    layer.weight = nn.Parameter(layer.weight.detach()[outputs][:, inputs].contiguous())
    if layer.bias is not None:
        layer.bias = nn.Parameter(layer.bias.detach()[outputs])
    layer.in_features, layer.out_features = len(inputs), len(outputs)


def _cut_norm(name: str, layer: Any, kept: Kept) -> None:
    outputs = _checked(name, kept.outputs, layer.num_features)
    for key in ("weight", "bias"):
        if getattr(layer, key) is not None:
            setattr(layer, key, nn.Parameter(getattr(layer, key).detach()[outputs]))
    for key in ("running_mean", "running_var"):
        setattr(layer, key, getattr(layer, key)[outputs])
    layer.num_features = len(outputs)


def _cut_condenser(name: str, layer: Any, kept: Kept) -> None:
    outputs = _checked(name, kept.outputs, layer.scale.shape[1])
    layer.scale = nn.Parameter(layer.scale.detach()[:, outputs])


def _checked(name: str, indices: Sequence[int] | None, count: int) -> Tensor:
    """The indices as a tensor; all of ``count`` where they are None."""
    kept = range(count) if indices is None else indices
    if not len(kept) or list(kept) != sorted(set(kept)) or kept[0] < 0 or kept[-1] >= count:
        raise ModelError(f"an edit of {name} keeps channels that it does not have", got=list(kept)[:8])
    return torch.tensor(kept, dtype=torch.long)


def _cut_of(layer: nn.Module) -> Callable[[str, Any, Kept], None] | None:
    return next((cut for kind, cut in _CUTS.items() if isinstance(layer, kind)), None)


_CUTS: Mapping[type[nn.Module], Callable[[str, Any, Kept], None]] = {
    nn.Conv2d: _cut_convolution,
    nn.Linear: _cut_linear,
    nn.BatchNorm2d: _cut_norm,
    Condenser: _cut_condenser,
}
"""How each kind of layer is cut; what is in none has no channels of its own."""
