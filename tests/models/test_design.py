"""MODEL strings."""

from __future__ import annotations

import json

import pytest
import torch

from compressdefect.catalog import find_design
from compressdefect.errors import CompressDefectError, ModelError
from compressdefect.models.designs import KINDS, made_for, parse_design, read_design
from compressdefect.models.timm_design import TimmDesign


def test_a_name_is_the_design() -> None:
    assert parse_design("lightdefectnet").genotype == find_design("lightdefectnet")[1]


def test_a_width_scales_every_width_within_the_space() -> None:
    space, original = find_design("lightdefectnet")
    half = parse_design("lightdefectnet@0.5").genotype
    assert half is not None
    before, after = space.flatten(original), space.flatten(half)
    assert all(8 <= int(after[name]) <= int(before[name]) for name in space.widths)
    assert {k: v for k, v in after.items() if k not in space.widths} == {
        k: v for k, v in before.items() if k not in space.widths
    }


def test_settings_change_the_genes_they_name() -> None:
    genotype = parse_design("lightdefectnet:head_columns=1,stage2.depth=3,stage1.column1.vac=off").genotype
    assert genotype is not None
    assert genotype.net["head_columns"] == 1
    assert genotype.stages[1].genes["depth"] == 3
    assert "vac_r" not in genotype.stages[0].columns[0]


@pytest.mark.parametrize(
    ("text", "task", "size"),
    [("lw@0.35", "classify", 224), ("lw-seg@0.5", "segment", 256), ("lightdefectnet", "classify", 224)],
)
def test_a_design_knows_its_task_and_its_input(text: str, task: str, size: int) -> None:
    design = parse_design(text)
    assert (design.tasks, design.input) == ((task,), size)
    assert made_for(design, task) is design


def test_a_written_out_width_takes_settings_too() -> None:
    genotype = parse_design("lw-seg@0.35:aspp_rates=2-4,stage1.kernels=cross").genotype
    assert genotype is not None
    assert (genotype.net["aspp_rates"], genotype.net["stem_width"]) == ("2-4", 16)
    assert [stage.genes["kernels"] for stage in genotype.stages] == ["cross", "pyramid", "pyramid", "pyramid"]


def test_a_design_is_not_made_for_another_task() -> None:
    with pytest.raises(
        ModelError, match=r"lw@0.35 cannot segment, it is made to classify; designs to segment: .*lw-seg"
    ):
        made_for(parse_design("lw@0.35"), "segment")
    with pytest.raises(
        ModelError, match=r"timm:resnet10t cannot detect, it is made to classify or segment; designs to detect: none$"
    ):
        made_for(parse_design("timm:resnet10t"), "detect")
    with pytest.raises(ModelError, match=r"timm:resnet10t cannot segment, .*; designs to segment: .*, timm:NAME$"):
        made_for(made_for(parse_design("timm:resnet10t"), "classify"), "segment")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lw@0.35@2", "width after @"),
        ("lw-seg:shortcut=16", "shortcut is outside its domain: got 16; use 8, 4"),
        ("lightdefectnt", "did you mean lightdefectnet"),
        ("lightdefectnet@", "width after @"),
        ("lightdefectnet@wide", "got wide"),
        ("lightdefectnet@-1", "positive number"),
        ("lightdefectnet@nan", "positive number"),
        ("lightdefectnet:", "key=value"),
        ("lightdefectnet:depth", "key=value: got depth"),
        ("lightdefectnet:stage2.dept=1", "did you mean .*stage2.depth"),
        ("lightdefectnet:stage2.depth=9", "stage2.depth is outside its domain: got 9; use 1, 2, 3"),
        ("timm:resnet5", "did you mean .*resnet50"),
        ("timm:", "no such timm model"),
    ],
)
def test_errors_say_what_to_do(text: str, message: str) -> None:
    with pytest.raises(CompressDefectError, match=message) as caught:
        parse_design(text)
    assert caught.value.exit_code == 2


def test_timm_models_are_built_and_priced() -> None:
    design = parse_design("timm:mobilenetv3_small_050")
    assert (design.genotype, design.name, design.input) == (None, "timm:mobilenetv3_small_050", 224)
    network = design.build(channels=1, heads={"image": ("a", "b", "c")}).eval()
    assert network(torch.zeros(1, 1, 64, 64)).shape == (1, 3)
    cost = design.cost(input_shape=(1, 64, 64), heads={"image": ("a", "b", "c")})
    assert cost.params == sum(p.numel() for p in network.parameters())
    assert cost.peak_bytes > 4 * 2 * 64 * 64
    assert "hardswish" in " ".join(cost.uncounted)


@pytest.mark.parametrize("text", ["lightdefectnet@0.5", "lw-seg@0.35:aspp_rates=2-4", "timm:mobilenetv3_small_050"])
def test_a_design_is_made_again_from_its_json(text: str) -> None:
    design = parse_design(text)
    for task in design.tasks:
        wanted = design.for_task(task)
        data = json.loads(json.dumps(wanted.to_json()))
        assert read_design(data, name=design.name, input=design.input) == wanted


def test_a_kind_from_outside_reads_what_is_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    class Square(TimmDesign):
        kind = "square"

        @classmethod
        def reads(cls, text: str) -> bool:
            return text.startswith("square:")

        @classmethod
        def parse(cls, text: str) -> Square:
            return cls(text, text.removeprefix("square:"), 32)

    monkeypatch.setitem(KINDS, Square.kind, Square)
    design = parse_design("square:resnet10t")
    assert (type(design), design.input) == (Square, 32)
    assert type(read_design(design.to_json(), name=design.name, input=32)) is Square
    assert type(parse_design("timm:resnet10t")) is TimmDesign
    assert type(parse_design("lw@0.35")).__name__ == "FamilyDesign"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"kind": "tim", "timm": "resnet10t"}, "no such kind of design: got tim; did you mean timm"),
        ({}, "no such kind of design; known: edited, family, timm"),
        ({"kind": "timm", "task": None}, "the design of it is damaged: got KeyError: 'timm'"),
    ],
)
def test_damaged_designs_are_named(data: dict[str, str], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        read_design(data, name="it", input=224)
