"""A network as data: parts, and which of them reads which. All that is known of a design is derived from it.

The nodes run in their order. A map is freed as soon as its last reader has run, except where it is a head's: those live
to the end. `Graph.cost` follows the same rule with the two peaks of each part (see `cost.piece`), so that it equals
a walk over the exported graph, whatever branches and joins.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from torch import Tensor, nn

from compressdefect.blocks.normalize import normalize_cost
from compressdefect.blocks.part import Part
from compressdefect.cost.cost import Cost
from compressdefect.cost.piece import Piece, Shape, size
from compressdefect.errors import ModelError

IMAGE = "image"
STEM = "stem"  # what a family calls its input layer, which a space's rules let lower the resolution as it likes

Heads = Mapping[str, tuple[str, ...]]
"""What a network answers: its heads by name, in order, each with the names of its outputs."""


class Reduction(NamedTuple):
    """An operator that lowers the resolution, as a space's rules see it.

    Attributes:
        where: the place in the net, such as "stem" or "stage2.entry".
        operator: "conv", "aads" or "maxpool".
        kernel: its window.
        stride: its step.
    """

    where: str
    operator: str
    kernel: int
    stride: int


class Layer(NamedTuple):
    """A row of a design's layer table; `out_shape` is (C, H, W)."""

    name: str
    operator: str
    out_shape: Shape
    params: int
    macs: int


class Node(NamedTuple):
    """A part in its place.

    Attributes:
        name: the node's, its map's and its module's; "stage1.entry" is a part of "stage1". Like any submodule's, it may
            not be that of a method of ``nn.Module``, such as "half".
        part: what runs.
        inputs: the maps that it reads, by name, each once.
        like: a map whose height and width it takes over, of which nothing else is read.
        shares: the node whose module, weights and all, it runs; empty where it has its own.
    """

    name: str
    part: Part
    inputs: tuple[str, ...] = (IMAGE,)
    like: str = ""
    shares: str = ""

    @property
    def reads(self) -> tuple[str, ...]:
        """What the part is given, in order."""
        return (*self.inputs, self.like) if self.like else self.inputs


class Graph(NamedTuple):
    """Nodes in the order in which they run.

    Attributes:
        nodes: each reads inputs of the graph and maps of nodes before it.
        outputs: the node of each head, by the head's name and in the heads' order.
        inputs: what comes from outside.
    """

    nodes: tuple[Node, ...]
    outputs: Mapping[str, str]
    inputs: tuple[str, ...] = (IMAGE,)

    def build(self, *channels: int) -> Network:
        """The network, untrained, for inputs of so many channels: normalised (N, C, H, W) each."""
        return Network(self, *channels)

    def cost(self, shape: Shape) -> Cost:
        """Exact cost for an image (C, H, W), in closed form; its normalisation counts in the memory.

        What is not counted is ``uncounted``: a search, which asks for thousands of costs, has no use for it.
        """
        params, macs, peak, live = 0, 0, normalize_cost(shape).peak, size(shape)
        known, last = {IMAGE: (shape, live)}, self.last_readers()
        for name, part, inputs, like, shares in self.nodes:
            if len(inputs) == 1 and not like:  # as the general case, in a third of the time
                read, given = known[inputs[0]]
                out, own_params, own_macs, most, held = part.price(read, *part.options)
                freed = given if last[inputs[0]] == name else 0
            else:
                reads = [known[source][0] for source in ((*inputs, like) if like else inputs)]
                out, own_params, own_macs, most, held = part.cost(*reads)
                given = sum([known[source][1] for source in inputs])
                freed = sum([known[source][1] for source in inputs if last[source] == name])
            params += 0 if shares else own_params
            macs += own_macs
            peak = max(peak, live - given + (most if freed == given else held))
            made = size(out)
            known[name] = out, made
            live += made - freed
        return Cost(params, macs, peak)

    def layers(self, shape: Shape) -> list[Layer]:
        """The layer table for an image (C, H, W), in order of execution; its sums are the cost's."""
        return [
            Layer(
                f"{node.name}.{row.name}" if row.name else node.name,
                row.operator,
                row.piece.out,
                0 if node.shares else row.piece.params,
                row.piece.macs,
            )
            for node, read, _ in self.walk(shape)
            for row in node.part.rows(*read)
        ]

    @property
    def reductions(self) -> tuple[Reduction, ...]:
        """Every operator that lowers the resolution of the trunk, in order."""
        return tuple([Reduction(node.name, *step) for node in self.nodes for step in node.part.steps])

    @property
    def uncounted(self) -> tuple[str, ...]:
        """What a trace names as run but not counted; normalisation alone multiplies and adds."""
        return tuple(sorted({"add", "mul"}.union(*[node.part.uncounted for node in self.nodes])))

    def walk(self, *shapes: Shape) -> Iterator[tuple[Node, tuple[Shape, ...], Piece]]:
        """Every node with the shapes of what it is given and its closed form, from the shapes of the inputs."""
        known = dict(zip(self.inputs, shapes, strict=True))
        for node in self.nodes:
            read = tuple([known[name] for name in node.reads])
            piece = node.part.cost(*read)
            known[node.name] = piece.out
            yield node, read, piece

    def last_readers(self) -> dict[str, str]:
        """The last node to read each map; no node is the last to read a head's."""
        last = {name: node.name for node in self.nodes for name in node.inputs}
        return last | dict.fromkeys(self.outputs.values(), "")


