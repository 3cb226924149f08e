"""Columns (LightDefectNet, §3): parallel paths that each read the whole input and meet now and then.

A stage is a series of meetings. Between two meetings every column reads all that there is with a pointwise
convolution to its own width, then runs its blocks alone; a meeting concatenates the columns. With one meeting, at
the end, columns are independent; with one after every block they interact all the time. Columns never split a
tensor, so channels can be pruned without cutting through a column's border.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from compressdefect.blocks.condenser import Condenser, Condensing, condenser_cost
from compressdefect.blocks.conv import Conv
from compressdefect.blocks.grouped import Grouped, grouped_cost
from compressdefect.blocks.inverted import Inverted, inverted_cost
from compressdefect.blocks.part import Part, Row
from compressdefect.blocks.residual import Residual, residual_cost
from compressdefect.blocks.separable import Separable, separable_cost
from compressdefect.blocks.wide import alike, narrow, widen
from compressdefect.cost.piece import Piece, Shape, chain, convolution, size


class Column(NamedTuple):
    """What a column is made of.

    Attributes:
        block: a name in `BLOCKS`.
        options: the block's own arguments after the channels, in order.
        condensing: a condenser after the column's first block, if any.
    """

    block: str = "residual"
    options: tuple[int, ...] = ()
    condensing: Condensing | None = None


BLOCKS: dict[str, tuple[Callable[..., nn.Module], Callable[..., Piece]]] = {
    "residual": (Residual, residual_cost),
    "grouped": (Grouped, grouped_cost),
    "separable": (Separable, separable_cost),
    "inverted": (Inverted, inverted_cost),
}


class ColumnStage(nn.Module):
    """(N, C, H, W) → (N, width · columns, H, W)."""

    def __init__(self, inputs: int, width: int, columns: tuple[Column, ...], depth: int, exchange: int) -> None:
        super().__init__()
        self.columns = columns
        self.meetings = nn.ModuleList()
        for first, blocks in enumerate(meetings(len(columns), depth, exchange)):
            channels = width * len(columns) if first else inputs
            paths = [_path(channels, width, column, blocks, condense=not first) for column in columns]
            self.meetings.append(nn.ModuleList(paths))

    def forward(self, x: Tensor) -> Tensor:
        """Let the columns run and meet."""
        for meeting in self.meetings:
            assert isinstance(meeting, nn.ModuleList)
            paths = [path(x) for path in meeting]
            x = torch.cat(paths, dim=1) if len(paths) > 1 else paths[0]
        return x

    def training_form(self) -> WideStage | None:
        """The same stage with its columns side by side, to train; None where there is one or they are uneven."""
        return WideStage(self) if len(self.columns) > 1 and self._is_even() else None

    def _is_even(self) -> bool:
        """Whether the readers of a meeting are of one shape, and the bodies of equal columns too."""
        for readers, bodies in parts_of(self):
            by_kind: dict[Column, list[nn.Module]] = {}
            for column, body in zip(self.columns, bodies, strict=True):
                by_kind.setdefault(column, []).append(body)
            if not all(alike(modules) for modules in (readers, *by_kind.values())):
                return False
        return True


class WideStage(nn.Module):
    """A stage that runs its columns as few wide ones: all readers as one convolution, equal columns as one column."""

    def __init__(self, stage: ColumnStage) -> None:
        super().__init__()
        of: dict[Column, list[int]] = {}
        for index, column in enumerate(stage.columns):
            of.setdefault(column, []).append(index)
        self.kinds = list(of.values())
        order = [index for kind in self.kinds for index in kind]
        self.places = None if order == sorted(order) else [order.index(index) for index in range(len(order))]
        self.readers, self.bodies = nn.ModuleList(), nn.ModuleList()
        for readers, bodies in parts_of(stage):
            self.readers.append(widen([readers[index] for index in order], shared=True))
            self.bodies.append(nn.ModuleList(widen([bodies[index] for index in kind]) for kind in self.kinds))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) → (N, width · columns, H, W)."""
        for reader, bodies in zip(self.readers, self.bodies, strict=True):
            assert isinstance(bodies, nn.ModuleList)
            x = reader(x)
            width = x.shape[1] // sum(map(len, self.kinds))
            if len(bodies) == 1:
                x = bodies[0](x)
                continue
            parts = x.split([width * len(kind) for kind in self.kinds], dim=1)
            x = torch.cat([body(part) for body, part in zip(bodies, parts, strict=True)], dim=1)
            if self.places is not None:
                columns = x.split(width, dim=1)
                x = torch.cat([columns[place] for place in self.places], dim=1)
        return x

    def give_back(self, stage: ColumnStage) -> None:
        """Write what was trained into the stage that this one was made of."""
        order = [index for kind in self.kinds for index in kind]
        for (readers, bodies), reader, wide in zip(parts_of(stage), self.readers, self.bodies, strict=True):
            assert isinstance(wide, nn.ModuleList)
            narrow(reader, [readers[index] for index in order])
            for kind, body in zip(self.kinds, wide, strict=True):
                narrow(body, [bodies[index] for index in kind])


