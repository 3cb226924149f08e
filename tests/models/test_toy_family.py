"""A family of branches and joins that this package does not know: all that is derived from its one description."""

from __future__ import annotations

import pickle

import pytest
import torch

from compressdefect.cost.counting import exported_peak_bytes, trace_macs, trainable
from compressdefect.models.graph import Heads
from compressdefect.models.inspector import Inspector
from compressdefect.models.template import check_genes
from compressdefect.search.constraints import Budgets
from compressdefect.search.gate import Gate
from compressdefect.search.repair import admit
from tests.toys.family import SPACE, Toy, design

ONE: Heads = {"image": ("good", "defective")}
TWO: Heads = {"image": ("good", "defective"), "kind": ("dent", "scratch", "stain")}


@pytest.mark.parametrize(("shape", "kernel", "heads"), [((3, 45, 38), 5, ONE), ((1, 64, 32), 3, TWO)])
def test_the_closed_form_equals_the_count(shape: tuple[int, int, int], kernel: int, heads: Heads) -> None:
    graph = Toy().describe(design(kernel=kernel), heads)
    network = Inspector.from_statistics(graph.build(shape[0]), [128.0] * shape[0], [50.0] * shape[0])
    cost, rows = graph.cost(shape), graph.layers(shape)
    assert (cost.params, cost.macs, graph.uncounted) == (trainable(network), *trace_macs(network, shape))
    assert cost.peak_bytes == exported_peak_bytes(network, shape)
    assert (sum(row.params for row in rows), sum(row.macs for row in rows)) == (cost.params, cost.macs)
    assert [(r.where, r.kernel) for r in graph.reductions if r.where.startswith("middle")] == [
        ("middle.wide", kernel),
        ("middle.down", 1),
    ]


def test_a_head_gives_a_tensor_each() -> None:
    network = Toy().describe(design(), TWO).build(3).eval()
    image, kind = network(torch.zeros(2, 3, 40, 30))
    assert (image.shape, kind.shape) == ((2, 1, 2), (2, 1, 3))
    alone = Toy().describe(design(), ONE).build(3).eval()
    x = torch.randn(2, 3, 40, 30)
    assert torch.equal(alone.forward_head(alone.forward_features(x)), alone(x))


def test_a_search_can_price_its_designs_and_send_it_to_workers() -> None:
    check_genes(SPACE, Toy())
    flat = SPACE.flatten(design(width=16))
    price = Toy().describe(design(width=16), ONE).cost((3, 32, 32)).macs
    gate = Gate(SPACE, Toy(), Budgets(macs=price // 2), input_shape=(3, 32, 32), heads=ONE)
    admission = admit(gate, flat)
    assert admission.repaired
    assert admission.verdict.feasible
    sent = pickle.loads(pickle.dumps(Toy()))
    assert sent.describe(design(), ONE).cost((3, 32, 32)) == Toy().describe(design(), ONE).cost((3, 32, 32))
