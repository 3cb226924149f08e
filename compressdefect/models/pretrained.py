"""timm's models by name, as teachers and baselines. Weights are read from a local file or not at all."""

from __future__ import annotations

import difflib
from pathlib import Path

from compressdefect import compat

compat.install()

import timm
from torch import Tensor, nn

from compressdefect.errors import ModelError
from compressdefect.models.decoder import decoder
from compressdefect.models.graph import IMAGE, Graph, Heads, Network

_SHORTCUT = 8  # the shortcut's map is so many times smaller than the image, as LW CNN's is by default


def build(name: str, *, channels: int, heads: Heads, weights: Path | None = None) -> nn.Module:
    """A timm model with one head of (N, classes) logits, from scratch unless a weights file is given.

    Raises:
        ModelError: the name is unknown, or the weights do not fit.
    """
    check(name)
    (classes,) = map(len, heads.values())
    try:
        model: nn.Module = timm.create_model(
            name, pretrained=False, in_chans=channels, num_classes=classes, checkpoint_path=str(weights or "")
        )
    except (OSError, RuntimeError, TypeError, ValueError) as error:
        raise ModelError(f"timm cannot build {name}", got=str(error).splitlines()[0][:200]) from error
    return model


class PretrainedSegmenter(nn.Module):
    """A timm encoder under LW CNN's decoder: (N, C, H, W) → logits (N, classes, H, W)."""

    def __init__(self, encoder: nn.Module, tap: int, decoder: Network) -> None:
        super().__init__()
        self.encoder, self.tap, self.decoder = encoder, tap, decoder

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) → logits (N, classes, H, W)."""
        maps = self.encoder(x)
        logits: Tensor = self.decoder(maps[-1], maps[self.tap], x)
        return logits


def build_segmenter(name: str, *, channels: int, heads: Heads) -> PretrainedSegmenter:
    """A timm encoder, from scratch, under the decoder that LW CNN has in its paper.

    Raises:
        ModelError: the name is unknown, or the model has no maps at an eighth of the image's size and below.
    """
    check(name)
    try:
        encoder = timm.create_model(name, pretrained=False, in_chans=channels, features_only=True)
    except (AttributeError, OSError, RuntimeError, TypeError, ValueError, AssertionError) as error:
        raise ModelError(f"timm cannot build {name} as an encoder", got=str(error).splitlines()[0][:200]) from error
    widths, reductions = encoder.feature_info.channels(), encoder.feature_info.reduction()
    if _SHORTCUT not in reductions[:-1]:
        raise ModelError(
            f"{name} is no encoder to segment with",
            got=f"maps at 1/{', 1/'.join(map(str, reductions))} of the image's size",
            fix=f"use one that has a map at 1/{_SHORTCUT} and a smaller one, such as timm:mobilenetv3_small_100",
        )
    ((head, outputs),) = heads.items()
    tap = reductions.index(_SHORTCUT)
    graph = Graph(decoder("last", "shortcut", len(outputs)), {head: "output"}, inputs=("last", "shortcut", IMAGE))
    return PretrainedSegmenter(encoder, tap, graph.build(widths[-1], widths[tap], channels))


def input_size(name: str) -> int:
    """Height and width in pixels that a timm model was made for."""
    check(name)
    config = timm.get_pretrained_cfg(name)
    return int(config.input_size[-1]) if config is not None else 224


def check(name: str) -> None:
    """Refuse a name that timm does not know, with the closest ones that it does.

    Raises:
        ModelError: the name is unknown.
    """
    if not timm.is_model(name):
        known = timm.list_models()
        close = difflib.get_close_matches(name, known, n=4, cutoff=0.5)
        fix = f"did you mean {', '.join(close)}?" if close else "timm.list_models() has them all"
        raise ModelError("no such timm model", got=name, fix=fix)