class Network(nn.Module):
    """Runs a graph: a tensor for each input in, a tensor for each head out, in their order, of one head itself."""

    def __init__(self, graph: Graph, *channels: int) -> None:
        super().__init__()
        _check(graph)
        self.graph = graph
        self._last, self._liked = graph.last_readers(), {node.like for node in graph.nodes}
        for node, read, _ in graph.walk(*[(count, 1, 1) for count in channels]):
            if not node.shares:
                _place(self, node.name, node.part.build(*[shape[0] for shape in read[: len(node.inputs)]]))

    def forward(self, *inputs: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Normalised (N, C, H, W) → the heads' outputs."""
        maps = self._run(dict(zip(self.graph.inputs, inputs, strict=True)), self.graph.nodes)
        outputs = tuple(maps[node] for node in self.graph.outputs.values())
        return outputs[0] if len(outputs) == 1 else outputs

    def forward_features(self, image: Tensor) -> Tensor:
        """Normalised (N, C, H, W) → the map that the only head reads.

        Raises:
            ModelError: there is no such map.
        """
        *trunk, head = self.graph.nodes
        if len(self.graph.outputs) > 1 or len(head.inputs) > 1 or head.like:
            raise ModelError("the network has no last feature map", got=f"{head.name} of {', '.join(head.inputs)}")
        return self._run({IMAGE: image}, trunk)[head.inputs[0]]

    def forward_head(self, features: Tensor) -> Tensor:
        """That map → the head's outputs."""
        head = self.graph.nodes[-1]
        return self._run({head.inputs[0]: features}, (head,))[head.name]

    def _run(self, maps: dict[str, Tensor], nodes: Iterable[Node]) -> dict[str, Tensor]:
        """Run nodes on the maps that they read; what is left are those that somebody still reads."""
        last, liked = self._last, self._liked
        sizes = {name: found.shape[-2:] for name, found in maps.items() if name in liked}
        for node in nodes:
            module = self.get_submodule(node.shares or node.name)
            given = [sizes[node.like]] if node.like else []
            maps[node.name] = module(*[maps.pop(n) if last[n] == node.name else maps[n] for n in node.inputs], *given)
            if node.name in liked:
                sizes[node.name] = maps[node.name].shape[-2:]
        return maps


def series(parts: Iterable[tuple[str, Part]], start: str = IMAGE) -> tuple[Node, ...]:
    """Named parts that run one after another, the first of them on ``start``."""
    nodes = []
    for name, part in parts:
        nodes.append(Node(name, part, (start,)))
        start = name
    return tuple(nodes)


def _place(root: nn.Module, name: str, module: nn.Module) -> None:
    """Make a module the root's submodule of that name, dots included."""
    *path, last = name.split(".")
    for step in path:
        if step not in root._modules:
            root.add_module(step, nn.Module())
        root = root.get_submodule(step)
    root.add_module(last, module)


def _check(graph: Graph) -> None:
    """A graph is a mistake of its family, not of a user."""
    known = set(graph.inputs)
    for node in graph.nodes:
        assert node.name not in known, f"{node.name} is there twice"
        assert known.issuperset(node.reads), f"{node.name} reads what is not there yet"
        assert len(set(node.inputs)) == len(node.inputs), f"{node.name} reads a map twice"
        known.add(node.name)
    for name in known:
        within = [node.name for node in graph.nodes if node.name.startswith(f"{name}.") and not node.shares]
        assert not within, f"{within[0]} would be a part of {name}"
    read = {name for node in graph.nodes for name in node.reads} | set(graph.outputs.values())
    assert known == read, f"nobody reads {', '.join(sorted(known - read))}"
