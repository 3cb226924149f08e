"""Read a search space from TOML; every mistake is named by file, key, what was got and how to fix it."""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

from compressdefect.errors import SpaceError, known_names
from compressdefect.space.domain import ChoiceDomain, Domain, FloatDomain, IntDomain
from compressdefect.space.genotype import Genotype, StageGenes
from compressdefect.space.space import SCOPES, TASK, Condition, Parameter, Scope, Space

_ROLES = ("width", "repair")
_TABLES = ("space", "parameters", "fixed", "rules", "designs")
_SPACE_KEYS = ("name", "template", "summary", "tasks", "stages", "columns", "input", "ladder")
_TYPE_KEYS = {"int": {"low", "high", "step"}, "float": {"low", "high", "log"}, "choice": {"values"}}


def load_space(path: Path) -> Space:
    """Read and check one space file.

    Raises:
        SpaceError: the file cannot be read, is not TOML, or does not describe a space.
    """
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SpaceError(f"cannot read the space file {path}", got=error.strerror) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise SpaceError(f"{path} is not TOML", got=error, fix="mend that line") from error
    space = _Reader(path, data).space()
    return replace(space, portfolio=_portfolio(portfolio_path(path), space))


def portfolio_path(path: Path) -> Path:
    """Where the portfolio of a space file lies, if it has one: beside it, under its name."""
    return path.with_name(f"{path.stem}.portfolio.json")


def _portfolio(path: Path, space: Space) -> tuple[Genotype, ...]:
    """The designs of a portfolio; none where there is no file.

    Raises:
        SpaceError: it is of another space, damaged, or one of its designs is none of the space.
    """
    try:
        data = json.loads(path.read_bytes())
    except FileNotFoundError:
        return ()
    except (OSError, ValueError, RecursionError) as error:
        raise SpaceError(f"cannot read the portfolio {path}", got=error, fix="mend it, or remove it") from error
    if not isinstance(data, dict) or not isinstance(data.get("designs"), list):
        raise SpaceError(f"{path} is not a portfolio", got=type(data).__name__, fix="mend it, or remove it")
    if data.get("space") != space.name:
        raise SpaceError(
            f"{path} is of another space", got=data.get("space"), fix=f"put one of {space.name} there, or remove it"
        )
    found = []
    for number, entry in enumerate(data["designs"], 1):
        try:
            found.append(Genotype.from_json(entry["genotype"] if isinstance(entry, dict) else None))
            space.flatten(found[-1])
        except (SpaceError, KeyError) as error:
            raise SpaceError(f"{path}: design {number}: {error}") from error
    return tuple(found)


