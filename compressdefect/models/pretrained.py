"""timm's models by name, as teachers and baselines. Weights are read from a local file or not at all."""

from __future__ import annotations

import difflib
from pathlib import Path

from compressdefect import compat

compat.install()

import timm
from torch import nn

from compressdefect.errors import ModelError


def build(name: str, *, channels: int, classes: int, weights: Path | None = None) -> nn.Module:
    """A timm model with (N, classes) logits, from scratch unless a weights file is given.

    Raises:
        ModelError: the name is unknown, or the weights do not fit.
    """
    check(name)
    try:
        model: nn.Module = timm.create_model(
            name, pretrained=False, in_chans=channels, num_classes=classes, checkpoint_path=str(weights or "")
        )
    except (OSError, RuntimeError, TypeError, ValueError) as error:
        raise ModelError(f"timm cannot build {name}", got=str(error).splitlines()[0][:200]) from error
    return model


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
