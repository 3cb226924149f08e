"""A family that is not the package's own: two branches from one stem, which join over three scales, and any heads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from compressdefect.blocks.conv import conv_part
from compressdefect.blocks.head import head_part
from compressdefect.blocks.join import CONCAT, SUM
from compressdefect.blocks.resize import RESIZE
from compressdefect.models.graph import Graph, Heads, Node
from compressdefect.models.template import Gene
from compressdefect.space.genotype import Genotype

SPACE = """
[space]
name = "branches"
template = "branches"
summary = "Two branches that join over three scales."
tasks = ["locate"]
stages = 1
input = 32

[parameters]
width = { per = "net", type = "int", low = 4, high = 8, step = 4, role = "width" }
kernel = { per = "stage", type = "choice", values = [1, 3] }

[designs.branches]
net = { width = 8 }

[[designs.branches.stages]]
kernel = 3
"""


class BranchesTemplate:
    name = "branches"
    tasks: tuple[str, ...] = ("locate",)
    genes: Mapping[str, Gene] = {"width": Gene("net", range(1, 65)), "kernel": Gene("stage", (1, 3))}

    def describe(self, genotype: Genotype, heads: Heads) -> Graph:
        width: Any = genotype.net["width"]
        kernel: Any = genotype.stages[0].genes["kernel"]
        narrow, half = conv_part(width, kernel), conv_part(width, 3, 2)
        nodes = [
            Node("stem", half),
            Node("left.2", half, ("stem",)),
            Node("left.4", half, ("left.2",)),
            Node("right.1", narrow, ("stem",)),
            Node("right.2", half, ("right.1",)),
            Node("up.2", RESIZE, ("left.4",), like="left.2"),
            Node("join.2", SUM, ("up.2", "left.2")),
            Node("cross", CONCAT, ("join.2", "right.2")),
            Node("mixed", conv_part(width, 1), ("cross",)),
            Node("up.1", RESIZE, ("mixed",), like="right.1"),
            Node("join.1", SUM, ("up.1", "right.1")),
        ]
        nodes += [Node(f"head.{name}", head_part(len(outputs)), ("join.1",)) for name, outputs in heads.items()]
        return Graph(tuple(nodes), {name: f"head.{name}" for name in heads})
