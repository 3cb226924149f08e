"""The kinds of designs, and what a MODEL argument or a bundle names of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from compressdefect.catalog import designs
from compressdefect.errors import ModelError, known_names
from compressdefect.models import timm_design
from compressdefect.models.design import Design
from compressdefect.models.edited_design import EditedDesign
from compressdefect.models.family_design import FamilyDesign
from compressdefect.models.templates import task_of
from compressdefect.models.timm_design import TimmDesign

_KINDS: tuple[type[Design], ...] = (FamilyDesign, TimmDesign, EditedDesign)
KINDS: dict[str, type[Design]] = {kind.kind: kind for kind in _KINDS}


def parse_design(text: str) -> Design:
    """Read `NAME[@WIDTH][:key=value,…]`, `timm:NAME` or what another kind of design takes.

    What none of them takes is refused with the names of the designs that there are.

    Raises:
        SpaceError: no space has a design of that name.
        ModelError: the width, a key, a value or a timm model is wrong.
    """
    return next((kind for kind in KINDS.values() if kind.reads(text)), FamilyDesign).parse(text)


def made_for(design: Design, task: str) -> Design:
    """The design for a task.

    Raises:
        ModelError: it is made for others.
    """
    if task not in design.tasks:
        raise ModelError(
            f"{design.name} cannot {task}, it is made to {' or '.join(design.tasks)}", fix=_designs_to(task)
        )
    return design.for_task(task)


def _designs_to(task: str) -> str:
    names = [name for name, space in designs().items() if task_of(space.designs[name]) == task]
    names += [f"{timm_design.PREFIX}NAME"] if task in timm_design.TASKS else []
    return f"designs to {task}: {', '.join(names) or 'none'}"


def read_design(data: Mapping[str, Any], *, name: str, input: int) -> Design:
    """Make a design again from its JSON, and before it the one that it is made of, its ``base``, if there is any.

    Raises:
        ModelError: it is of no known kind, or damaged.
    """
    kind = data.get("kind")
    if kind not in KINDS:
        raise ModelError("no such kind of design", got=kind, fix=known_names(str(kind), KINDS))
    if isinstance(data.get("base"), Mapping):
        data = {**data, "base": read_design(data["base"], name=name, input=input)}
    try:
        return KINDS[kind].from_json(data, name=name, input=input)
    except (KeyError, TypeError) as error:
        raise ModelError(f"the design of {name} is damaged", got=f"{type(error).__name__}: {error}") from error
