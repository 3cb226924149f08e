"""Structured pruning: whole channels go, by their importance, until a target is met.

Nothing is masked: what is left is a smaller network, described by its design and ``models.edits``. Channels that can
only go together are weighed together (``compress.channels``), and wide layers keep a multiple of eight channels, since
kernels are no faster for fewer, and often slower.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from compressdefect.compress.channels import INPUTS, OUTPUTS, Channels, Coupling, UnitGroup
from compressdefect.errors import ModelError, known_names
from compressdefect.models.edits import Edits, apply_edits

Scores = NDArray[np.float64]
Gradients = Mapping[str, Tensor]  # of each parameter, by its name

HALVINGS = 8  # of what is taken, to find how much is enough
SCOPES = ("global", "layer")


@dataclass(frozen=True)
class PruneConfig:
    """How channels are chosen.

    Attributes:
        importance: one of ``IMPORTANCES``.
        scope: "global" compares the channels of all layers, so that some layers lose more than others; "layer" takes
            the same share of each.
        seed: of random importance.

    Raises:
        ModelError: a name is unknown.
    """

    importance: str = "taylor"
    scope: str = "global"
    seed: int = 0

    def __post_init__(self) -> None:
        for field, known in (("importance", IMPORTANCES), ("scope", SCOPES)):
            name = getattr(self, field)
            if name not in known:
                raise ModelError(f"unknown {field} of channels", got=name, fix=known_names(name, known))


Measure = Callable[[nn.Module], float]  # the macs, parameters or latency of a network
Show = Callable[[float], str]


def prune(
    network: nn.Module,
    coupling: Coupling,
    config: PruneConfig,
    *,
    limit: float,
    measure: Measure,
    gradients: Gradients | None = None,
) -> Edits:
    """Choose what to keep of a network so that what is measured of it is at most a limit, and little below it.

    Args:
        network: with its weights; it is left as it is.
        coupling: what ``couple`` found in it.
        config: how to choose.
        limit: of what ``measure`` says, within what ``check_limit`` allows.
        measure: what is to become less.
        gradients: of the task's loss, for the importance ``taylor``.
    """
    scores = importances(network, coupling, config, gradients or {})

    def edits(share: float) -> Edits:
        return coupling.edits(kept(coupling.groups, scores, share, config.scope))

    low, high = 0.0, 1.0
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if measure(_cut(network, edits(middle))) <= limit else (middle, high)
    return edits(high)


def check_limit(network: nn.Module, coupling: Coupling, limit: float, measure: Measure, show: Show) -> None:
    """Refuse a limit that pruning cannot reach.

    Raises:
        ModelError: it is such a limit; the message says how far pruning can go, and what stays.
    """
    fewest = [np.arange(group.least) for group in coupling.groups]
    if (least := measure(_cut(network, coupling.edits(fewest)))) > limit:
        stays = f"no output can go of {_some(coupling.fixed)}, and of every other layer some stay"
        raise ModelError(
            "pruning cannot reach the target",
            got=f"{show(least)} at the least; {stays}",
            fix=f"ask for {show(least)} or more",
        )


def _cut(network: nn.Module, edits: Edits) -> nn.Module:
    smaller = copy.deepcopy(network)
    apply_edits(smaller, edits)
    return smaller


def kept(groups: Sequence[UnitGroup], scores: Sequence[Scores], share: float, scope: str) -> list[Channels]:
    """The units of each group that stay, as rising indices, where so much of all is taken.

    Each group keeps its best, at least as many as would stay without rounding.
    """
    threshold = np.quantile(np.concatenate(scores), share) if scope == "global" and len(scores) else 0.0
    found = []
    for group, own in zip(groups, scores, strict=True):
        wish = float((own >= threshold).sum()) if scope == "global" else (1 - share) * len(group)
        best = np.argsort(-own, kind="stable")[: group.rounded(wish)]
        found.append(np.sort(best))
    return found


def importances(network: nn.Module, coupling: Coupling, config: PruneConfig, gradients: Gradients) -> list[Scores]:
    """How much each unit of each group matters; the mean of every group is 1, so that layers compare."""
    rng = np.random.default_rng(config.seed)
    found = []
    for group in coupling.groups:
        raw = IMPORTANCES[config.importance](network, group, gradients, rng)
        found.append(raw / mean if (mean := raw.mean()) > 0 else np.ones_like(raw))
    return found


Importance = Callable[[nn.Module, UnitGroup, Gradients, np.random.Generator], Scores]
Weighing = Callable[[str, Tensor], Tensor]  # a parameter by its name → what each of its weights counts, of its shape


def _magnitude(network: nn.Module, group: UnitGroup, gradients: Gradients, rng: np.random.Generator) -> Scores:
    """Σ w² over all weights that go with a unit (Li et al., 2017, over groups: Fang et al., 2023, equation 5)."""
    return _weighed(network, group, lambda name, weights: weights.square())


def _taylor(network: nn.Module, group: UnitGroup, gradients: Gradients, rng: np.random.Generator) -> Scores:
    """(Σ g·w)² over all weights that go with a unit: what the loss changes without them (Molchanov et al., 2019)."""
    return _weighed(network, group, lambda name, weights: weights * gradients[name].double()) ** 2


def _scale(network: nn.Module, group: UnitGroup, gradients: Gradients, rng: np.random.Generator) -> Scores:
    """Σ |γ| of the batch norms of a unit (Liu et al., 2017); where there are none, its magnitude."""
    norms = {name for name, layer in network.named_modules() if isinstance(layer, nn.BatchNorm2d)}
    found = {place: channels for place, channels in group.places.items() if place[0] in norms}
    if not found:
        return _magnitude(network, group, gradients, rng)
    scales = replace(group, places=found)
    return _weighed(network, scales, lambda name, weights: weights.abs() * name.endswith("weight"))


def _random(network: nn.Module, group: UnitGroup, gradients: Gradients, rng: np.random.Generator) -> Scores:
    """Chance, as a control."""
    return rng.random(len(group))


IMPORTANCES: Mapping[str, Importance] = {
    "taylor": _taylor,
    "magnitude": _magnitude,
    "bn_scale": _scale,
    "random": _random,
}


def _weighed(network: nn.Module, group: UnitGroup, weighing: Weighing) -> Scores:
    """The sum over all weights that go with each unit."""
    total = np.zeros(len(group))
    for (layer, side), channels in group.places.items():
        module = network.get_submodule(layer)
        for key, parameter in module.named_parameters(recurse=False):
            if side == OUTPUTS or parameter.ndim > 1:
                counted = weighing(f"{layer}.{key}", parameter.detach().double())
                total += _by_channel(module, counted, side).numpy()[channels].sum(axis=1)
    return total


def _by_channel(module: nn.Module, values: Tensor, side: str) -> Tensor:
    """The sums over all but the channels of one side, for values in the shape of a layer's weights or biases."""
    if side == INPUTS:
        groups = getattr(module, "groups", 1)
        return values.view(groups, values.shape[0] // groups, values.shape[1], -1).sum(dim=(1, 3)).flatten()
    layered = isinstance(module, nn.Conv2d | nn.Linear)
    return values.reshape(len(values), -1).sum(dim=1) if layered else values.flatten()


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (", …" if len(names) > 5 else "")
