"""LW CNN (Huang et al., 2020): a backbone of bottlenecks with small depthwise kernels, to classify or to segment.

Normalised (N, channels, H, W) goes in, any H and W. To classify, the last map is pooled for one fully-connected layer:
logits (N, 1, classes). To segment, the decoder joins it with a shortcut: logits (N, classes, H, W).

The backbone is Table 2; `@WIDTH` multiplies its widths but the last one's 320, to multiples of 8 and never below 90 %
of the product. With batch norm's γ and β and the classifier counted, and sizes rounded up at every stride, that gives
the W of Tables 3 and 4 to the printed digit, and 2·macs 0.6 to 2.3 % below F, which counts every other operation too.
Of the decoder the paper prints less (see `models.decoder`); for Table 5's 0.55 and 0.60 M weights and 923 and 1312 M
operations this one has 0.546 and 0.625 M, 954 and 1360 M.

Choices where the paper is silent: block 2 is linear like every pointwise convolution inside a bottleneck, the stem and
block 12 end in ReLU6. Deviation: batch norm ships with statistics that are measured after training (`train.calibrate`),
not with a running average of 0.9997.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from compressdefect.blocks.head import head_part
from compressdefect.blocks.lw import KERNEL_SETS, lw_part
from compressdefect.blocks.same_conv import same_conv_part
from compressdefect.models.decoder import JOINS, Decoding, decoder
from compressdefect.models.graph import Graph, Heads, Node, series
from compressdefect.models.template import Gene
from compressdefect.space.genotype import Genotype

_RATES = {
    text: tuple(map(int, text.split("-"))) for text in ("6-12-18", "4-8-12", "3-6-9", "2-4-6", "1-2-3", "2-4", "2")
}
_SEGMENT = ("task", ("segment",))
_WIDTHS = range(1, 4097)

GENES: Mapping[str, Gene] = {
    "task": Gene("net", ("classify", "segment")),
    "stem_width": Gene("net", _WIDTHS),
    "entry_width": Gene("net", _WIDTHS),
    "top_width": Gene("net", _WIDTHS),
    "shortcut": Gene("net", (4, 8), when=_SEGMENT),
    "aspp_width": Gene("net", _WIDTHS, when=_SEGMENT),
    "aspp_rates": Gene("net", tuple(_RATES), when=_SEGMENT),
    "mixed_width": Gene("net", _WIDTHS, when=_SEGMENT),
    "refined_width": Gene("net", _WIDTHS, when=_SEGMENT),
    "join": Gene("net", JOINS, when=_SEGMENT),
    "width": Gene("stage", _WIDTHS),
    "depth": Gene("stage", range(1, 65)),
    "kernels": Gene("stage", tuple(KERNEL_SETS)),
}


class LwCnnTemplate:
    """The family as a search sees it."""

    name = "lw_cnn"
    tasks: tuple[str, ...] = ("classify", "segment")
    genes: Mapping[str, Gene] = GENES

    def describe(self, genotype: Genotype, heads: Heads) -> Graph:
        """See ``Template``: the backbone, and a head on its last map or a decoder from two of its maps."""
        ((head, outputs),) = heads.items()
        nodes = _backbone(genotype)
        if genotype.net["task"] == "classify":
            return Graph((*nodes, Node("head", head_part(len(outputs)), ("top",))), {head: "head"})
        decoding = decoder("top", _shortcut(genotype), len(outputs), _decoding(genotype))
        return Graph((*nodes, *decoding), {head: "output"})


def _backbone(genotype: Genotype) -> list[Node]:
    """The blocks of Table 2, in order."""
    net: Any = genotype.net
    nodes = [
        Node("stem", same_conv_part(net["stem_width"], (3, 3), 2)),
        Node("entry", same_conv_part(net["entry_width"], relu=False), ("stem",)),
    ]
    for number, stage in enumerate(genotype.stages, 1):
        genes: Any = stage.genes
        nodes += _stage(f"stage{number}", genes["width"], genes["depth"], genes["kernels"], nodes[-1].name)
    return [*nodes, Node("top", same_conv_part(net["top_width"]), (nodes[-1].name,))]


@lru_cache(maxsize=16384)
def _stage(name: str, width: int, depth: int, kernels: str, start: str) -> tuple[Node, ...]:
    """Bottlenecks, of which the first halves the map."""
    parts = [lw_part(width, KERNEL_SETS[kernels], 1 if index else 2) for index in range(depth)]
    return series([(f"{name}.block{index}", part) for index, part in enumerate(parts, 1)], start)


def _shortcut(genotype: Genotype) -> str:
    """The block that the shortcut leaves: the last one at a quarter of the input's size, or the first one at an eighth.

    With the paper's depths these are its blocks 4 and 5.
    """
    if genotype.net["shortcut"] == 8 and len(genotype.stages) > 1:
        return "stage2.block1"
    return f"stage1.block{genotype.stages[0].genes['depth']}"


def _decoding(genotype: Genotype) -> Decoding:
    net: Any = genotype.net
    rates = _RATES[net["aspp_rates"]]
    return Decoding(net["aspp_width"], rates, net["mixed_width"], net["refined_width"], net["join"])
