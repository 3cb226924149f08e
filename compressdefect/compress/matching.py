"""Learning from another network's maps: plain (5), or guided by its attention (6)–(13) with adaptive weights (18).

Maps are compared where both networks have one of the same resolution (``taps``). A 1×1 convolution, the adapter, brings
the student's map to the teacher's channels where these differ; where sizes differ, it is resized to the teacher's.
Adapters are trained with the student and thrown away with its lesson: they are no part of the network that ships.

Choices: both maps are divided by the root mean square of the teacher's, and (13), whose attended maps are several times
larger, by the mean square of the teacher's attended ones: so all terms but (12) are about 1 where a student knows
nothing, whoever teaches, and one weight suits all. A term is its mean over the pairs of maps. The weights of (18) share
out the distiller's own terms, of which the loss is the mean; the task's loss and that of the answers keep their shares.
Neither network here has a dual attention of its own, so both are looked at with ``free_attention``. Of an ensemble it
is the first network whose maps teach.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from compressdefect.compress.attention import (
    AdaptiveWeights,
    FeatureLosses,
    Regions,
    feature_losses,
    free_attention,
    plain_feature_loss,
    regions_of,
    regions_of_boxes,
)
from compressdefect.compress.taps import Maps, pairs_of, taps_of
from compressdefect.cost.piece import Shape
from compressdefect.data.truth import Truth

PLAIN, GUIDED = "feature", "attention"
METHODS = (PLAIN, GUIDED)


class MapMatcher(nn.Module):
    """How far a student's maps are from its teacher's, and the adapters that are needed to say so."""

    def __init__(
        self, student: nn.Module, teacher: nn.Module, shape: Shape, *, method: str = PLAIN, literal: bool = False
    ) -> None:
        """Find the maps and make the adapters.

        Args:
            student: an ``Inspector``, as the teacher is.
            teacher: it is run once on a black image, as the student is.
            shape: of the images (C, H, W).
            method: one of ``METHODS``.
            literal: whether the weights of (18) are as printed.

        Raises:
            ModelError: one of them has no maps.
        """
        super().__init__()
        assert method in METHODS, method
        self.method, self.shape = method, shape
        own, theirs = taps_of(student, shape), taps_of(teacher, shape)
        self.pairs = pairs_of(own, theirs)
        self.own = {level: own[level] for level, _ in self.pairs}
        self.theirs = {level: theirs[level] for _, level in self.pairs}
        widths = [(own[level].channels, theirs[other].channels) for level, other in self.pairs]
        self.adapters = nn.ModuleList([_adapter(*pair) for pair in widths])
        names = ("feature",) if method == PLAIN else FeatureLosses._fields
        self.weights = AdaptiveWeights(names, literal=literal)
        self._seen: list[dict[str, float]] = []

    def terms(self, student: Maps, teacher: Maps, truth: Truth) -> dict[str, Tensor]:
        """Each term of the loss, a scalar; of maps (N, C, h, w) whose first images are those of the truth."""
        count = len(truth)
        rows = []
        for adapter, (level, other) in zip(self.adapters, self.pairs, strict=True):
            wanted = teacher[other][:count].detach().float()
            own = adapter(student[level][:count]).float()
            if own.shape[-2:] != wanted.shape[-2:]:
                own = F.interpolate(own, wanted.shape[-2:], mode="bilinear", antialias=True)
            scale = wanted.square().mean().sqrt().clamp_min(1e-6)
            rows.append(self._compared(own / scale, wanted / scale, truth))
        return {name: torch.stack([row[name] for row in rows]).mean() for name in rows[0]}

    def loss(self, student: Maps, teacher: Maps, truth: Truth) -> Tensor:
        """The weighted mean of the terms, which are remembered until the epoch ends."""
        found = self.terms(student, teacher, truth)
        self._seen.append({name: float(term.detach()) for name, term in found.items()})
        return torch.stack([self.weights.values[name] * term for name, term in found.items()]).mean()

    def end_epoch(self) -> None:
        """Weigh the terms anew, by their means over the epoch."""
        if self._seen:
            self.weights.update(
                {name: sum(seen[name] for seen in self._seen) / len(self._seen) for name in self._seen[0]}
            )
            self._seen.clear()

    def _compared(self, own: Tensor, wanted: Tensor, truth: Truth) -> dict[str, Tensor]:
        if self.method == PLAIN:
            return {"feature": plain_feature_loss(own, wanted)}
        found = feature_losses(own, wanted, self._regions(truth, wanted))
        size = free_attention(wanted).square().mean().clamp_min(1e-12)
        return found._replace(attended=found.attended / size)._asdict()

    def _regions(self, truth: Truth, wanted: Tensor) -> Regions:
        height, width = wanted.shape[-2:]
        if truth.masks is None and truth.boxes is not None:
            boxes = [one.cpu() for one in truth.boxes]
            found = regions_of_boxes(boxes, (height, width), self.shape[1:])
        else:
            found = regions_of(truth.masks, (height, width), len(truth))
        return Regions(*(one.to(wanted.device) for one in found))


def _adapter(channels: int, wanted: int) -> nn.Module:
    """Begins with maps of 0: random ones would have places of very large attention, and drown the other losses."""
    if channels == wanted:
        return nn.Identity()
    adapter = nn.Conv2d(channels, wanted, 1)
    nn.init.zeros_(adapter.weight)
    nn.init.zeros_(adapter.bias)  # type: ignore[arg-type]
    return adapter
