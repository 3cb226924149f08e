"""A network together with its normalisation: what is trained, exported and shipped as one."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from compressdefect.blocks.normalize import Normalize
from compressdefect.errors import ModelError


class Inspector(nn.Module):
    """Raw pixels (N, C, H, W) in 0..255, uint8 or float → the network's outputs."""

    def __init__(self, normalize: Normalize, network: nn.Module) -> None:
        super().__init__()
        self.normalize = normalize
        self.network = network

    @classmethod
    def from_statistics(cls, network: nn.Module, mean: Sequence[float], std: Sequence[float]) -> Inspector:
        """Wrap a network; mean and std are per channel, on the scale of the pixels (0..255)."""
        return cls(Normalize(mean, std), network)

    def forward(self, pixels: Tensor) -> Tensor:
        """Raw pixels → the network's outputs."""
        return self.network(self.normalize(pixels))

    def forward_features(self, pixels: Tensor) -> Tensor:
        """Raw pixels → the network's last feature map (N, C, h, w).

        Raises:
            ModelError: it has none.
        """
        if not hasattr(self.network, "forward_features"):
            raise ModelError("the network has no last feature map", got=type(self.network).__name__)
        features: Tensor = self.network.forward_features(self.normalize(pixels))  # type: ignore[operator]
        return features

    def forward_head(self, features: Tensor) -> Tensor:
        """A feature map → the network's outputs."""
        outputs: Tensor = self.network.forward_head(features)  # type: ignore[operator]
        return outputs
