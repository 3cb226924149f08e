"""The decoder against its definition: what a sum in place of a concatenation changes, and what it does not."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from compressdefect.blocks.aspp import ASPP
from compressdefect.blocks.lw import lw_part
from compressdefect.blocks.same_conv import same_conv_part
from compressdefect.cost.piece import Piece, Shape
from compressdefect.models.decoder import Decoding, decoder
from compressdefect.models.graph import Graph, Network, Node
from tests.contracts import BlockContract

HOW = Decoding(width=8, rates=(1, 2), mixed=12, refined=10)
ALONE = ("last", "shortcut", "image")


def decoding(how: Decoding) -> Network:
    """A decoder by itself, from 6 and 5 maps to 3."""
    network = Graph(decoder("last", "shortcut", 3, how), {"pixels": "output"}, inputs=ALONE).build(6, 5, 1)
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.weight, 0.5, 2.0)
            nn.init.normal_(layer.bias)
            layer.running_mean = torch.randn(layer.num_features)
            layer.running_var = 0.5 + torch.rand(layer.num_features)
    return network.eval()


def test_a_sum_computes_what_a_concatenation_does() -> None:
    """W·[up(x); s] = up(W₁·x) + W₂·s; batch norm's shift goes with one of the two."""
    torch.manual_seed(0)
    one, two = decoding(HOW), decoding(HOW._replace(join="sum"))
    two.load_state_dict(one.state_dict() | split(one.get_submodule("decoder.refine")))
    maps = torch.randn(2, 6, 4, 3), torch.randn(2, 5, 15, 10), torch.randn(2, 1, 30, 20)
    with torch.no_grad():
        torch.testing.assert_close(two(*maps), one(*maps), rtol=1e-4, atol=1e-5)
    assert one(*maps).shape == (2, 3, 30, 20)


def split(refine: nn.Module) -> dict[str, Tensor]:
    """The state of a convolution of 12 and 5 maps, as those of two."""
    state = {f"decoder.refine_shortcut.{name}": value for name, value in refine.state_dict().items()}
    weight = state["decoder.refine_shortcut.0.weight"]
    zero = torch.zeros_like(state["decoder.refine_shortcut.1.bias"])
    return state | {
        "decoder.refine.0.weight": weight[:, :12],
        "decoder.refine_shortcut.0.weight": weight[:, 12:],
        "decoder.refine_shortcut.1.bias": zero,
        "decoder.refine_shortcut.1.running_mean": zero,
    }


def test_a_sum_needs_fewer_macs() -> None:
    encoder = (Node("large", same_conv_part(16, (3, 3), 4)), Node("small", lw_part(320, stride=4), ("large",)))
    macs = [
        Graph((*encoder, *decoder("small", "large", 2, Decoding(join=join))), {"pixels": "output"})
        .cost((3, 256, 256))
        .macs
        for join in ("concat", "sum")
    ]
    assert macs[0] - macs[1] == 512 * 128 * (64 * 64 - 16 * 16)


def test_the_pyramid_sees_as_far_as_its_rates() -> None:
    """A depthwise 3×3 at rate r reaches r pixels in each direction, the pointwise branch none."""
    torch.manual_seed(0)
    pyramid, x = ASPP(2, 4, rates=(3, 5)).eval(), torch.randn(1, 2, 15, 15, requires_grad=True)
    for layer in pyramid.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.constant_(layer.bias, 3.0)  # in the middle of ReLU6, where gradients pass
    outputs = pyramid(x)
    assert outputs.shape == (1, 12, 15, 15)
    for branch, reach in enumerate((0, 3, 5)):
        maps = outputs[0, 4 * branch : 4 * branch + 4, 7, 7]
        (gradient,) = torch.autograd.grad(maps.sum(), x, retain_graph=True)
        rows = gradient.abs().sum(dim=(0, 1, 3)).nonzero().flatten()
        assert set(rows.tolist()) == {7 - reach, 7, 7 + reach}


def decoded(how: Decoding) -> Graph:
    """A decoder over an encoder of one block, with the image as its shortcut."""
    encoder = Node("encoder", lw_part(10, stride=2))
    return Graph((encoder, *decoder("encoder", "image", 3, how)), {"pixels": "output"})


def as_piece(graph: Graph, shape: Shape) -> Piece:
    cost = graph.cost(shape)
    return Piece(graph.layers(shape)[-1].out_shape, cost.params, cost.macs, cost.peak_bytes, cost.peak_bytes)


class TestDecoder(BlockContract):
    @staticmethod
    def make() -> Network:
        return decoded(HOW).build(8)

    @staticmethod
    def price(shape: Shape) -> Piece:
        return as_piece(decoded(HOW), shape)


class TestSummingDecoder(BlockContract):
    @staticmethod
    def make() -> Network:
        return decoded(Decoding(4, (2,), 6, 12, join="sum")).build(8)

    @staticmethod
    def price(shape: Shape) -> Piece:
        return as_piece(decoded(Decoding(4, (2,), 6, 12, join="sum")), shape)
