"""The family: the paper's figures, its closed form against counts of built networks, and what a search sees."""

from __future__ import annotations

import random

import pytest
import torch
from torch import nn

from compressdefect.catalog import find_design, find_space
from compressdefect.cost.counting import exported_peak_bytes, trace_macs, trainable
from compressdefect.cost.piece import Shape
from compressdefect.errors import SpaceError
from compressdefect.models.designs import parse_design
from compressdefect.models.inspector import Inspector
from compressdefect.models.template import check_genes
from compressdefect.models.templates import TEMPLATES, task_of
from compressdefect.space.genotype import Genotype

SPACE = find_space("lw_cnn")
TEMPLATE = TEMPLATES["lw_cnn"]
TASKS = ("classify", "segment")
SHAPES: tuple[Shape, ...] = ((3, 33, 47), (1, 40, 24), (3, 51, 51), (1, 64, 64))
TWO, THREE = {"a head": ("a", "b")}, {"a head": ("a", "b", "c")}

# Tables 3, 4 and 5: input, classes, W in millions, F in millions (two per multiply-accumulate, and what else ran)
CLASSIFIERS = [("lw@0.35", 331, 64, "0.06", 76), ("lw@0.35", 200, 6, "0.04", 28), ("lw@0.75", 331, 64, "0.14", 246)]
SEGMENTERS = [("lw-seg@0.35", 512, 0.55, 923), ("lw-seg@0.75", 512, 0.60, 1312)]


@pytest.mark.parametrize(("name", "size", "classes", "weights", "flops"), CLASSIFIERS)
def test_classifiers_cost_what_the_paper_prints(name: str, size: int, classes: int, weights: str, flops: int) -> None:
    cost = parse_design(name).cost(input_shape=(3, size, size), heads={"image": ("class",) * classes})
    assert f"{cost.params / 1e6:.2f}" == weights
    assert 0.975 * flops <= cost.flops / 1e6 <= flops


@pytest.mark.parametrize(("name", "size", "weights", "flops"), SEGMENTERS)
def test_segmenters_cost_what_the_paper_prints(name: str, size: int, weights: float, flops: int) -> None:
    cost = parse_design(name).cost(input_shape=(3, size, size), heads={"pixels": ("a", "b")})
    assert cost.params / 1e6 == pytest.approx(weights, rel=0.05)
    assert cost.flops / 1e6 == pytest.approx(flops, rel=0.05)


def test_the_backbone_is_table_2() -> None:
    rows = TEMPLATE.describe(find_design("lw")[1], {"a head": ("class",) * 64}).layers((3, 331, 331))
    maps = [(row.out_shape[0], row.out_shape[1]) for row in rows[:-1]]
    assert maps == [(32, 166), (16, 166), *[(24, 83)] * 2, *[(32, 42)] * 2, (32, 21), *[(64, 11)] * 4, (320, 11)]


@pytest.mark.parametrize(
    ("factor", "widths"), [("0.35", (16, 8, 8, 16, 16, 24, 320)), ("0.75", (24, 16, 24, 24, 24, 48, 320))]
)
@pytest.mark.parametrize("name", ["lw", "lw-seg"])
def test_a_width_multiplier_rounds_as_the_papers_does(name: str, factor: str, widths: tuple[int, ...]) -> None:
    genotype = parse_design(f"{name}@{factor}").genotype
    assert genotype is not None
    net, stages = genotype.net, [stage.genes["width"] for stage in genotype.stages]
    assert (net["stem_width"], net["entry_width"], *stages, net["top_width"]) == widths


@pytest.mark.parametrize("name", ["lw", "lw-seg"])
def test_designs_that_are_written_out_are_the_multiplied_ones(name: str) -> None:
    assert SPACE.designs[f"{name}@0.35"] == parse_design(f"{name}@0.350").genotype


def random_designs(seed: int, count: int) -> list[tuple[Genotype, Shape]]:
    """Designs of both tasks in turn."""
    rng, spaces = random.Random(seed), [SPACE.for_task(task) for task in TASKS]
    found = []
    for index in range(count):
        space = spaces[index % 2]
        found.append((space.decode(space.sample(rng)), rng.choice(SHAPES)))
    return found


def inspector(genotype: Genotype, shape: Shape) -> Inspector:
    network = TEMPLATE.describe(genotype, THREE).build(shape[0])
    return Inspector.from_statistics(network, [128.0] * shape[0], [50.0] * shape[0])


@pytest.mark.parametrize("seed", range(7))
def test_params_and_macs_equal_the_count(seed: int) -> None:
    for genotype, shape in random_designs(seed, 20):
        network = inspector(genotype, shape)
        graph = TEMPLATE.describe(genotype, THREE)
        cost = graph.cost(shape)
        assert (cost.params, cost.macs, graph.uncounted) == (trainable(network), *trace_macs(network, shape)), genotype


