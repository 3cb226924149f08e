"""LightDefectNet (Xu et al., 2023): stem, four stages of columns with condensers, anti-aliased steps, a column head.

The paper publishes the principles, the parameters and the operations of its network, not its widths; the family
here spans those principles and the named design matches the figures. Normalised (N, channels, H, W) goes in, any
H and W; logits (N, head columns, classes) come out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from torch import Tensor, nn

from compressdefect.blocks.column import BLOCKS, Column, ColumnStage, column_stage_cost, meetings, path_pieces
from compressdefect.blocks.condenser import Condensing
from compressdefect.blocks.conv import Conv
from compressdefect.blocks.downsample import OPERATORS, Downsampling, downsample, downsample_cost
from compressdefect.blocks.head import ColumnHead, head_cost
from compressdefect.blocks.normalize import normalize_cost
from compressdefect.blocks.standardize import Standardize, standardize_cost
from compressdefect.cost.cost import Cost
from compressdefect.cost.piece import Piece, Shape, convolution
from compressdefect.models.template import Gene, Heads, Layer, Reduction
from compressdefect.space.genotype import Genes, Genotype, StageGenes

_REDUCTIONS = {"conv": ("conv", 3), "pointwise": ("conv", 1), "maxpool": ("maxpool", 3)}
_OPTIONS: dict[str, tuple[str, ...]] = {
    "grouped": ("groups",),
    "separable": ("kernel",),
    "inverted": ("kernel", "expand"),
}


_SWITCH = (False, True)
GENES: Mapping[str, Gene] = {
    "contrast": Gene("net", ("image", "dataset")),
    "stem_width": Gene("net", range(1, 4097)),
    "stem_kernel": Gene("net", range(1, 32, 2)),
    "stem_stride": Gene("net", range(1, 9)),
    "head_columns": Gene("net", range(1, 3)),
    "downsample": Gene("net", OPERATORS),
    "columns": Gene("stage", range(1, 17)),
    "exchange": Gene("stage", range(65)),
    "depth": Gene("stage", range(1, 65)),
    "width": Gene("stage", range(1, 4097)),
    "aads": Gene("stage", ("none", "entry", "exit")),
    "aads_kernel": Gene("stage", range(1, 10), when=("aads", ("entry", "exit"))),
    "aads_max": Gene("stage", _SWITCH, when=("aads", ("entry", "exit"))),
    "block": Gene("column", tuple(BLOCKS)),
    "groups": Gene("column", range(1, 65), when=("block", ("grouped",))),
    "kernel": Gene("column", range(1, 32, 2), when=("block", ("separable", "inverted"))),
    "expand": Gene("column", range(1, 17), when=("block", ("inverted",))),
    "vac": Gene("column", _SWITCH),
    "vac_r": Gene("column", range(1, 65), when=("vac", (True,))),
    "vac_pool": Gene("column", range(1, 33), when=("vac", (True,))),
    "vac_n": Gene("column", range(1, 9), when=("vac", (True,))),
}


class StagePlan(NamedTuple):
    """A stage's genes as the arguments of its blocks."""

    entry: Downsampling | None
    width: int
    columns: tuple[Column, ...]
    depth: int
    exchange: int
    exit: Downsampling | None


