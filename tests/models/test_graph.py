"""Graphs of branches and joins: what is derived from them, against counts of what they build."""

from __future__ import annotations

import random

import pytest
import torch

from compressdefect.blocks.conv import conv_part
from compressdefect.blocks.grouped import Grouped, grouped_cost
from compressdefect.blocks.head import head_part, pixel_head_part
from compressdefect.blocks.join import CONCAT, SUM
from compressdefect.blocks.part import Part
from compressdefect.blocks.resize import RESIZE
from compressdefect.cost.counting import exported_peak_bytes, trace_macs, trainable
from compressdefect.cost.piece import size
from compressdefect.errors import ModelError
from compressdefect.models.graph import IMAGE, Graph, Node
from compressdefect.models.inspector import Inspector

SHAPE = (3, 21, 26)
STEM = Node("stem", conv_part(4, 3, 2))
GROUPED = Part(Grouped, grouped_cost, (2,), "grouped")


def inspector(graph: Graph) -> Inspector:
    return Inspector.from_statistics(graph.build(3), [128.0] * 3, [50.0] * 3).eval()


def random_graph(seed: int) -> Graph:
    """Convolutions, blocks, resizes and joins of any two maps of one scale; what nobody reads is a head's output."""
    rng = random.Random(seed)
    nodes, scales = [STEM], {"stem": 1}
    for index in range(14):
        name, source = f"node{index}", rng.choice(list(scales))
        fellows = [other for other in scales if scales[other] == scales[source] and other != source]
        kind = rng.choice(("conv", "block", "down", "resize", "join", "join"))
        scale = scales[source]
        if kind == "join" and fellows:
            nodes.append(Node(name, CONCAT, (source, rng.choice(fellows))))
        elif kind == "resize":
            like = rng.choice(list(scales))
            nodes.append(Node(name, RESIZE, (source,), like=like))
            scale = scales[like]
        elif kind == "down":
            nodes.append(Node(name, conv_part(4, 3, 2), (source,)))
            scale += 1
        else:
            nodes.append(Node(name, GROUPED if kind == "block" else conv_part(rng.choice((2, 6)), 1), (source,)))
        scales[name] = scale
    read = {name for node in nodes for name in node.inputs}
    return Graph(tuple(nodes), {f"head {name}": name for name in scales if name not in read})


@pytest.mark.parametrize("seed", range(4))
def test_the_closed_form_equals_the_count_whatever_branches_and_joins(seed: int) -> None:
    graph = random_graph(seed)
    cost, network = graph.cost(SHAPE), inspector(graph)
    assert (cost.params, cost.macs, graph.uncounted) == (trainable(network), *trace_macs(network, SHAPE))
    assert cost.peak_bytes == exported_peak_bytes(network, SHAPE)
    rows = graph.layers(SHAPE)
    assert (sum(row.params for row in rows), sum(row.macs for row in rows)) == (cost.params, cost.macs)
    outputs = network(torch.zeros(2, *SHAPE))
    assert [tuple(output.shape[1:]) for output in outputs] == [
        row.out_shape for row in rows if row.name in graph.outputs.values()
    ]


def test_a_map_that_a_join_reads_later_waits() -> None:
    """By hand: the stem's 4 maps wait while a branch grows to 40 and shrinks again."""
    grown, shrunk = Node("grown", conv_part(40, 1), ("stem",)), Node("shrunk", conv_part(4, 1), ("grown",))
    alone = Graph((STEM, grown, shrunk), {"head": "shrunk"})
    joined = Graph((STEM, grown, shrunk, Node("sum", SUM, ("shrunk", "stem"))), {"head": "sum"})
    small = size((4, 11, 13))
    assert alone.cost(SHAPE).peak_bytes == 11 * small
    assert joined.cost(SHAPE).peak_bytes == 12 * small


def test_heads_live_to_the_end_and_come_in_their_order() -> None:
    nodes = (STEM, Node("large", pixel_head_part(2), ("stem",)), Node("small", head_part(3), ("stem",)))
    graph = Graph(nodes, {"what": "small", "where": "large"})
    network = inspector(graph)
    what, where = network(torch.zeros(2, *SHAPE))
    assert (what.shape, where.shape) == ((2, 1, 3), (2, 2, 11, 13))
    assert graph.cost(SHAPE).peak_bytes == exported_peak_bytes(network, SHAPE)
    with pytest.raises(ModelError, match="no last feature map"):
        network.forward_features(torch.zeros(1, *SHAPE))


def test_a_module_that_several_nodes_run_is_there_once() -> None:
    """As the convolutions of a detection head, which run on every level of a pyramid."""
    nodes = (
        STEM,
        Node("small", conv_part(4, 3, 2), ("stem",)),
        Node("large.head", pixel_head_part(2), ("stem",)),
        Node("small.head", pixel_head_part(2), ("small",), shares="large.head"),
    )
    graph = Graph(nodes, {"large": "large.head", "small": "small.head"})
    cost, network = graph.cost(SHAPE), inspector(graph)
    assert (cost.params, cost.macs) == (trainable(network), trace_macs(network, SHAPE)[0])
    assert cost.peak_bytes == exported_peak_bytes(network, SHAPE)
    assert sum(row.params for row in graph.layers(SHAPE)) == cost.params
    assert [name for name in network.network.state_dict() if "head" in name] == ["large.head.weight", "large.head.bias"]


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ((STEM, STEM), "stem is there twice"),
        ((Node("late", SUM, ("stem", IMAGE)), STEM), "late reads what is not there yet"),
        ((STEM, Node("sum", SUM, ("stem", "stem"))), "sum reads a map twice"),
        ((STEM, Node("stem.more", conv_part(4), ("stem",))), "stem.more would be a part of stem"),
        ((STEM, Node("idle", conv_part(4), ("stem",)), Node("head", head_part(2), ("stem",))), "nobody reads idle"),
    ],
)
def test_a_graph_that_a_family_got_wrong(nodes: tuple[Node, ...], message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        Graph(nodes, {"head": nodes[-1].name}).build(3)
