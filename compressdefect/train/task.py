"""What a training is for: the part of it that knows what outputs and targets mean."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor


class Task(Protocol):
    """Turns a network's outputs into a loss, into probabilities, and into the figures that decide.

    The life of one batch:

    1. ``fit`` gathers uint8 pixels (N, C, H, W) and their targets from memory and augments the pixels.
    2. The network normalises them and returns raw outputs, for classification logits (N, K) or (N, heads, K).
    3. ``loss`` compares outputs and targets; its gradient trains the network.
    4. Outside training, ``predict`` turns outputs into probabilities (N, K). The exported graph ends in the same
       function, so the figures measured in training are those of the model that ships.
    5. When a whole set is predicted, ``score`` gives the one number that decisions are made on, and ``metrics`` the
       full account that commands print.

    A task is immutable and holds no data; the same object serves training, validation, test and export.
    """

    @property
    def name(self) -> str:
        """Name on the command line: ``classify``."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the outputs, in order."""

    @property
    def good(self) -> int | None:
        """Which class is a good part; None where there is no such class."""

    @property
    def metric(self) -> str:
        """Name of the figure that ``score`` returns."""

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Mean loss of a batch, a scalar in float32 whatever the outputs' precision."""

    def predict(self, outputs: Tensor) -> Tensor:
        """Probabilities from outputs, in float32."""

    def score(self, probabilities: NDArray[np.floating], targets: NDArray[np.integer]) -> float:
        """The deciding figure in [0, 1], higher is better."""

    def metrics(
        self,
        probabilities: NDArray[np.floating],
        targets: NDArray[np.integer],
        *,
        threshold: float | None = None,
        groups: NDArray[np.integer] | None = None,
        choose: bool = True,
    ) -> dict[str, Any]:
        """All figures as JSON-able data.

        On validation images ``threshold`` is left out and chosen on them. On test images the validation's is given and
        ``choose`` is false: where there is no threshold, there are no figures that need one.
        """