def parts_of(stage: ColumnStage) -> Iterator[tuple[list[nn.Module], list[nn.Module]]]:
    """The columns' readers and what follows them, of every meeting."""
    for meeting in stage.meetings:
        assert isinstance(meeting, nn.ModuleList)
        paths: list[Any] = list(meeting)
        yield [path[0] for path in paths], [path[1:] for path in paths]


@lru_cache(maxsize=4096)
def meetings(columns: int, depth: int, exchange: int) -> tuple[int, ...]:
    """Blocks that each column runs before every meeting; the last meeting ends the stage.

    >>> meetings(columns=2, depth=3, exchange=2), meetings(2, 3, 0), meetings(1, 3, 1)
    ((2, 1), (3,), (3,))
    """
    if columns == 1 or not exchange:
        return (depth,)
    full, rest = divmod(depth, exchange)
    return (exchange,) * full + ((rest,) if rest else ())


def column_stage_cost(shape: Shape, width: int, columns: tuple[Column, ...], depth: int, exchange: int) -> Piece:
    """Closed form of `ColumnStage`: a `chain` of `concatenated` paths, in one loop since a search asks it most."""
    params = macs = peak = held = 0
    inputs, is_first = shape, True
    for blocks in meetings(len(columns), depth, exchange):
        waiting = own_peak = own_held = 0
        for column in columns:
            out, path_params, path_macs, path_peak, path_held = path_cost(inputs, width, column, blocks, is_first)
            params += path_params
            macs += path_macs
            own_peak = max(own_held, waiting + path_peak)  # of the last path, behind which nobody reads the input
            own_held = max(own_held, waiting + path_held)
            waiting += size(out)
        if len(columns) > 1:
            own_peak = max(own_peak, 2 * waiting)
            own_held = max(own_held, 2 * waiting + size(inputs))
        peak = max(peak, own_peak)
        held = own_held if is_first else max(held, size(shape) + own_peak)
        inputs, is_first = (width * len(columns), *shape[1:]), False
    return Piece(inputs, params, macs, peak, held)


@lru_cache(maxsize=65536)
def path_cost(shape: Shape, width: int, column: Column, blocks: int, condense: bool) -> Piece:
    """Closed form of one column between two meetings."""
    return chain(shape, *[piece for _, piece in path_pieces(shape, width, column, blocks, condense)])


def path_pieces(shape: Shape, width: int, column: Column, blocks: int, condense: bool) -> list[tuple[str, Piece]]:
    """What a column runs between two meetings, in order, each by its name."""
    read = convolution(shape, width, 1)
    block = (column.block, BLOCKS[column.block][1](read.out, *column.options))
    pieces = [("reader", read), *[block] * blocks]
    if condense and column.condensing is not None:
        pieces.insert(2, ("condenser", condenser_cost(read.out, column.condensing)))
    return pieces


def _path(inputs: int, width: int, column: Column, blocks: int, condense: bool) -> nn.Sequential:
    """One column between two meetings: reader, blocks, and the condenser behind the first."""
    make = BLOCKS[column.block][0]
    path = nn.Sequential(Conv(inputs, width, kernel=1))
    for index in range(blocks):
        path.append(make(width, *column.options))
        if condense and not index and column.condensing is not None:
            path.append(Condenser(width, column.condensing))
    return path


def columns_part(width: int, columns: tuple[Column, ...], depth: int, exchange: int) -> Part:
    """A `ColumnStage` as data."""
    options = (width, columns, depth, exchange)
    uncounted = ("max_pool2d", "sigmoid") if any(column.condensing for column in columns) else ()
    return Part(ColumnStage, column_stage_cost, options, "columns", (), uncounted, _rows)


def _rows(shape: Shape, width: int, columns: tuple[Column, ...], depth: int, exchange: int) -> list[Row]:
    """A row for everything that a column runs; the columns are numbered from 1."""
    rows = []
    for meeting, blocks in enumerate(meetings(len(columns), depth, exchange)):
        for number, column in enumerate(columns, 1):
            pieces = path_pieces(shape, width, column, blocks, condense=not meeting)
            rows += [Row(str(number), operator, piece) for operator, piece in pieces]
        shape = (width * len(columns), *shape[1:])
    if len(columns) > 1:
        rows.append(Row("concat", "concat", Piece(shape, 0, 0, 0, 0)))
    return rows
