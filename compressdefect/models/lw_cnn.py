"""LW CNN (Huang et al., 2020): a backbone of bottlenecks with small depthwise kernels, to classify or to segment.

Normalised (N, channels, H, W) goes in, any H and W. To classify, the last map is pooled for one fully-connected layer:
logits (N, 1, classes). To segment, the decoder joins it with a shortcut: logits (N, classes, H, W).

The backbone is Table 2; `@WIDTH` multiplies its widths but the last one's 320, to multiples of 8 and never below 90 %
of the product. With batch norm's γ and β and the classifier counted, and sizes rounded up at every stride, that gives
the W of Tables 3 and 4 to the printed digit, and 2·macs 0.6 to 2.3 % below F, which counts every other operation too.
Of the decoder the paper prints less (see `blocks.decoder`); for Table 5's 0.55 and 0.60 M weights and 923 and 1312 M
operations this one has 0.546 and 0.625 M, 954 and 1360 M.

Choices where the paper is silent: block 2 is linear like every pointwise convolution inside a bottleneck, the stem and
block 12 end in ReLU6. Deviations: the paper segments at the shortcut's size, an eighth or a quarter of the input's, and
here the logits are upsampled to the input's size inside the network, so that outputs and masks agree. Batch
norm ships with statistics that are measured after training (`train.calibrate`), not with a running average of 0.9997.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from torch import Tensor, nn

from compressdefect.blocks.decoder import (
    JOINS,
    Decoder,
    Decoding,
    before_join,
    behind_join,
    decoder_cost,
    upsample,
    upsample_cost,
)
from compressdefect.blocks.head import ColumnHead, head_cost
from compressdefect.blocks.lw import KERNEL_SETS, Kernels, LWBottleneck, lw_cost
from compressdefect.blocks.normalize import normalize_cost
from compressdefect.blocks.same_conv import Kernel, SameConv, same_conv_cost
from compressdefect.cost.cost import Cost
from compressdefect.cost.piece import Piece, Shape, chain
from compressdefect.models.template import Gene, Heads, Layer, Reduction
from compressdefect.space.genotype import Genotype

_STEM: Kernel = (3, 3)
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


class Block(NamedTuple):
    """A block of Table 2: an LW bottleneck of these kernels, or a convolution where there are none."""

    name: str
    inputs: int
    channels: int
    stride: int = 1
    kernels: Kernels = ()
    kernel: Kernel = (1, 1)
    relu: bool = True

    def build(self) -> nn.Module:
        """The block itself."""
        if self.kernels:
            return LWBottleneck(self.inputs, self.channels, self.kernels, self.stride)
        return SameConv(self.inputs, self.channels, self.kernel, self.stride, relu=self.relu)

    def cost(self, shape: Shape) -> Piece:
        """Its closed form."""
        if self.kernels:
            return lw_cost(shape, self.channels, self.kernels, self.stride)
        return same_conv_cost(shape, self.channels, self.kernel, self.stride)

    @property
    def operator(self) -> str:
        """What a layer table calls it."""
        kernels = ", ".join(f"{height}×{width}" for height, width in self.kernels or (self.kernel,))
        strided = f", stride {self.stride}" if self.stride > 1 else ""
        return f"{'bottleneck' if self.kernels else 'conv'} {kernels}{strided}"


class LwClassifier(nn.Module):
    """Backbone, average pool, one fully-connected layer."""

    def __init__(self, genotype: Genotype, *, channels: int, heads: Heads) -> None:
        super().__init__()
        (classes,) = map(len, heads.values())
        blocks = backbone(genotype, channels)
        self.backbone = nn.Sequential(*[block.build() for block in blocks])
        self.head = ColumnHead(blocks[-1].channels, classes)

    def forward_features(self, x: Tensor) -> Tensor:
        """(N, C, H, W) → the last map."""
        return self.backbone(x)

    def forward_head(self, features: Tensor) -> Tensor:
        """The last map → logits (N, 1, classes)."""
        return self.head(features)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) → logits (N, 1, classes)."""
        return self.forward_head(self.forward_features(x))


