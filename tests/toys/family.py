"""A toy family: two branches that join over three scales, and a head on what they agree on."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from compressdefect.blocks.conv import conv_part
from compressdefect.blocks.head import head_part
from compressdefect.blocks.join import CONCAT, SUM
from compressdefect.blocks.part import Part
from compressdefect.blocks.resize import RESIZE
from compressdefect.blocks.separable import Separable, separable_cost
from compressdefect.models.graph import Graph, Heads, Node
from compressdefect.models.template import Gene
from compressdefect.space.domain import ChoiceDomain, IntDomain
from compressdefect.space.genotype import Genotype, StageGenes
from compressdefect.space.space import Parameter, Space

SCALES = ("fine", "middle", "coarse")


class Toy:
    """At every scale a wide and a narrow branch go on from where both met; a top-down path joins the scales again."""

    name = "toy"
    tasks: tuple[str, ...] = ("locate",)
    genes: Mapping[str, Gene] = MappingProxyType(
        {"width": Gene("net", range(2, 65)), "kernel": Gene("net", (3, 5)), "depth": Gene("stage", range(1, 4))}
    )

    def describe(self, genotype: Genotype, heads: Heads) -> Graph:
        """See ``Template``; every head reads the finest map."""
        net: Any = genotype.net
        nodes = [Node("stem", conv_part(net["width"], 3, 2))]
        for scale in SCALES:
            nodes += _meeting(scale, nodes[-1].name, net["width"], net["kernel"])
        down = "coarse.sum"
        for scale in ("middle", "fine"):
            nodes.append(Node(f"down.{scale}.resize", RESIZE, (down,), like=f"{scale}.sum"))
            nodes.append(Node(f"down.{scale}.join", CONCAT, (f"{scale}.sum", f"down.{scale}.resize")))
            down = f"down.{scale}.mix"
            nodes.append(Node(down, conv_part(net["width"], 1), (f"down.{scale}.join",)))
        nodes += [Node(f"head.{name}", head_part(len(outputs)), (down,)) for name, outputs in heads.items()]
        return Graph(tuple(nodes), {name: f"head.{name}" for name in heads})


def _meeting(scale: str, start: str, width: int, kernel: int) -> list[Node]:
    """Two branches from one map, and their sum; only the first scale keeps the stem's."""
    separable = Part(Separable, separable_cost, (kernel,), f"separable {kernel}×{kernel}")
    stride = 1 if scale == SCALES[0] else 2
    return [
        Node(f"{scale}.wide", conv_part(width, kernel, stride), (start,)),
        Node(f"{scale}.down", conv_part(width, 1, stride), (start,)),
        Node(f"{scale}.narrow", separable, (f"{scale}.down",)),
        Node(f"{scale}.sum", SUM, (f"{scale}.wide", f"{scale}.narrow")),
    ]


def design(width: int = 8, kernel: int = 3) -> Genotype:
    """A design of the family."""
    return Genotype("toy", {"width": width, "kernel": kernel}, (StageGenes({"depth": 1}, ()),))


SPACE = Space(
    name="toy",
    template="toy",
    summary="Two branches over three scales.",
    tasks=("locate",),
    stages=1,
    parameters=(
        Parameter("width", "net", IntDomain(4, 16, 4), role="width"),
        Parameter("kernel", "net", ChoiceDomain((3, 5))),
        Parameter("depth", "stage", IntDomain(1, 3)),
    ),
    input=32,
    designs={"toy": design()},
)
