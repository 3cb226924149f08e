"""Attention-guided feature distillation (T-model and S-model, section 3.3): what of a map a student must match most.

A map's attention says which of its places and channels matter (9), a softmax of it weighs the difference to the teacher
place by place (10), and foreground and background are balanced by their areas (6)–(8), so that a defect of ten pixels
counts as much as all that is around it. The student also matches the attention itself (12) and the attended map (13).

Choices: the softmax of (10) runs over the places of each channel and is scaled to a mean of 1; over a whole map at
T = 20, as (10) can also be read, it is nearly the same everywhere (``whole=True``). All terms are means over images
and channels, (11) a sum over places, as its areas ask for. Where a network has no dual attention of its own,
``free_attention`` has no weights: channel and spatial attention as in FGD (Yang et al., 2021, equations 2 and 3).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from scipy import ndimage
from torch import Tensor
from torch.nn import functional as F

TEMPERATURE = 20.0
FREE_TEMPERATURE = 0.5  # of ``free_attention``

Attention = Callable[[Tensor], Tensor]  # maps (N, C, H, W) → attended maps M(F), of the same shape


class Regions(NamedTuple):
    """Where defects are in a map, and how much each place counts: (6) and (7), both (N, H, W).

    In the foreground a place counts 1 over the area of its defect, of several the smallest one (8); in the background 1
    over the area of all of it. Where nothing is known of defects, all is background.
    """

    mask: Tensor
    scale: Tensor


class FeatureLosses(NamedTuple):
    """The terms of the distiller, each a scalar."""

    foreground: Tensor  # (11)
    attention: Tensor  # (12)
    attended: Tensor  # (13)


def regions_of(masks: Tensor | None, size: tuple[int, int], count: int) -> Regions:
    """Foreground and its scale at a map's size, from masks (N, H, W) of images; 0 is background.

    A place is foreground where any pixel under it is; a defect is what hangs together there, diagonals included.

    Args:
        masks: of ``count`` images, or None where there are none.
        size: (h, w) of the map.
        count: N.
    """
    if masks is None:
        return Regions(torch.zeros(count, *size), torch.full((count, *size), 1 / (size[0] * size[1])))
    shown = F.adaptive_max_pool2d((masks > 0).float().unsqueeze(1), size).squeeze(1)
    areas = torch.stack([_areas(one) for one in shown.cpu()]).to(shown.device)
    background = (1 - shown).sum(dim=(1, 2), keepdim=True).clamp_min(1)  # an image may have none
    return Regions(shown, torch.where(shown > 0, 1 / areas, 1 / background))


def regions_of_boxes(boxes: list[Tensor], size: tuple[int, int], shape: tuple[int, int]) -> Regions:
    """The same from boxes (k, ≥ 4) of x0, y0, x1, y1 in pixels of images of a shape (H, W), as the paper has it."""
    mask, area = torch.zeros(len(boxes), *size), torch.full((len(boxes), *size), torch.inf)
    for image, rows in enumerate(boxes):
        for x0, y0, x1, y1 in rows[:, :4].tolist():
            top, bottom = _cells(y0, y1, size[0] / shape[0], size[0])
            left, right = _cells(x0, x1, size[1] / shape[1], size[1])
            here = area[image, top:bottom, left:right]
            mask[image, top:bottom, left:right] = 1
            area[image, top:bottom, left:right] = here.clamp_max((bottom - top) * (right - left))  # (8)
    background = (1 - mask).sum(dim=(1, 2), keepdim=True).clamp_min(1)
    return Regions(mask, torch.where(mask > 0, 1 / area, 1 / background))


def free_attention(maps: Tensor) -> Tensor:
    """M(F) = (Mc + Ms) ⊗ F without weights: softmaxes of mean |F|, over channels and over places, of mean 1 each."""
    count, channels, height, width = maps.shape
    size = maps.abs()
    of_channels = channels * (size.mean(dim=(2, 3)) / FREE_TEMPERATURE).softmax(dim=1)
    of_places = height * width * (size.mean(dim=1).flatten(1) / FREE_TEMPERATURE).softmax(dim=1)
    return (of_channels.view(count, channels, 1, 1) + of_places.view(count, 1, height, width)) * maps


def attention_mask(attended: Tensor, temperature: float = TEMPERATURE, *, whole: bool = False) -> Tensor:
    """AM = softmax(M(F) / T) (10), of mean 1: over the places of each channel, or over the ``whole`` map."""
    flat = (attended / temperature).flatten(1 if whole else 2)
    return (flat.shape[-1] * flat.softmax(dim=-1)).view_as(attended)


def feature_losses(
    student: Tensor,
    teacher: Tensor,
    regions: Regions,
    *,
    own: Attention = free_attention,
    taught: Attention = free_attention,
    temperature: float = TEMPERATURE,
    whole: bool = False,
) -> FeatureLosses:
    """The distiller's terms for one pair of maps.

    Args:
        student: f(F^S), the student's map as its adapter brings it to the teacher's channels (N, C, H, W).
        teacher: F^T (N, C, H, W); it gets no gradient.
        regions: foreground and scale (N, H, W).
        own: the student's attention, of (12).
        taught: the teacher's, of (11), (12) and (13); its weights are frozen.
        temperature: T of (10).
        whole: whether the softmax of (10) runs over the whole map.
    """
    teacher = teacher.detach()
    attended = taught(teacher).detach()
    looked = attention_mask(attended, temperature, whole=whole)
    weight = looked * regions.scale.unsqueeze(1)  # both terms of (11): the scale is 1 / area in each
    foreground = (weight * (teacher - student) ** 2).sum(dim=(2, 3)).mean()
    alike = F.smooth_l1_loss(attention_mask(own(student), temperature, whole=whole), looked)
    return FeatureLosses(foreground, alike, F.mse_loss(taught(student), attended))


def plain_feature_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """L_D = 1/(CHW) Σ |F^T − f(F^S)|² (5), a mean over images."""
    return F.mse_loss(student, teacher.detach())


class AdaptiveWeights:
    """The weights of several losses, updated after each epoch from their means (18).

    As printed, W_k = n · w_k · exp(L_k) / Σ exp(L), the weights compound without bound and a loss of 100 overflows
    (``literal=True``). By default W_k = n · softmax(L̂), where L̂ is a loss over that of the first epoch, at most
    ``MOST``: what falls least counts most, and the weights sum to n whatever the losses are.
    """

    MOST = 5.0

    def __init__(self, names: tuple[str, ...], *, literal: bool = False) -> None:
        self.names, self.literal = names, literal
        self.values = dict.fromkeys(names, 1.0)
        self._first: dict[str, float] = {}

    def update(self, losses: dict[str, float]) -> None:
        """Take the losses' means over an epoch."""
        raw = torch.tensor([losses[name] for name in self.names], dtype=torch.float64)
        if self.literal:
            before = torch.tensor([self.values[name] for name in self.names], dtype=torch.float64)
            found = raw.exp() / raw.exp().sum() * len(self.names) * before
        else:
            self._first = self._first or {name: max(losses[name], 1e-12) for name in self.names}
            first = torch.tensor([self._first[name] for name in self.names], dtype=torch.float64)
            found = len(self.names) * (raw / first).nan_to_num(self.MOST).clamp(0, self.MOST).softmax(dim=0)
        self.values = dict(zip(self.names, found.tolist(), strict=True))


def _areas(mask: Tensor) -> Tensor:
    """The area of the part that each foreground place (h, w) hangs together with; 1 in the background."""
    labels, _ = ndimage.label(mask.numpy() > 0, structure=[[1] * 3] * 3)
    numbers = torch.from_numpy(labels).long()
    areas = torch.bincount(numbers.flatten()).float()
    areas[0] = 1
    return areas[numbers]


def _cells(low: float, high: float, scale: float, count: int) -> tuple[int, int]:
    """The cells that an interval of pixels touches, at least one."""
    first = min(int(low * scale), count - 1)
    return first, min(max(first + 1, -int(-high * scale // 1)), count)
