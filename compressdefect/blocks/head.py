"""Classification head with one or two columns of fully-connected layers (LightDefectNet, §3).

Each column ends in its own softmax and the two are averaged; the training adds the discrepancy between them. The
columns' weights lie in one matrix, so the head is one matrix product.
"""

from __future__ import annotations

from torch import Tensor, nn

from compressdefect.cost.piece import Piece, Shape, chain, operator


class ColumnHead(nn.Module):
    """(N, C, H, W) → logits (N, columns, classes)."""

    def __init__(self, channels: int, classes: int, columns: int = 1) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.linear = nn.Linear(channels, columns * classes)
        self.columns, self.classes = columns, classes

    def forward(self, x: Tensor) -> Tensor:
        """Pool, then every column at once."""
        return self.linear(self.pool(x).flatten(1)).view(-1, self.columns, self.classes)


def head_cost(shape: Shape, classes: int, columns: int = 1) -> Piece:
    """Closed form of `ColumnHead`; the output's columns stand where a map has its rows."""
    pooled, logits = (shape[0], 1, 1), (classes, columns, 1)
    weights = shape[0] * columns * classes
    fully_connected = operator(pooled, logits, weights + columns * classes, weights)
    return chain(shape, operator(shape, pooled), operator(pooled, pooled), fully_connected, operator(logits, logits))
