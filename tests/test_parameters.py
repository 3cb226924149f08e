"""No function takes many parameters only to hand them on: what goes together is an object."""

from __future__ import annotations

import ast
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1] / "compressdefect"
MANY = 6
FREE = {
    ("same_conv.py", "__init__"),  # a convolution's own parameters
    ("validate.py", "validate"),  # trains and scores several times, and takes all that one training does
}


def handed_on(function: ast.FunctionDef) -> tuple[set[str], set[str]]:
    """The parameters of a function, and those of them that it does nothing with but give them to what it calls."""
    declared = (*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs)
    names = {argument.arg for argument in declared} - {"self", "cls"}
    calls = [node for node in ast.walk(function) if isinstance(node, ast.Call)]
    given = {id(value) for call in calls for value in (*call.args, *(keyword.value for keyword in call.keywords))}
    read = [node for node in ast.walk(function) if isinstance(node, ast.Name) and id(node) not in given]
    return names, names - {node.id for node in read}


def test_a_function_uses_most_of_many_parameters_itself() -> None:
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and (path.name, node.name) not in FREE:
                names, idle = handed_on(node)
                assert len(names) <= MANY or len(idle) <= len(names) / 2, f"{path.name}: {node.name} hands on {idle}"


def test_what_is_handed_on_is_told_from_what_is_used() -> None:
    (function,) = ast.parse("def f(self, a, b, *, c, d): return g(a, b=b, c=c.x, d=d + 1)").body
    assert isinstance(function, ast.FunctionDef)
    assert handed_on(function) == ({"a", "b", "c", "d"}, {"a", "b"})
