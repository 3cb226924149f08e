from __future__ import annotations

from pathlib import Path

import pytest

from compressdefect.catalog import find_space, spaces
from compressdefect.errors import SpaceError
from compressdefect.models.template import check_genes
from compressdefect.models.templates import TEMPLATES
from compressdefect.space.load import load_space

SHIPPED = spaces()["lightdefectnet"].read_text(encoding="utf-8").split("[designs.")[0]


def test_shipped_spaces_give_their_templates_what_they_read() -> None:
    for name in spaces():
        space = find_space(name)
        check_genes(space, TEMPLATES[space.template])


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"residual", "grou', '"residul", "residual", "grou', "block cannot be that: got 'residul'; use residual"),
        ("low = 1, high = 2 }\n\ncolumns", "low = 0, high = 2 }\n\ncolumns", "head_columns cannot be that: got 0"),
        ("stages = 4", "stages = 0", "space.stages must be at least 1: got 0"),
        ("net.stem_stride = 4", "net.stem_strode = 4", "reads no net gene stem_strode; did you mean stem_stride"),
        ('tasks = ["classify"]', 'tasks = ["classify", "sing"]', "has no networks for the task: got sing"),
        ("net.stem_stride = 4", "", "the net gene stem_stride is missing"),
        ('exchange = { per = "stage"', 'exchange = { per = "net"', "reads no net gene exchange"),
        (
            'type = "choice", values = [false, true] }\nvac_r',
            'type = "int", low = 0, high = 1 }\nvac_r',
            "vac cannot be",
        ),
    ],
)
def test_a_space_that_its_template_cannot_build_is_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in SHIPPED
    path = tmp_path / "mine.toml"
    path.write_text(SHIPPED.replace(old, new, 1).replace("when = { vac = true }", 'when = { block = "residual" }'))
    with pytest.raises(SpaceError) as caught:
        _check(path)
    assert message in str(caught.value)


def _check(path: Path) -> None:
    space = load_space(path)
    check_genes(space, TEMPLATES[space.template])