class _Reader:
    """One pass over the parsed file, remembering its path for messages."""

    def __init__(self, path: Path, data: Mapping[str, Any]) -> None:
        self.path, self.data = path, data

    def fail(self, key: str, what: str, got: object = None, fix: str | None = None) -> NoReturn:
        raise SpaceError(f"{self.path}: {key} {what}", got=got if got is None else repr(got), fix=fix)

    def table(self, key: str, value: Any) -> Mapping[str, Any]:
        if not isinstance(value, dict):
            self.fail(key, "must be a table", value, "write it as [" + key + "]")
        return value

    def only(self, key: str, table: Mapping[str, Any], known: Any) -> None:
        for name in table:
            if name not in known:
                self.fail(f"{key}.{name}" if key else name, "is not a known key", fix=known_names(name, known))

    def get(self, table: Mapping[str, Any], key: str, name: str, kind: type, default: Any = None) -> Any:
        value = table.get(name, default)
        if value is None:
            self.fail(f"{key}.{name}", "is missing", fix=f"add it as {kind.__name__}")
        kinds = (int, float) if kind is float else (kind,)
        if not isinstance(value, kinds) or (kind is not bool and isinstance(value, bool)):
            self.fail(f"{key}.{name}", f"must be of type {kind.__name__}", value)
        return value

    def space(self) -> Space:
        self.only("", self.data, _TABLES)
        head = self.table("space", self.data.get("space"))
        self.only("space", head, _SPACE_KEYS)
        tasks = tuple(self.get(head, "space", "tasks", list))
        if not tasks or not all(isinstance(task, str) for task in tasks):
            self.fail("space.tasks", "must list tasks", list(tasks), 'write it like ["classify"]')
        stages = self.get(head, "space", "stages", int, 0)
        if stages < 0:
            self.fail("space.stages", "must not be negative", stages)
        parameters = self.parameters()
        self.task(tasks, parameters)
        blank = Space(
            name=self.get(head, "space", "name", str),
            template=self.get(head, "space", "template", str),
            summary=self.get(head, "space", "summary", str, ""),
            tasks=tasks,
            stages=stages,
            parameters=parameters,
            column_count=self.column_count(head, parameters),
            input=self.input(head),
            inputs=self.inputs(head, tasks),
            ladder=self.get(head, "space", "ladder", bool, False),
            fixed=self.fixed(parameters),
            rules=self.rules(),
        )
        return Space(**{**vars(blank), "designs": self.designs(blank)})

    def task(self, tasks: tuple[str, ...], parameters: tuple[Parameter, ...]) -> None:
        """Check that what chooses between tasks, if anything does, chooses between all of them."""
        chosen = [p for p in parameters if p.name == TASK and p.scope == "net"]
        if chosen and (not isinstance(chosen[0].domain, ChoiceDomain) or set(chosen[0].domain.values) != set(tasks)):
            self.fail(f"parameters.{TASK}", "must choose between the tasks", fix=f"use values = {list(tasks)}")

    def input(self, head: Mapping[str, Any]) -> int | None:
        if "input" not in head or isinstance(head["input"], dict):
            return None
        return self.pixels(head, "space", "input")

    def inputs(self, head: Mapping[str, Any], tasks: tuple[str, ...]) -> dict[str, int]:
        table = head.get("input")
        if not isinstance(table, dict):
            return {}
        self.only("space.input", table, tasks)
        return {task: self.pixels(table, "space.input", task) for task in table}

    def pixels(self, table: Mapping[str, Any], key: str, name: str) -> int:
        size = self.get(table, key, name, int)
        if size < 1:
            self.fail(f"{key}.{name}", "must be a positive number of pixels", size)
        return int(size)

    def parameters(self) -> tuple[Parameter, ...]:
        table = self.table("parameters", self.data.get("parameters"))
        if not table:
            self.fail("parameters", "is empty", fix="add at least one parameter")
        found: dict[str, Parameter] = {}
        for name, entry in table.items():
            found[name] = self.parameter(name, self.table(f"parameters.{name}", entry), found)
        return tuple(found.values())

    def parameter(self, name: str, entry: Mapping[str, Any], above: Mapping[str, Parameter]) -> Parameter:
        key = f"parameters.{name}"
        if not name.isidentifier():
            self.fail(key, "is not a usable name", name, "use letters, digits and _")
        kind = self.get(entry, key, "type", str)
        if kind not in _TYPE_KEYS:
            self.fail(f"{key}.type", "is not a known type", kind, f"use one of {', '.join(_TYPE_KEYS)}")
        self.only(key, entry, {"per", "type", "when", "role"} | _TYPE_KEYS[kind])
        scope = self.get(entry, key, "per", str)
        if scope not in SCOPES:
            self.fail(f"{key}.per", "is not a scope", scope, f"use one of {', '.join(SCOPES)}")
        role = entry.get("role")
        if role not in (None, *_ROLES):
            self.fail(f"{key}.role", "is not a known role", role, f"use {' or '.join(_ROLES)}, or leave it out")
        domain = getattr(self, f"{kind}_domain")(key, entry)
        if role is not None and isinstance(domain, ChoiceDomain) and any(type(v) is not int for v in domain.values):
            self.fail(f"{key}.role", "is for parameters of whole numbers", role)
        return Parameter(name, scope, domain, self.condition(key, scope, entry, above), role)

    def int_domain(self, key: str, entry: Mapping[str, Any]) -> Domain:
        low, high = self.get(entry, key, "low", int), self.get(entry, key, "high", int)
        step = self.get(entry, key, "step", int, 1)
        if step < 1 or high < low or (high - low) % step:
            self.fail(key, "needs low ≤ high, a whole number of steps apart", [low, high, step])
        return IntDomain(low, high, step)

    def float_domain(self, key: str, entry: Mapping[str, Any]) -> Domain:
        low, high = (float(self.get(entry, key, name, float)) for name in ("low", "high"))
        log = self.get(entry, key, "log", bool, False)
        if not -math.inf < low < high < math.inf or (log and low <= 0):
            self.fail(key, "needs finite low < high, and low above 0 when log is on", [low, high])
        return FloatDomain(low, high, log)

    def choice_domain(self, key: str, entry: Mapping[str, Any]) -> Domain:
        values = self.get(entry, key, "values", list)
        if not values or not all(isinstance(value, bool | int | float | str) for value in values):
            self.fail(f"{key}.values", "must list at least one plain value", values)
        if len(set(values)) < len(values):  # true equals 1 here too: such a pair could not be told apart
            self.fail(f"{key}.values", "lists a value twice", values)
        return ChoiceDomain(tuple(values))

    def condition(
        self, key: str, scope: str, entry: Mapping[str, Any], above: Mapping[str, Parameter]
    ) -> Condition | None:
        if "when" not in entry:
            return None
        when = self.table(f"{key}.when", entry["when"])
        if len(when) != 1:
            self.fail(f"{key}.when", "must name exactly one parameter", dict(when), "write when = { other = value }")
        ((other, wanted),) = when.items()
        values = tuple(wanted) if isinstance(wanted, list) else (wanted,)
        fixed = self.table("fixed", self.data.get("fixed", {}))
        if other in self.table(f"fixed.{scope}", fixed.get(scope, {})):
            return Condition(other, values)
        if other not in above or above[other].scope != scope:
            self.fail(f"{key}.when", f"must name a {scope} parameter declared above it", other)
        for value in values:
            if not above[other].domain.contains(value):
                self.fail(f"{key}.when.{other}", "is not a value of that parameter", value)
        return Condition(other, values)

    def column_count(self, head: Mapping[str, Any], parameters: tuple[Parameter, ...]) -> str | None:
        needs = any(parameter.scope == "column" for parameter in parameters)
        if "columns" not in head:
            if needs:
                self.fail("space.columns", "is missing", fix="name the stage parameter that counts the columns")
            return None
        name = self.get(head, "space", "columns", str)
        counts = [p for p in parameters if p.name == name and p.scope == "stage" and p.when is None]
        if not counts or not isinstance(counts[0].domain, IntDomain) or counts[0].domain.low < 1:
            self.fail("space.columns", "must name an unconditional stage parameter of type int, at least 1", name)
        return str(name)

    def fixed(self, parameters: tuple[Parameter, ...]) -> dict[Scope, dict[str, Any]]:
        table = self.table("fixed", self.data.get("fixed", {}))
        self.only("fixed", table, SCOPES)
        searched = {(p.scope, p.name) for p in parameters}
        fixed: dict[Scope, dict[str, Any]] = {}
        for scope in SCOPES:
            genes = self.table(f"fixed.{scope}", table.get(scope, {}))
            for name, value in genes.items():
                if (scope, name) in searched:
                    self.fail(f"fixed.{scope}.{name}", "is also searched", fix="keep one of the two")
                if not isinstance(value, bool | int | float | str):
                    self.fail(f"fixed.{scope}.{name}", "must be a plain value", value)
            fixed[scope] = dict(genes)
        return fixed

    def rules(self) -> dict[str, bool]:
        rules = self.table("rules", self.data.get("rules", {}))
        for name, on in rules.items():
            if not isinstance(on, bool):
                self.fail(f"rules.{name}", "must be true or false", on)
        return dict(rules)

    def designs(self, space: Space) -> dict[str, Genotype]:
        table = self.table("designs", self.data.get("designs", {}))
        return {name: self.design(name, self.table(f"designs.{name}", entry), space) for name, entry in table.items()}

    def design(self, name: str, entry: Mapping[str, Any], space: Space) -> Genotype:
        key = f"designs.{name}"
        self.only(key, entry, {"net", "stages"})
        stages = self.get(entry, key, "stages", list, [])
        genotype = Genotype(
            space.template,
            {**space.fixed["net"], **self.table(f"{key}.net", entry.get("net", {}))},
            tuple(self.stage(f"{key}.stages", self.table(f"{key}.stages", stage), space) for stage in stages),
        )
        try:
            space.flatten(genotype)
        except SpaceError as error:
            raise SpaceError(f"{self.path}: {key}: {error}") from error
        return genotype

    def stage(self, key: str, entry: Mapping[str, Any], space: Space) -> StageGenes:
        columns = self.get(entry, key, "column", list, [])
        genes = {name: value for name, value in entry.items() if name != "column"}
        if space.column_count and space.column_count not in genes:
            genes[space.column_count] = len(columns)
        return StageGenes(
            {**space.fixed["stage"], **genes},
            tuple({**space.fixed["column"], **self.table(f"{key}.column", column)} for column in columns),
        )