class LwSegmenter(nn.Module):
    """The same backbone, and a decoder from its last map and the shortcut's."""

    def __init__(self, genotype: Genotype, *, channels: int, heads: Heads) -> None:
        super().__init__()
        (classes,) = map(len, heads.values())
        blocks = backbone(genotype, channels)
        self.tap = shortcut_index(genotype)
        self.backbone = nn.Sequential(*[block.build() for block in blocks])
        self.decoder = Decoder(blocks[-1].channels, blocks[self.tap].channels, classes, decoding(genotype))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) → logits (N, classes, H, W)."""
        y = shortcut = x
        for index, block in enumerate(self.backbone):
            y = block(y)
            if index == self.tap:
                shortcut = y
        return upsample(self.decoder(y, shortcut), x)


class LwCnnTemplate:
    """The family as a search sees it."""

    name = "lw_cnn"
    tasks: tuple[str, ...] = ("classify", "segment")
    genes: Mapping[str, Gene] = GENES

    def build(self, genotype: Genotype, *, channels: int, heads: Heads) -> nn.Module:
        """The network of a genotype."""
        network = LwSegmenter if genotype.net["task"] == "segment" else LwClassifier
        return network(genotype, channels=channels, heads=heads)

    def cost(self, genotype: Genotype, *, input_shape: Shape, heads: Heads) -> Cost:
        """Closed form: counts add, and the largest peak of the parts is the net's."""
        (classes,) = map(len, heads.values())
        pieces = _backbone_pieces(genotype, input_shape)
        if genotype.net["task"] == "classify":
            pieces.append(head_cost(pieces[-1].out, classes))
        else:
            tap = shortcut_index(genotype)
            shortcut = pieces[tap].out
            rest = chain(shortcut, *pieces[tap + 1 :])
            decoded = decoder_cost(rest, shortcut, classes, decoding(genotype))
            pieces = [*pieces[: tap + 1], decoded, upsample_cost(decoded.out, input_shape)]
        params, macs = sum(p.params for p in pieces), sum(p.macs for p in pieces)
        peak = max(normalize_cost(input_shape).peak, *(p.peak for p in pieces))
        return Cost(params, macs, peak, _uncounted(genotype))

    def reductions(self, genotype: Genotype) -> tuple[Reduction, ...]:
        """The stem, then every path of every stage's first bottleneck."""
        found = []
        for block in backbone(genotype, channels=1):
            if block.stride > 1:
                kernels = block.kernels or (block.kernel,)
                found += [Reduction(block.name, "conv", max(kernel), block.stride) for kernel in kernels]
        return tuple(found)

    def layers(self, genotype: Genotype, *, input_shape: Shape, heads: Heads) -> list[Layer]:
        """One row per block; the rows' sums are the cost's."""
        (classes,) = map(len, heads.values())
        pieces = _backbone_pieces(genotype, input_shape)
        blocks = backbone(genotype, input_shape[0])
        rows = [_row(block.name, block.operator, piece) for block, piece in zip(blocks, pieces, strict=True)]
        last = pieces[-1].out
        if genotype.net["task"] == "classify":
            return [*rows, _row("head", "average pool, 1 fully-connected", head_cost(last, classes))]
        how, shortcut = decoding(genotype), pieces[shortcut_index(genotype)].out
        before = before_join(last, shortcut, how)
        behind = behind_join(before[-1][1].out, shortcut, classes, how)
        rows += [_row(f"decoder.{name}", name, piece) for name, piece in (*before, *behind)]
        return [*rows, _row("output", "upsample", upsample_cost(rows[-1].out_shape, input_shape))]


def backbone(genotype: Genotype, channels: int) -> list[Block]:
    """The blocks of Table 2 for images of so many channels, in order."""
    net: Any = genotype.net
    stem, width = net["stem_width"], net["entry_width"]
    blocks = [Block("stem", channels, stem, 2, kernel=_STEM), Block("entry", stem, width, relu=False)]
    for number, stage in enumerate(genotype.stages, 1):
        genes: Any = stage.genes
        for index in range(genes["depth"]):
            stride = 1 if index else 2
            blocks.append(Block(f"stage{number}", width, genes["width"], stride, KERNEL_SETS[genes["kernels"]]))
            width = genes["width"]
    return [*blocks, Block("top", width, net["top_width"])]


def shortcut_index(genotype: Genotype) -> int:
    """Which block the shortcut leaves: the last one at a quarter of the input's size, or the first one at an eighth.

    With the paper's depths these are its blocks 4 and 5.
    """
    depth: Any = genotype.stages[0].genes["depth"]
    eighth = genotype.net["shortcut"] == 8 and len(genotype.stages) > 1
    return int(depth) + 1 + eighth  # behind the stem and the entry


def decoding(genotype: Genotype) -> Decoding:
    """A genotype's decoder."""
    net: Any = genotype.net
    rates = _RATES[net["aspp_rates"]]
    return Decoding(net["aspp_width"], rates, net["mixed_width"], net["refined_width"], net["join"])


def _backbone_pieces(genotype: Genotype, shape: Shape) -> list[Piece]:
    pieces: list[Piece] = []
    for block in backbone(genotype, shape[0]):
        pieces.append(block.cost(pieces[-1].out if pieces else shape))
    return pieces


def _uncounted(genotype: Genotype) -> tuple[str, ...]:
    """What a trace names as run but not counted: normalisation and sums, ReLU6, and the pads of even kernels."""
    kernels = {side for block in backbone(genotype, 1) for kernel in block.kernels for side in kernel}
    pads = ("pad",) if any(side % 2 == 0 for side in kernels) else ()
    return ("add", "hardtanh", "mul", *pads)


def _row(name: str, operator: str, piece: Piece) -> Layer:
    return Layer(name, operator, piece.out, piece.params, piece.macs)
