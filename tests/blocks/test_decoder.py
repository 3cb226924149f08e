"""The decoder against its definition: what a sum in place of a concatenation changes, and what it does not."""

from __future__ import annotations

import torch
from torch import nn

from compressdefect.blocks.aspp import ASPP
from compressdefect.blocks.decoder import Decoder, Decoding, decoder_cost
from compressdefect.blocks.lw import lw_cost
from compressdefect.blocks.same_conv import SameConv

CONCAT = Decoding(width=8, rates=(1, 2), mixed=12, refined=10)


def test_a_sum_computes_what_a_concatenation_does() -> None:
    """W·[up(x); s] = up(W₁·x) + W₂·s; batch norm's shift goes with one of the two."""
    torch.manual_seed(0)
    one = settled(Decoder(6, 5, 3, CONCAT))
    two = Decoder(6, 5, 3, CONCAT._replace(join="sum")).eval()
    two.load_state_dict(one.state_dict() | split(one.refine))
    small, shortcut = torch.randn(2, 6, 4, 3), torch.randn(2, 5, 15, 10)
    with torch.no_grad():
        torch.testing.assert_close(two(small, shortcut), one(small, shortcut), rtol=1e-4, atol=1e-5)


def settled(decoder: Decoder) -> Decoder:
    """A decoder whose batch norms are not the identity."""
    for layer in decoder.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.weight, 0.5, 2.0)
            nn.init.normal_(layer.bias)
            layer.running_mean, layer.running_var = (
                torch.randn(layer.num_features),
                0.5 + torch.rand(layer.num_features),
            )
    return decoder.eval()


def split(refine: SameConv) -> dict[str, torch.Tensor]:
    weight = refine[0].weight
    own = {f"refine_shortcut.{name}": value for name, value in refine.state_dict().items()}
    zero = torch.zeros_like(refine[1].bias)
    return own | {
        "refine.0.weight": weight[:, :12],
        "refine_shortcut.0.weight": weight[:, 12:],
        "refine_shortcut.1.bias": zero,
        "refine_shortcut.1.running_mean": zero,
    }


def test_a_sum_needs_fewer_macs() -> None:
    shortcut = (16, 64, 64)
    rest = lw_cost(lw_cost(shortcut, 16, stride=2).out, 320, stride=2)._replace(macs=0)
    macs = [decoder_cost(rest, shortcut, 2, Decoding(join=join)).macs for join in ("concat", "sum")]
    saved = 512 * 128 * (64 * 64 - 16 * 16)
    assert macs[0] - macs[1] == saved


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
