"""The family: its closed form against counts of built networks, and the named design against the paper's budget."""

from __future__ import annotations

import random

import pytest
import torch
from torch import nn

from compressdefect.blocks.blurpool import BlurPool
from compressdefect.blocks.condenser import Condenser
from compressdefect.catalog import find_design, find_space
from compressdefect.cost.counting import exported_peak_bytes, trace_macs, trainable
from compressdefect.cost.piece import Shape
from compressdefect.models.inspector import Inspector
from compressdefect.models.templates import TEMPLATES
from compressdefect.space.genotype import Genotype

SPACE = find_space("lightdefectnet")
TEMPLATE = TEMPLATES["lightdefectnet"]
SHAPES: tuple[Shape, ...] = ((3, 33, 47), (1, 40, 24), (3, 51, 51), (1, 64, 64))
TWO, THREE = {"image": ("a", "b")}, {"image": ("a", "b", "c")}


def random_designs(seed: int, count: int) -> list[tuple[Genotype, Shape]]:
    rng = random.Random(seed)
    return [(SPACE.decode(SPACE.sample(rng)), rng.choice(SHAPES)) for _ in range(count)]


def inspector(genotype: Genotype, shape: Shape) -> Inspector:
    network = TEMPLATE.describe(genotype, THREE).build(shape[0])
    return Inspector.from_statistics(network, [128.0] * shape[0], [50.0] * shape[0])


def with_downsampling(genotype: Genotype, operator: str) -> Genotype:
    return Genotype(genotype.template, {**genotype.net, "downsample": operator}, genotype.stages)


@pytest.mark.parametrize("seed", range(7))
def test_params_and_macs_equal_the_count(seed: int) -> None:
    for genotype, shape in random_designs(seed, 20):
        network = inspector(genotype, shape)
        graph = TEMPLATE.describe(genotype, THREE)
        cost = graph.cost(shape)
        assert (cost.params, cost.macs, graph.uncounted) == (trainable(network), *trace_macs(network, shape)), genotype


@pytest.mark.parametrize("seed", range(6))
def test_peak_bytes_equal_the_walk_over_the_exported_graph(seed: int) -> None:
    ((genotype, shape),) = random_designs(100 + seed, 1)
    cost = TEMPLATE.describe(genotype, THREE).cost(shape)
    assert cost.peak_bytes == exported_peak_bytes(inspector(genotype, shape), shape), genotype


@pytest.mark.parametrize("operator", ["aads", "conv", "pointwise", "maxpool"])
def test_every_way_of_downsampling(operator: str) -> None:
    genotype = with_downsampling(find_design("lightdefectnet")[1], operator)
    shape = (3, 65, 70)
    network = TEMPLATE.describe(genotype, TWO).build(3).eval()
    cost = TEMPLATE.describe(genotype, TWO).cost(shape)
    assert (cost.params, cost.macs) == (trainable(network), trace_macs(network, shape)[0])
    assert network(torch.zeros(1, *shape)).shape == (1, 2, 2)


@pytest.mark.parametrize("operator", ["aads", "conv", "pointwise", "maxpool"])
def test_reductions_are_what_the_network_has(operator: str) -> None:
    for genotype, _ in random_designs(7, 10):
        design = with_downsampling(genotype, operator)
        network = TEMPLATE.describe(design, TWO).build(3)
        expected = [(r.operator, r.kernel, r.stride) for r in TEMPLATE.describe(design, TWO).reductions]
        assert strided(network) == expected


def strided(network: nn.Module) -> list[tuple[str, int, int]]:
    """Operator, kernel and stride of every module outside condensers that lowers the resolution."""
    found = []
    inside = {id(part) for layer in network.modules() if isinstance(layer, Condenser) for part in layer.modules()}
    for layer in network.modules():
        if id(layer) in inside:
            continue
        if isinstance(layer, nn.Conv2d) and layer.stride[0] > 1:
            found.append(("conv", layer.kernel_size[0], layer.stride[0]))
        elif isinstance(layer, BlurPool):
            found.append(("aads", layer.filter.shape[-1], layer.stride))
        elif isinstance(layer, nn.MaxPool2d) and layer.stride != 1:
            assert isinstance(layer.kernel_size, int)
            assert isinstance(layer.stride, int)
            found.append(("maxpool", layer.kernel_size, layer.stride))
    return found


def test_the_layer_table_adds_up() -> None:
    for genotype, shape in random_designs(11, 50):
        cost = TEMPLATE.describe(genotype, TWO).cost(shape)
        rows = TEMPLATE.describe(genotype, TWO).layers(shape)
        assert sum(row.params for row in rows) == cost.params
        assert sum(row.macs for row in rows) == cost.macs
        first = "contrast" if genotype.net["contrast"] == "image" else "stem"
        assert [rows[0].name, rows[-1].name] == [first, "head"]


def test_the_named_design_matches_the_papers_budget() -> None:
    cost = TEMPLATE.describe(find_design("lightdefectnet")[1], TWO).cost((3, 224, 224))
    assert cost.params <= 770_000
    assert 88e6 <= cost.flops <= 93e6


def test_features_and_head_make_the_network() -> None:
    network = TEMPLATE.describe(find_design("lightdefectnet")[1], {"image": tuple("abcd")}).build(1).eval()
    x = torch.randn(2, 1, 64, 48)
    features = network.forward_features(x)  # type: ignore[operator]
    assert features.dim() == 4
    assert torch.equal(network.forward_head(features), network(x))  # type: ignore[operator]
    assert network(x).shape == (2, 2, 4)


def test_bfloat16_training_step_is_finite() -> None:
    torch.manual_seed(0)
    network = Inspector.from_statistics(
        TEMPLATE.describe(find_design("lightdefectnet")[1], TWO).build(3),
        [128.0] * 3,
        [60.0] * 3,
    ).train()
    pixels = torch.randint(0, 256, (4, 3, 64, 64), dtype=torch.uint8)
    with torch.autocast("cpu", torch.bfloat16):
        network(pixels).float().square().sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in network.parameters() if p.grad is not None)
    assert all(p.grad is not None for p in network.parameters())
