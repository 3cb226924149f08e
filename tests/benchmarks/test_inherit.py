from __future__ import annotations

import torch
from inherit import inherit
from torch import nn


def network(width: int, *, groups: int = 1, kernel: int = 3) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, width, kernel, padding=kernel // 2),
        nn.BatchNorm2d(width),
        nn.Conv2d(width, width, 3, padding=1, groups=groups),
        nn.Flatten(),
        nn.Linear(width * 16, 2),
    )


def test_a_clone_computes_what_its_parent_does() -> None:
    parent, clone = network(8), network(8)
    parent(torch.randn(4, 1, 4, 4))  # moves the statistics
    assert inherit(clone, parent.state_dict(), kept=1.0) == 1.0
    pixels = torch.randn(2, 1, 4, 4)
    assert torch.equal(clone.eval()(pixels), parent.eval()(pixels))


def test_weights_are_shrunk_and_perturbed_and_scales_are_not() -> None:
    parent, child = network(8), network(8)
    nn.init.constant_(parent[1].weight, 3.0)  # type: ignore[arg-type]
    own = child[0].weight.detach().clone()  # type: ignore[operator]
    inherit(child, parent.state_dict(), kept=0.8)
    assert torch.allclose(child[0].weight, 0.8 * parent[0].weight + 0.2 * own)  # type: ignore[operator]
    assert torch.equal(child[1].weight, parent[1].weight)


def test_other_widths_are_cut_and_padded() -> None:
    parent, narrow, wide = network(8), network(4), network(12)
    initial = wide[0].weight.detach().clone()  # type: ignore[operator]
    assert inherit(narrow, parent.state_dict(), kept=1.0) == 1.0
    assert torch.equal(narrow[2].weight, parent[2].weight[:4, :4])  # type: ignore[index]
    assert 0 < inherit(wide, parent.state_dict(), kept=1.0) < 1
    assert torch.equal(wide[0].weight[:8], parent[0].weight)  # type: ignore[index]
    assert torch.equal(wide[0].weight[8:], initial[8:])  # type: ignore[index]


def test_layers_of_another_kind_keep_their_own_weights() -> None:
    parent, child = network(8), network(8, groups=8, kernel=5)
    own = {name: tensor.clone() for name, tensor in child.state_dict().items()}
    inherit(child, parent.state_dict())
    assert torch.equal(child[0].weight, own["0.weight"])  # a kernel of another size
    assert torch.equal(child[2].weight, own["2.weight"])  # depthwise
    assert not torch.equal(child[4].weight, own["4.weight"])
