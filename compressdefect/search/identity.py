"""What makes two searches the same one, so that a run can be resumed and a study be shared."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from compressdefect.errors import RunError
from compressdefect.runs import RunFolder
from compressdefect.space.domain import ChoiceDomain, Domain, FloatDomain
from compressdefect.space.space import Parameter, Space

Identity = Mapping[str, Any]
_NOTHING = "nothing"


def space_identity(space: Space) -> dict[str, Any]:
    """All that a space says of its designs, as JSON values."""
    return {
        "space": space.name,
        "template": space.template,
        "stages": space.stages,
        "parameters": {parameter.name: _said(parameter) for parameter in space.parameters},
        "fixed genes": {scope: dict(genes) for scope, genes in space.fixed.items() if genes},
        "rules": dict(space.rules),
        "portfolio": " ".join(design.fingerprint for design in space.portfolio),
        "named designs": {name: design.fingerprint for name, design in space.designs.items()},
    }


def _said(parameter: Parameter) -> str:
    """Everything a parameter is but its name, in one line."""
    parts = [f"per {parameter.scope}", _values(parameter.domain)]
    if parameter.when is not None:
        parts.append(f"when {parameter.when.parameter} is {' or '.join(map(str, parameter.when.values))}")
    return ", ".join([*parts, *([parameter.role] if parameter.role else [])])


def _values(domain: Domain) -> str:
    if isinstance(domain, FloatDomain):
        return repr(domain)
    kind = "one of " if isinstance(domain, ChoiceDomain) else "in order "
    return kind + " ".join(map(str, domain.values))


def difference(before: Identity, now: Identity) -> tuple[str, str] | None:
    """The first thing that differs and what it is now and was, in words; None where nothing does.

    >>> difference({"seed": 1, "budgets": {"macs": 5, "params": 7}}, {"seed": 1, "budgets": {"macs": 6, "params": 7}})
    ('budgets', 'macs 6 instead of 5')
    """
    for key in {**now, **before}:
        was, value = before.get(key), now.get(key)
        if was != value:
            if isinstance(was, dict) and isinstance(value, dict):
                return key, " ".join(difference(was, value) or ())
            return key, f"{_NOTHING if value is None else value} instead of {_NOTHING if was is None else was}"
    return None


def check_identity(identity: Identity, run: RunFolder, resume: bool) -> None:
    """Remember what is searched for, or make sure that a resumed run still searches for it.

    Raises:
        RunError: it is something else.
    """
    before = run.manifest.get("search")
    if before is None:
        run.update_manifest(search=identity)
        return
    if not resume:
        raise RunError("this run folder holds a search already", got=run.path, fix="continue it with --resume")
    found = difference(before, identity)
    if found is not None:
        raise RunError(f"a resumed search must keep its {found[0]}", got=found[1], fix="start a new run")