@pytest.mark.parametrize("seed", range(3))
def test_peak_bytes_equal_the_walk_over_the_exported_graph(seed: int) -> None:
    for genotype, shape in random_designs(100 + seed, 2):
        cost = TEMPLATE.describe(genotype, THREE).cost(shape)
        assert cost.peak_bytes == exported_peak_bytes(inspector(genotype, shape), shape), genotype


def test_reductions_are_what_the_network_has() -> None:
    for genotype, _ in random_designs(7, 10):
        network = TEMPLATE.describe(genotype, TWO).build(3)
        strided = [m for m in network.modules() if isinstance(m, nn.Conv2d) and m.stride[0] > 1]
        expected = [("conv", max(layer.kernel_size), layer.stride[0]) for layer in strided]
        assert [(r.operator, r.kernel, r.stride) for r in TEMPLATE.describe(genotype, TWO).reductions] == expected


def test_the_layer_table_adds_up() -> None:
    for genotype, shape in random_designs(11, 50):
        cost = TEMPLATE.describe(genotype, TWO).cost(shape)
        rows = TEMPLATE.describe(genotype, TWO).layers(shape)
        assert sum(row.params for row in rows) == cost.params
        assert sum(row.macs for row in rows) == cost.macs
        assert [rows[0].name, rows[-1].name] == ["stem", "head" if task_of(genotype) == "classify" else "output"]


@pytest.mark.parametrize("size", [(64, 48), (33, 31), (8, 8), (1, 1)])
def test_outputs(size: tuple[int, int]) -> None:
    x = torch.randn(2, 1, *size)
    classifier = parse_design("lw@0.35").build(channels=1, heads={"a head": tuple("abcd")}).eval()
    features = classifier.forward_features(x)
    assert features.shape[1] == 320
    assert torch.equal(classifier.forward_head(features), classifier(x))
    assert classifier(x).shape == (2, 1, 4)
    assert parse_design("lw-seg@0.35").build(channels=1, heads=THREE).eval()(x).shape == (
        2,
        3,
        *size,
    )


def test_the_shortcut_leaves_the_papers_block_4_or_5() -> None:
    for shortcut, block in ((4, 4), (8, 5)):
        genotype = parse_design(f"lw-seg:shortcut={shortcut}").genotype
        assert genotype is not None
        graph = TEMPLATE.describe(genotype, TWO)
        (join,) = [node for node in graph.nodes if len(node.inputs) == 2]
        assert join.inputs[1] == graph.nodes[block - 1].name  # the paper counts from 1
        assert graph.layers((3, 64, 64))[block - 1].out_shape[1] == 64 // shortcut
        assert len(graph.nodes[block - 1].part.steps) == (8 if shortcut == 8 else 0)


def test_a_classifiers_weights_fit_the_segmenters_backbone() -> None:
    source = parse_design("lw@0.35").build(channels=3, heads={"a head": tuple("abcdef")})
    target = parse_design("lw-seg@0.35").build(channels=3, heads=TWO)
    missing = target.load_state_dict(source.state_dict(), strict=False).missing_keys
    assert missing
    assert all(key.startswith("decoder.") for key in missing)


def test_bfloat16_training_step_is_finite() -> None:
    torch.manual_seed(0)
    for name in ("lw@0.35", "lw-seg@0.35"):
        network = Inspector.from_statistics(parse_design(name).build(channels=3, heads=TWO), [128.0] * 3, [60.0] * 3)
        pixels = torch.randint(0, 256, (4, 3, 64, 64), dtype=torch.uint8)
        with torch.autocast("cpu", torch.bfloat16):
            network.train()(pixels).float().square().sum().backward()
        assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in network.parameters())


@pytest.mark.parametrize("task", TASKS)
def test_a_search_sees_its_own_task_only(task: str) -> None:
    space = SPACE.for_task(task)
    check_genes(space, TEMPLATE)
    assert space.size >= 1e6
    assert ("aspp_width" in space.dimensions) is (task == "segment")
    assert "task" not in space.dimensions
    first = next(iter(space.designs))
    assert first == {"classify": "lw@0.35", "segment": "lw-seg@0.35"}[task]
    assert all(task_of(design) == task for design in space.designs.values())
    for design in space.designs.values():
        assert space.decode(space.flatten(design)) == design
    rng = random.Random(0)
    assert {task_of(space.decode(space.sample(rng))) for _ in range(20)} == {task}


def test_a_task_without_designs_is_refused() -> None:
    with pytest.raises(SpaceError, match="lw_cnn has no designs to detect: got classify, segment"):
        SPACE.for_task("detect")
