from __future__ import annotations

import shlex
from dataclasses import asdict

import pytest

from compressdefect.options import SearchOptions, TrainOptions
from compressdefect.report.repeat import command


def test_a_search_is_named_with_its_space() -> None:
    options = SearchOptions(data="plates", space="my space.toml", budget_flops="100M", time="20m", workers=2)
    assert command({"command": "search", "space": "lightdefectnet", "options": asdict(options)}) == (
        "compressdefect search 'my space.toml' --data plates --budget-flops 100M --time 20m --workers 2"
    )


def test_defaults_are_left_out() -> None:
    assert command({"command": "search", "options": asdict(SearchOptions())}) == "compressdefect search"
    assert (
        command({"command": "train", "model": "lw@0.35", "options": asdict(TrainOptions(learning_rate=0.001))})
        == "compressdefect train lw@0.35 --learning-rate 0.001"
    )


@pytest.mark.parametrize("value", [0.123456789, 1e-07, 2.0])
def test_a_number_is_the_same_again(value: float) -> None:
    words = shlex.split(command({"command": "search", "options": {"overkill": value}}) or "")
    assert float(words[words.index("--overkill") + 1]) == value


@pytest.mark.parametrize("options", [SearchOptions, TrainOptions])
def test_every_option_is_one_of_the_command(options: type) -> None:
    from typer.main import get_command

    from compressdefect.cli import app

    name = {SearchOptions: "search", TrainOptions: "train"}[options]
    known = {flag for p in get_command(app).commands[name].params for flag in p.opts}  # type: ignore[attr-defined]
    odd = dict.fromkeys(asdict(options()), 7)
    words = shlex.split(command({"command": name, "model": "m", "options": odd}) or "")
    assert {word for word in words if word.startswith("--")} <= known


@pytest.mark.parametrize("manifest", [{}, {"command": "study", "options": {}}, {"command": "train"}])
def test_what_cannot_be_repeated_so_is_not_named(manifest: dict[str, object]) -> None:
    assert command(manifest) is None
