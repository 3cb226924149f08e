"""The algebra of pieces, against a liveness walk over random chains of skips and branches."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from compressdefect.cost.piece import Piece, chain, concatenated, convolution, operator, size, skip

SHAPE = (4, 6, 5)


def test_convolution_by_hand() -> None:
    piece = convolution((3, 9, 8), 16, kernel=3, stride=2)
    assert piece.out == (16, 5, 4)
    assert piece.params == 3 * 16 * 9 + 2 * 16
    assert piece.macs == 3 * 16 * 9 * 20
    assert piece.peak == piece.held == 4 * (3 * 72 + 16 * 20)


def test_grouping_divides_the_weights() -> None:
    dense, grouped = convolution((8, 5, 5), 8, norm=False), convolution((8, 5, 5), 8, groups=4, norm=False)
    assert dense.params - 8 == 4 * (grouped.params - 8)


def test_a_held_input_costs_while_later_parts_run() -> None:
    first, second = operator(SHAPE, SHAPE), operator(SHAPE, (8, 6, 5))
    piece = chain(SHAPE, first, second)
    assert piece.peak == size(SHAPE) + size((8, 6, 5))
    assert piece.held == 2 * size(SHAPE) + size((8, 6, 5))


def test_branches_wait_for_each_other() -> None:
    branch = operator(SHAPE, (2, 6, 5))
    joined = concatenated(SHAPE, [branch, branch])
    assert joined.out == SHAPE
    assert joined.peak == size(SHAPE) + 2 * size((2, 6, 5))
    assert joined.held == joined.peak + size((2, 6, 5)) * 2


@given(st.lists(st.integers(1, 9), min_size=1, max_size=6))
def test_a_held_chain_never_costs_less_and_chains_nest(channels: list[int]) -> None:
    pieces: list[Piece] = []
    shape = SHAPE
    for width in channels:
        pieces.append(convolution(shape, width))
        shape = pieces[-1].out
    whole = chain(SHAPE, *pieces)
    assert whole.peak <= whole.held <= whole.peak + size(SHAPE)
    assert chain(SHAPE, pieces[0], chain(pieces[0].out, *pieces[1:])) == whole if pieces[1:] else True
    body = chain(SHAPE, *pieces, convolution(shape, SHAPE[0]))
    assert skip(SHAPE, body).peak >= max(3 * size(SHAPE), body.peak)
