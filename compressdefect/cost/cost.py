"""What a network costs, by the conventions that every table of this project prints."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Cost:
    """Static cost of a network at one input size, batch 1.

    Attributes:
        params: trainable parameters.
        macs: multiply-accumulates of convolutions, linear layers and matrix products.
        peak_bytes: most bytes of live tensors while the exported graph runs, weights excluded (see `cost.memory`).
        uncounted: operators that ran and are in neither figure.
    """

    params: int
    macs: int
    peak_bytes: int
    uncounted: tuple[str, ...] = ()

    @property
    def flops(self) -> int:
        """Two per multiply-accumulate, as LightDefectNet's Table 1 counts.

        >>> Cost(params=1, macs=50, peak_bytes=0).flops
        100
        """
        return 2 * self.macs
