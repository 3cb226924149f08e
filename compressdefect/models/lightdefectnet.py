"""LightDefectNet (Xu et al., 2023): stem, four stages of columns with condensers, anti-aliased steps, a column head.

The paper publishes the principles, the parameters and the operations of its network, not its widths; the family
here spans those principles and the named design matches the figures. Normalised (N, channels, H, W) goes in, any
H and W; logits (N, head columns, classes) come out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from compressdefect.blocks.column import BLOCKS, Column, columns_part
from compressdefect.blocks.condenser import Condensing
from compressdefect.blocks.conv import conv_part
from compressdefect.blocks.downsample import OPERATORS, Downsampling, downsample_part
from compressdefect.blocks.head import head_part
from compressdefect.blocks.part import Part
from compressdefect.blocks.standardize import STANDARDIZE
from compressdefect.models.graph import Graph, Heads, series
from compressdefect.models.template import Gene
from compressdefect.space.genotype import Genes, Genotype, StageGenes

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


class LightDefectNetTemplate:
    """The family as a search sees it."""

    name = "lightdefectnet"
    tasks: tuple[str, ...] = ("classify",)
    genes: Mapping[str, Gene] = GENES

    def describe(self, genotype: Genotype, heads: Heads) -> Graph:
        """See ``Template``: everything runs one after another."""
        ((head, outputs),) = heads.items()
        net: Any = genotype.net
        parts = [("contrast", STANDARDIZE)] if net["contrast"] == "image" else []
        parts.append(("stem", conv_part(net["stem_width"], net["stem_kernel"], net["stem_stride"])))
        for number, stage in enumerate(genotype.stages, 1):
            parts += _stage(f"stage{number}", stage, net["downsample"])
        return Graph(series([*parts, ("head", head_part(len(outputs), net["head_columns"]))]), {head: "head"})


def _stage(name: str, stage: StageGenes, operator: str) -> list[tuple[str, Part]]:
    """Columns, and AADS before or behind them."""
    genes: Any = stage.genes
    columns = tuple([_column(column) for column in stage.columns])
    parts = [(f"{name}.columns", columns_part(genes["width"], columns, genes["depth"], genes["exchange"]))]
    if genes["aads"] != "none":
        way = Downsampling(operator, genes["aads_kernel"], genes["aads_max"])
        parts.insert(genes["aads"] == "exit", (f"{name}.{genes['aads']}", downsample_part(way)))
    return parts


def _column(column: Genes) -> Column:
    genes: Any = column
    condensing = Condensing(genes["vac_r"], genes["vac_pool"], genes["vac_n"]) if genes["vac"] else None
    block = genes["block"]
    return Column(block, tuple([genes[name] for name in _OPTIONS.get(block, ())]), condensing)