class LightDefectNet(nn.Module):
    """One network of the family."""

    def __init__(self, genotype: Genotype, *, channels: int, heads: Heads) -> None:
        super().__init__()
        net: Any = genotype.net
        (classes,) = map(len, heads.values())
        width = net["stem_width"]
        self.contrast = Standardize() if net["contrast"] == "image" else nn.Identity()
        self.stem = Conv(channels, width, net["stem_kernel"], net["stem_stride"])
        self.stages = nn.Sequential()
        for plan in _plans(genotype):
            stage = nn.Sequential()
            if plan.entry:
                stage.append(downsample(width, plan.entry))
            stage.append(ColumnStage(width, plan.width, plan.columns, plan.depth, plan.exchange))
            width = plan.width * len(plan.columns)
            if plan.exit:
                stage.append(downsample(width, plan.exit))
            self.stages.append(stage)
        self.head = ColumnHead(width, classes, net["head_columns"])

    def forward_features(self, x: Tensor) -> Tensor:
        """(N, C, H, W) → the last feature map."""
        return self.stages(self.stem(self.contrast(x)))

    def forward_head(self, features: Tensor) -> Tensor:
        """A feature map → logits (N, columns, classes)."""
        return self.head(features)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) → logits (N, columns, classes)."""
        return self.forward_head(self.forward_features(x))


class LightDefectNetTemplate:
    """The family as a search sees it."""

    name = "lightdefectnet"
    tasks: tuple[str, ...] = ("classify",)
    genes: Mapping[str, Gene] = GENES

    def build(self, genotype: Genotype, *, channels: int, heads: Heads) -> nn.Module:
        """The network of a genotype."""
        return LightDefectNet(genotype, channels=channels, heads=heads)

    def cost(self, genotype: Genotype, *, input_shape: Shape, heads: Heads) -> Cost:
        """Closed form: the pieces run one after another, so counts add and the largest peak is the net's."""
        net: Any = genotype.net
        shape = input_shape
        pieces = [normalize_cost(shape)]
        if net["contrast"] == "image":
            pieces.append(standardize_cost(shape))
        pieces.append(convolution(shape, net["stem_width"], net["stem_kernel"], net["stem_stride"]))
        shape = pieces[-1].out
        plans = _plans(genotype)
        for plan in plans:
            if plan.entry:
                pieces.append(downsample_cost(shape, plan.entry))
                shape = pieces[-1].out
            pieces.append(column_stage_cost(shape, plan.width, plan.columns, plan.depth, plan.exchange))
            shape = pieces[-1].out
            if plan.exit:
                pieces.append(downsample_cost(shape, plan.exit))
                shape = pieces[-1].out
        (classes,) = map(len, heads.values())
        pieces.append(head_cost(shape, classes, net["head_columns"]))
        params, macs = sum(p.params for p in pieces), sum(p.macs for p in pieces)
        return Cost(params, macs, max(p.peak for p in pieces), _uncounted(plans))

    def reductions(self, genotype: Genotype) -> tuple[Reduction, ...]:
        """The stem, then every downsampling in order."""
        net: Any = genotype.net
        found = [Reduction("stem", "conv", net["stem_kernel"], net["stem_stride"])]
        for number, stage in enumerate(genotype.stages, 1):
            genes: Any = stage.genes
            if genes["aads"] != "none":
                operator, kernel = _REDUCTIONS.get(net["downsample"]) or ("aads", genes["aads_kernel"])
                found.append(Reduction(f"stage{number}.{genes['aads']}", operator, kernel, 2))
        return tuple(found)

    def layers(self, genotype: Genotype, *, input_shape: Shape, heads: Heads) -> list[Layer]:
        """One row per block; the rows' sums are the cost's."""
        net: Any = genotype.net
        kernel, stride = net["stem_kernel"], net["stem_stride"]
        stem = convolution(input_shape, net["stem_width"], kernel, stride)
        rows = [_row("stem", f"conv {kernel}×{kernel}, stride {stride}", stem)]
        for number, plan in enumerate(_plans(genotype), 1):
            rows += _stage_rows(f"stage{number}", rows[-1].out_shape, plan)
        (classes,) = map(len, heads.values())
        head = head_cost(rows[-1].out_shape, classes, net["head_columns"])
        return [*rows, _row("head", f"average pool, {net['head_columns']} fully-connected", head)]


def _plans(genotype: Genotype) -> list[StagePlan]:
    operator: Any = genotype.net["downsample"]
    return [_plan(stage, operator) for stage in genotype.stages]


def _plan(stage: StageGenes, operator: str) -> StagePlan:
    genes: Any = stage.genes
    entry = leave = None
    if genes["aads"] != "none":
        way = Downsampling(operator, genes["aads_kernel"], genes["aads_max"])
        entry, leave = (way, None) if genes["aads"] == "entry" else (None, way)
    columns = tuple([_column(column) for column in stage.columns])
    return StagePlan(entry, genes["width"], columns, genes["depth"], genes["exchange"], leave)


def _column(column: Genes) -> Column:
    genes: Any = column
    condensing = Condensing(genes["vac_r"], genes["vac_pool"], genes["vac_n"]) if genes["vac"] else None
    block = genes["block"]
    return Column(block, tuple([genes[name] for name in _OPTIONS.get(block, ())]), condensing)


def _uncounted(plans: list[StagePlan]) -> tuple[str, ...]:
    """What fvcore names as run but not counted: normalisation and sums, condensers' gates, pads and max pools."""
    names = {"add", "mul"}
    for plan in plans:
        if any(column.condensing for column in plan.columns):
            names |= {"max_pool2d", "sigmoid"}
        way = plan.entry or plan.exit
        if way is not None and way.operator == "aads":
            names.add("pad")
        if way is not None and (way.maximum or way.operator == "maxpool"):
            names.add("max_pool2d")
    return tuple(sorted(names))


def _row(name: str, operator: str, piece: Piece) -> Layer:
    return Layer(name, operator, piece.out, piece.params, piece.macs)


def _stage_rows(stage: str, shape: Shape, plan: StagePlan) -> list[Layer]:
    rows = []
    if plan.entry:
        rows.append(_row(f"{stage}.entry", _describe(plan.entry), downsample_cost(shape, plan.entry)))
        shape = rows[-1].out_shape
    count = len(plan.columns)
    for meeting, blocks in enumerate(meetings(count, plan.depth, plan.exchange)):
        for number, column in enumerate(plan.columns, 1):
            for operator, piece in path_pieces(shape, plan.width, column, blocks, condense=not meeting):
                rows.append(_row(f"{stage}.column{number}", operator, piece))
        shape = (plan.width * count, *shape[1:])
    if count > 1:
        rows.append(Layer(f"{stage}.concat", "concat", shape, 0, 0))
    if plan.exit:
        rows.append(_row(f"{stage}.exit", _describe(plan.exit), downsample_cost(shape, plan.exit)))
    return rows


def _describe(way: Downsampling) -> str:
    if way.operator != "aads":
        return f"{way.operator}, stride 2"
    return f"{'max pool, ' if way.maximum else ''}blur {way.kernel}×{way.kernel}, stride 2"
