"""Finished trainings of a compression on disk, so that one that was interrupted does none of them again."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from compressdefect.errors import ModelError
from compressdefect.models.design import Design
from compressdefect.models.designs import read_design
from compressdefect.models.graph import Heads
from compressdefect.models.inspector import Inspector
from compressdefect.models.weights import load_weights, weights_of
from compressdefect.runs import atomic_write, make_folder


class Finished(NamedTuple):
    """A finished training: the design, the network, and for how many epochs it was trained."""

    design: Design
    network: Inspector
    epochs: int


@dataclass(frozen=True)
class Shelf:
    """A folder of networks by name: a design as JSON, written last, and weights as safetensors.

    Attributes:
        folder: made when the first network is put there.
        channels: of the images.
        heads: what the networks answer.
    """

    folder: Path
    channels: int
    heads: Heads

    def put(self, name: str, found: Finished) -> None:
        """Keep a training.

        Raises:
            RunError: the folder cannot be written.
        """
        for folder in (self.folder.parent, self.folder):
            make_folder(folder)
        design = found.design
        atomic_write(self._weights(name), weights_of(found.network))
        told = {"name": design.name, "input": design.input, "design": design.to_json(), "epochs": found.epochs}
        atomic_write(self._design(name), json.dumps(told))

    def get(self, name: str, like: Inspector) -> Finished | None:
        """A training, its network in evaluation mode, normalised as another; None where it is missing or damaged."""
        try:
            told = json.loads(self._design(name).read_text(encoding="utf-8"))
            weights = self._weights(name).read_bytes()
            design = read_design(told["design"], name=told["name"], input=told["input"])
            network = Inspector(like.normalize, design.build(channels=self.channels, heads=self.heads))
            load_weights(network, weights)
            return Finished(design, network.eval(), int(told["epochs"]))
        except (OSError, ValueError, KeyError, ModelError):
            return None

    def _design(self, name: str) -> Path:
        return self.folder / f"{name}.json"

    def _weights(self, name: str) -> Path:
        return self.folder / f"{name}.safetensors"
