from __future__ import annotations

from pathlib import Path

import pytest

from compressdefect import catalog
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


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[parameters]", "[parameters", "is not TOML"),
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
        ('tasks = ["classify"]', 'tasks = ["sing"]', "space.tasks must list tasks"),
        ('name = "tiny"', "name = 3", "space.name must be of type str: got 3"),
        ("[parameters]", "[params]", "params is not a known key; did you mean parameters"),
        ("[parameters]", "[rules]\naads_only = 1\n[parameters]", "rules.aads_only must be true or false"),
        ("[parameters]", "[fixed]\nnet.width = 8\n[parameters]", "fixed.net.width is also searched"),
        ('per = "net", type = "int"', 'per = "column", type = "int"', "space.columns is missing"),
        ("[parameters]", "[designs.d]\nnet = { width = 9, vac = false }\n[parameters]", "designs.d: width is outside"),
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
    with pytest.raises(SpaceError, match="cannot read the space file"):
        catalog.find_space(str(tmp_path / "none.toml"))
