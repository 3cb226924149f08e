"""An algebra of costs: the closed form of a network is composed as the network is.

A `Piece` is the cost of a part with one output, float32, batch 1. Parameters and macs add up; memory does not, because
what a part may free depends on who else still reads its input. So a piece carries two peaks, and the combinators below
need nothing else to give the peak of the whole: they equal a liveness walk over the graph.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

Shape = tuple[int, int, int]  # channels, height, width
BYTES = 4  # float32


class Piece(NamedTuple):
    """Cost of a part of a network.

    Attributes:
        out: the output's shape (C, H, W).
        params: trainable parameters.
        macs: multiply-accumulates.
        peak: most live bytes while the part runs, when its input dies with its last reader inside.
        held: the same when somebody outside still needs the input.
    """

    out: Shape
    params: int
    macs: int
    peak: int
    held: int


def size(shape: Shape) -> int:
    """Bytes of a tensor.

    >>> size((3, 10, 10))
    1200
    """
    return BYTES * shape[0] * shape[1] * shape[2]


def operator(shape: Shape, out: Shape, params: int = 0, macs: int = 0) -> Piece:
    """One node of the graph: its input and its output live together."""
    live = size(shape) + size(out)
    return Piece(out, params, macs, live, live)


def joint(shapes: Sequence[Shape], out: Shape) -> Piece:
    """One node of the graph with several inputs: all of them and its output live together."""
    live = sum(map(size, shapes)) + size(out)
    return Piece(out, 0, 0, live, live)


@lru_cache(maxsize=65536)
def convolution(
    shape: Shape, channels: int, kernel: int = 3, stride: int = 1, groups: int = 1, norm: bool = True
) -> Piece:
    """A convolution padded by kernel // 2, with batch norm (and any ReLU) in the same node, else with a bias."""
    depth, height, width = shape
    padding = 2 * (kernel // 2) - kernel
    out = (channels, (height + padding) // stride + 1, (width + padding) // stride + 1)
    weights = channels * (depth // groups) * kernel * kernel
    return operator(shape, out, weights + (2 if norm else 1) * channels, weights * out[1] * out[2])


def chain(shape: Shape, *pieces: Piece) -> Piece:
    """Parts that run one after another, the first of them on `shape`."""
    held, params, macs, peak = 0, 0, 0, 0
    outer = size(shape)
    for index, piece in enumerate(pieces):
        params += piece.params
        macs += piece.macs
        peak = max(peak, piece.peak)
        held = max(held, outer + piece.peak if index else piece.held)
    return Piece(pieces[-1].out, params, macs, peak, held)


def skip(shape: Shape, body: Piece) -> Piece:
    """`x + body(x)`: the input outlives the body, and three tensors are live at the sum.

    A ReLU behind it changes nothing: it has two tensors live, three where the input is held.
    """
    tensor = size(shape)
    most = max(body.held, 3 * tensor)
    return Piece(body.out, body.params, body.macs, most, most)


def gate(shape: Shape, body: Piece) -> Piece:
    """`x * body(x)`: as `skip`, the product has the input, the gate and the result live."""
    return skip(shape, body)


def concatenated(shape: Shape, branches: Sequence[Piece]) -> Piece:
    """Branches that all read the input, run in order, and are concatenated (one branch: no node)."""
    if len(branches) == 1:
        return branches[0]
    waiting = params = macs = peak = held = channels = 0
    last = len(branches) - 1
    for index, piece in enumerate(branches):
        out, own_params, own_macs, own_peak, own_held = piece
        params += own_params
        macs += own_macs
        held = max(held, waiting + own_held)
        peak = max(peak, waiting + (own_peak if index == last else own_held))
        waiting += size(out)
        channels += out[0]
    joined = (channels, *branches[0].out[1:])
    return Piece(joined, params, macs, max(peak, 2 * waiting), max(held, 2 * waiting + size(shape)))
