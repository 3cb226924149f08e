"""What the README shows can be typed: its commands and options exist, its files are there, its example runs."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer.main

from compressdefect import cli

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = sorted(
    set(re.findall(r"compressdefect (?:search|train|evaluate|cost|benchmark|report|study|list)[^`\n]*", README))
)


def test_the_two_set_up_lines_are_there() -> None:
    assert "python -m pip install -e . && compressdefect search --budget-flops 100M\n" in README
    assert "python -m pip install -e '.[test]' && python -m pytest\n" in README


@pytest.mark.parametrize("name", sorted({command.split()[1] for command in COMMANDS}))
def test_its_options_exist(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "compressdefect.cli", name, "--help"], capture_output=True, text=True, check=True
    )
    for command in COMMANDS:
        if command.split()[1] == name:
            for option in re.findall(r"--[a-z-]+", command):
                assert option in done.stdout, command


def test_options_named_in_its_text_exist() -> None:
    group: Any = typer.main.get_command(cli.app)
    commands = {**group.commands, **group.commands["data"].commands}.values()
    known = {name for command in commands for parameter in command.params for name in parameter.opts}
    assert set(re.findall(r"`(--[a-z-]+)", README)) - {"--help"} <= known


def test_its_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / target).exists(), target


def test_the_tree_has_nothing_but_what_belongs_at_the_top() -> None:
    done = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("not a git checkout")
    top = {line.split("/")[0] for line in done.stdout.splitlines()}
    allowed = {"pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "CONTRIBUTING.md", "compressdefect"}
    allowed |= {"search_spaces", "studies", "tests", "notebooks", "benchmarks", "docs"}
    assert {name for name in top if not name.startswith(".")} <= allowed
