"""Segmentation decoder of LW CNN (Huang et al., 2020, §3.3 and Fig. 3): ASPP, bilinear upsampling, a shortcut.

ASPP reads the last map of an encoder; a pointwise convolution mixes its branches; the result is brought to the size of
a shortcut from an earlier map, joined with it, refined and classified by two more pointwise convolutions.

Choices: the paper prints neither widths nor where the three pointwise convolutions stand. Branches and refinement of
128 maps, 512 mixed ones before the upsampling, and a shortcut that is concatenated unreduced come closest to its
weights and FLOPs. Batch norm and ReLU6 follow all but the last convolution, which has a bias. Deviation: the paper
segments at the shortcut's size, and here the logits are upsampled to the image's, so that outputs and masks agree.

``join="sum"`` is ours: a pointwise convolution of a concatenation is the sum of two, and it commutes with the bilinear
upsampling, whose weights sum to 1. So the larger part of the refinement can run on the small map, before it is grown:
the same functions at half of the paper's operations.
"""

from __future__ import annotations

from typing import NamedTuple

from compressdefect.blocks.aspp import PAPER_RATES, Rates, aspp_part
from compressdefect.blocks.head import pixel_head_part
from compressdefect.blocks.join import CONCAT, SUM
from compressdefect.blocks.resize import RESIZE
from compressdefect.blocks.same_conv import RELU6, same_conv_part
from compressdefect.models.graph import IMAGE, Node

JOINS = ("concat", "sum")


class Decoding(NamedTuple):
    """What a decoder is made of.

    Attributes:
        width: maps of each branch of the ASPP.
        rates: atrous rates of its branches beside the pointwise one.
        mixed: maps that the branches are mixed into, before the upsampling.
        refined: maps that are classified.
        join: how the shortcut comes in: "concat", or "sum" of two pointwise convolutions.
    """

    width: int = 128
    rates: Rates = PAPER_RATES
    mixed: int = 512
    refined: int = 128
    join: str = "concat"


def decoder(last: str, shortcut: str, classes: int, how: Decoding = Decoding()) -> tuple[Node, ...]:  # noqa: B008
    """Nodes from two maps by name, (N, C, h, w) and (N, S, H, W), to ``output``: logits of each of the image's pixels.

    Args:
        last: the encoder's last map.
        shortcut: the map that joins it, at whose size it is refined.
        classes: maps of logits.
        how: the decoder.
    """
    assert how.join in JOINS, how.join
    joined = _added(shortcut, how.refined) if how.join == "sum" else _concatenated(shortcut, how.refined)
    return (
        Node("decoder.aspp", aspp_part(how.width, how.rates), (last,)),
        Node("decoder.mix", same_conv_part(how.mixed), ("decoder.aspp",)),
        *joined,
        Node("decoder.classify", pixel_head_part(classes), (joined[-1].name,)),
        Node("output", RESIZE, ("decoder.classify",), like=IMAGE),
    )


def _concatenated(shortcut: str, refined: int) -> tuple[Node, ...]:
    return (
        Node("decoder.upsample", RESIZE, ("decoder.mix",), like=shortcut),
        Node("decoder.concat", CONCAT, ("decoder.upsample", shortcut)),
        Node("decoder.refine", same_conv_part(refined), ("decoder.concat",)),
    )


def _added(shortcut: str, refined: int) -> tuple[Node, ...]:
    linear = same_conv_part(refined, relu=False)
    return (
        Node("decoder.refine", linear, ("decoder.mix",)),
        Node("decoder.upsample", RESIZE, ("decoder.refine",), like=shortcut),
        Node("decoder.refine_shortcut", linear, (shortcut,)),
        Node("decoder.sum", SUM, ("decoder.upsample", "decoder.refine_shortcut")),
        Node("decoder.relu", RELU6, ("decoder.sum",)),
    )
