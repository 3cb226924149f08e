"""timm's models by name, as teachers and baselines, from scratch or with weights: a file's, or timm's own."""

from __future__ import annotations

import difflib
import warnings
from pathlib import Path
from typing import Any, Final, Literal

from compressdefect import compat

compat.install()

import timm
from safetensors import SafetensorError
from timm.models import load_state_dict
from torch import Tensor, nn

from compressdefect.errors import ModelError
from compressdefect.models.decoder import decoder
from compressdefect.models.graph import IMAGE, Graph, Heads, Network

_SHORTCUT = 8  # the shortcut's map is so many times smaller than the image, as LW CNN's is by default


OWN: Final = "timm"  # weights that timm itself has, which it takes from the network
Weights = Path | Literal["timm"] | None


def build(name: str, *, channels: int, heads: Heads, weights: Weights = None) -> nn.Module:
    """A timm model with one head of (N, classes) logits, from scratch unless it has weights to begin with.

    The head is new in any case, and the first convolution made for so many channels.

    Raises:
        ModelError: the name is unknown, or the weights do not fit.
    """
    check(name)
    (classes,) = map(len, heads.values())
    return _created(name, "", weights, in_chans=channels, num_classes=classes)


def _created(name: str, what: str, weights: Weights, **options: Any) -> Any:
    try:
        return timm.create_model(name, **options, **_begun(weights))
    except (AttributeError, OSError, RuntimeError, TypeError, ValueError, AssertionError) as error:
        got = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        if weights == OWN:
            fix = "check the network, or give a file"
            raise ModelError(f"timm's own weights of {name} cannot be had", got=got, fix=fix) from error
        raise ModelError(f"timm cannot build {name}{what}", got=got) from error


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


def build_segmenter(name: str, *, channels: int, heads: Heads, weights: Weights = None) -> PretrainedSegmenter:
    """A timm encoder, from scratch or with weights, under the decoder that LW CNN has in its paper.

    Raises:
        ModelError: the name is unknown, or the model has no maps at an eighth of the image's size and below.
    """
    check(name)
    encoder = _created(name, " as an encoder", weights, in_chans=channels, features_only=True)
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


def _begun(weights: Weights) -> dict[str, Any]:
    """How timm is told what a model begins with."""
    if weights is None or weights == OWN:
        return {"pretrained": weights == OWN}
    return {"pretrained": True, "pretrained_cfg_overlay": {"file": str(weights), "source": "file"}}


def check_weights(name: str, path: Path) -> None:
    """Refuse a file that does not hold all weights of a timm model but for its head, or anything that is none.

    Raises:
        ModelError: it is such a file.
    """
    check(name)
    found = _read(path)
    model = timm.create_model(name, pretrained=False)
    cut = model.default_cfg.get("classifier") or ()
    heads = tuple(f"{head}." for head in ([cut] if isinstance(cut, str) else cut))
    wanted = {
        key: tensor
        for key, tensor in model.state_dict().items()
        if not key.startswith(heads) and not key.endswith("num_batches_tracked")
    }
    wrong = [key for key, tensor in wanted.items() if key not in found or found[key].shape != tensor.shape]
    if wrong:
        got = f"{len(wrong)} of {len(wanted)} tensors are not there or of another shape, such as {wrong[0]}"
        raise ModelError(f"{path} does not hold the weights of {name}", got=got, fix="give those of this model")


def _read(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file, or of a checkpoint that holds nothing which could run."""
    if not path.is_file():
        raise ModelError("no such weights file", got=path, fix="give a safetensors file or a checkpoint")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's, about the pickle that is about to be refused
            state = load_state_dict(str(path), weights_only=True)
    except (AttributeError, EOFError, LookupError, OSError, RuntimeError, SafetensorError, ValueError) as error:
        if "pickle" in str(error).lower():
            fix = "give safetensors, or a checkpoint of nothing but weights"
            raise ModelError(
                "the weights file is damaged, or a pickle that could run code", got=path, fix=fix
            ) from error
        raise ModelError("not a weights file", got=path, fix="give a safetensors file or a checkpoint") from error
    return {key: tensor for key, tensor in state.items() if isinstance(tensor, Tensor)}


def statistics(name: str, channels: int) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of pixels (0..255) that a timm model's weights were made for, for each channel."""
    check(name)
    config = timm.get_pretrained_cfg(name)
    means, stds = ([255 * value for value in side] for side in (config.mean, config.std))
    if len(means) != channels:
        means, stds = ([sum(side) / len(side)] * channels for side in (means, stds))
    return means, stds


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
