from __future__ import annotations

import json
from pathlib import Path

import pytest

from compressdefect import catalog
from compressdefect.catalog import find_space
from compressdefect.errors import SpaceError
from compressdefect.space.load import load_space

GOOD = """
[space]
name = "tiny"
template = "lightdefectnet"
tasks = ["classify"]
[parameters]
width = { per = "net", type = "int", low = 8, high = 24, step = 8, role = "width" }
vac = { per = "net", type = "choice", values = [false, true] }
r = { per = "net", type = "choice", values = [2, 4], when = { vac = true } }
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "mine.toml"
    path.write_text(text)
    return path


def test_a_space_is_read(tmp_path: Path) -> None:
    space = load_space(write(tmp_path, GOOD))
    assert space.size == 3 * (1 + 2)
    assert space.widths == ("width",)


TWO = """
[space]
name = "two"
template = "lw_cnn"
tasks = ["classify", "segment"]
input = { segment = 512 }
stages = 1
[parameters]
task = { per = "net", type = "choice", values = ["classify", "segment"] }
top = { per = "net", type = "int", low = 8, high = 24, step = 8, role = "repair" }
decoder = { per = "net", type = "choice", values = [1, 2], when = { task = "segment" } }
rate = { per = "net", type = "choice", values = [1, 2, 3], when = { decoder = 2 } }
dropout = { per = "net", type = "choice", values = [0, 1], when = { task = "classify" } }
width = { per = "stage", type = "int", low = 8, high = 16, step = 8, role = "width" }
[designs.a]
net = { task = "segment", top = 8, decoder = 1 }
stages = [{ width = 8 }]
[designs.b]
net = { task = "classify", top = 16, dropout = 1 }
stages = [{ width = 16 }]
"""


def test_a_space_for_two_tasks_falls_into_two(tmp_path: Path) -> None:
    space = load_space(write(tmp_path, TWO))
    one, other = space.for_task("classify"), space.for_task("segment")
    assert (one.tasks, list(one.designs), one.input) == (("classify",), ["b"], None)
    assert (other.tasks, list(other.designs), other.input) == (("segment",), ["a"], 512)
    assert list(one.dimensions) == ["top", "dropout", "stage1.width"]
    assert list(other.dimensions) == ["top", "decoder", "rate", "stage1.width"]
    assert (one.size, other.size) == (3 * 2 * 2, 3 * (1 + 3) * 2)
    assert space.size == one.size + other.size
    for part in (one, other):
        (design,) = part.designs.values()
        assert part.decode(part.flatten(design)) == design


def test_a_space_for_one_task_is_itself(tmp_path: Path) -> None:
    space = load_space(write(tmp_path, GOOD))
    assert space.for_task("classify") == space
    with pytest.raises(SpaceError, match="tiny has no designs to segment: got classify"):
        space.for_task("segment")


def test_a_multiplier_leaves_what_only_repair_lowers(tmp_path: Path) -> None:
    space = load_space(write(tmp_path, TWO))
    assert space.widths == ("top", "stage1.width")
    assert space.multiplied == ("stage1.width",)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[parameters]", "[parameters", "is not TOML"),
        ('name = "tiny"', f"name = {'[' * 10_000}", "is not TOML"),
        (
            'type = "int"',
            'type = "integer"',
            "parameters.width.type is not a known type: got 'integer'; use one of int",
        ),
        ('per = "net", type = "int"', 'per = "layer", type = "int"', "parameters.width.per is not a scope"),
        ("low = 8, ", "", "parameters.width.low is missing"),
        ("low = 8", "low = 40", "low ≤ high"),
        ("values = [2, 4]", "values = []", "parameters.r.values must list at least one plain value"),
        ("values = [2, 4]", "values = [2, 2]", "lists a value twice"),
        ("values = [2, 4]", "values = [2, 4], color = 1", "parameters.r.color is not a known key"),
        ("vac = true", "vac = 3", "is not a value of that parameter: got 3"),
        ("vac = true", "vax = true", "must name a net parameter declared above it: got 'vax'"),
        ("vac = true", "vac = true, width = 8", "must name exactly one parameter"),
        ('role = "width"', 'role = "size"', "parameters.width.role is not a known role"),
        ('tasks = ["classify"]', "tasks = []", "space.tasks must list tasks"),
        ('tasks = ["classify"]', "tasks = [1]", "space.tasks must list tasks"),
        ('tasks = ["classify"]', 'tasks = ["classify"]\ninput = 0', "space.input must be a positive number"),
        ('tasks = ["classify"]', 'tasks = ["classify"]\ninput = { segment = 8 }', "space.input.segment is not a known"),
        (
            'tasks = ["classify"]',
            'tasks = ["classify"]\ninput = { classify = 0 }',
            "space.input.classify must be a pos",
        ),
        ("width = {", 'task = { per = "net", type = "int", low = 0, high = 1 }\nwidth = {', "task must choose between"),
        ('name = "tiny"', "name = 3", "space.name must be of type str: got 3"),
        ("[parameters]", "[params]", "params is not a known key; did you mean parameters"),
        ("[parameters]", "[rules]\naads_only = 1\n[parameters]", "rules.aads_only must be true or false"),
        ("[parameters]", "[fixed]\nnet.width = 8\n[parameters]", "fixed.net.width is also searched"),
        ('per = "net", type = "int"', 'per = "column", type = "int"', "space.columns is missing"),
        ("[parameters]", "[designs.d]\nnet = { width = 9, vac = false }\n[parameters]", "designs.d: width is outside"),
        (
            "[parameters]",
            "[fixed]\nnet.stem = 4\n[designs.d]\nnet = { width = 8, vac = false, stem = 8 }\n[parameters]",
            "designs.d: stem is fixed in tiny: got 8; use 4",
        ),
    ],
)
def test_a_broken_space_is_named_by_file_and_key(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in GOOD
    path = write(tmp_path, GOOD.replace(old, new, 1))
    with pytest.raises(SpaceError) as caught:
        load_space(path)
    assert message in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_space_beside_the_images_is_found_by_name_and_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "search_spaces").mkdir()
    (tmp_path / "search_spaces" / "tiny.toml").write_text(GOOD)
    monkeypatch.chdir(tmp_path)
    assert catalog.find_space("tiny").name == "tiny"
    assert catalog.find_space("search_spaces/tiny.toml").name == "tiny"
    assert {"tiny", "lightdefectnet"} <= set(catalog.spaces())


def test_unknown_names_list_the_known_ones() -> None:
    with pytest.raises(SpaceError, match="did you mean lightdefectnet"):
        catalog.find_space("lightdefectnt")
    with pytest.raises(SpaceError, match=r"no such design: got nothing; known: .*lightdefectnet"):
        catalog.find_design("nothing")


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SpaceError, match="no such search space"):
        catalog.find_space(str(tmp_path / "none.toml"))


def test_a_space_is_named_with_its_ending_or_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = catalog.spaces()["lightdefectnet"].read_text(encoding="utf-8")
    (tmp_path / "search_spaces").mkdir()
    (tmp_path / "search_spaces" / "mine.toml").write_text(text.replace('name = "lightdefectnet"', 'name = "mine"'))
    monkeypatch.chdir(tmp_path)
    assert catalog.find_space("mine").name == catalog.find_space("mine.toml").name == "mine"


def with_portfolio(folder: Path, content: object) -> Path:
    path = folder / "lightdefectnet.toml"
    path.write_bytes((Path(__file__).parents[2] / "search_spaces" / "lightdefectnet.toml").read_bytes())
    (folder / "lightdefectnet.portfolio.json").write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_a_portfolio_lies_beside_its_space(tmp_path: Path) -> None:
    design = find_space("lightdefectnet").designs["lightdefectnet"]
    entries = [{"macs": 1, "genotype": design.to_json()}]
    space = load_space(with_portfolio(tmp_path, {"space": "lightdefectnet", "designs": entries}))
    assert space.portfolio == (design,)
    assert space.for_task("classify").portfolio == (design,)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "cannot read the portfolio"),
        ("[" * 100_000, "cannot read the portfolio"),
        ([], "not a portfolio"),
        (
            {"space": "lw_cnn", "designs": []},
            "of another space: got lw_cnn; put one of lightdefectnet there, or remove it",
        ),
        ({"space": "lightdefectnet", "designs": [{"genotype": {"template": "x"}}]}, "design 1: not a genotype"),
        ({"space": "lightdefectnet", "designs": [{"macs": 1}]}, "design 1"),
    ],
)
def test_a_wrong_portfolio_is_refused_in_one_line(tmp_path: Path, content: object, said: str) -> None:
    with pytest.raises(SpaceError, match=said) as error:
        load_space(with_portfolio(tmp_path, content))
    assert "\n" not in str(error.value)


def test_a_portfolio_with_a_design_outside_the_space_is_refused(tmp_path: Path) -> None:
    design = find_space("lightdefectnet").designs["lightdefectnet"].to_json()
    design["net"]["stem_width"] = 9
    with pytest.raises(SpaceError, match=r"design 1: .*stem_width is outside its domain"):
        load_space(with_portfolio(tmp_path, {"space": "lightdefectnet", "designs": [{"genotype": design}]}))


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("stem_stride", 8, "stem_stride is fixed in lightdefectnet: got 8; use 4"),
        ("stem_stride", "x", "stem_stride is fixed in lightdefectnet: got 'x'; use 4"),
        ("template", "lw_cnn", "is of the template lightdefectnet: got lw_cnn"),
    ],
)
def test_a_portfolio_with_a_design_that_contradicts_the_space_is_refused(
    tmp_path: Path, key: str, value: object, said: str
) -> None:
    design = find_space("lightdefectnet").designs["lightdefectnet"].to_json()
    (design if key == "template" else design["net"])[key] = value
    with pytest.raises(SpaceError, match=rf"design 1: .*{said}"):
        load_space(with_portfolio(tmp_path, {"space": "lightdefectnet", "designs": [{"genotype": design}]}))
