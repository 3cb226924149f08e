"""torchvision beside a CPU-only torch.

torchvision's Linux wheel is compiled against CUDA. Beside a CPU-only torch its operators do not load, and
``import torchvision`` (and with it timm, lightning's metrics and torchmetrics' detection metrics) raises
"operator torchvision::nms does not exist". In that case only, ``install`` declares the operators and gives ``nms``
a pure-torch body. Call it before the first import of torchvision, in every process that trains.
"""

from __future__ import annotations

import functools
import importlib.machinery
import importlib.util
from pathlib import Path

import torch


@functools.cache
def install() -> bool:
    """Make torchvision importable; return whether the replacement operators were needed."""
    if _compiled_operators_load():
        return False
    library = torch.library.Library("torchvision", "FRAGMENT")
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    library.impl("nms", _nms, "CPU")
    _KEEP_ALIVE.append(library)

    import torchvision.extension

    torchvision.extension._has_ops = lambda: True
    return True


_KEEP_ALIVE: list[torch.library.Library] = []  # a Library unregisters its operators when it is collected


def _compiled_operators_load() -> bool:
    """Whether torchvision's own shared library loads into this torch."""
    spec = importlib.util.find_spec("torchvision")
    if spec is None or not spec.submodule_search_locations:
        return True
    folder = Path(next(iter(spec.submodule_search_locations)))
    libraries = [folder / f"_C{suffix}" for suffix in importlib.machinery.EXTENSION_SUFFIXES]
    try:
        for library in filter(Path.exists, libraries):
            torch.ops.load_library(library)
        torch.ops.torchvision.nms  # noqa: B018
    except (OSError, AttributeError, RuntimeError):
        return False
    return True


def _nms(boxes: torch.Tensor, scores: torch.Tensor, iou_threshold: float) -> torch.Tensor:
    """Greedy non-maximum suppression: boxes (N, 4) as x1, y1, x2, y2 → kept indices, best score first."""
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    remaining = scores.argsort(descending=True, stable=True)
    kept = []
    while remaining.numel():
        best, rest = remaining[0], remaining[1:]
        kept.append(best)
        low = torch.maximum(boxes[best, :2], boxes[rest, :2])
        high = torch.minimum(boxes[best, 2:], boxes[rest, 2:])
        overlap = (high - low).clamp(min=0).prod(dim=1)
        remaining = rest[overlap / (area[best] + area[rest] - overlap) <= iou_threshold]
    return torch.stack(kept) if kept else scores.new_empty(0, dtype=torch.long)
