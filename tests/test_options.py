"""What each command takes, with which defaults, and under which heading ``--help`` shows it."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import pytest
import typer.main
from typer.testing import CliRunner

from compressdefect import cli
from compressdefect.errors import RunError
from compressdefect.flow.stored import anchored, options_of, resumed
from compressdefect.options import (
    PANELS,
    BenchmarkOptions,
    CompressOptions,
    CostOptions,
    DataOptions,
    DistillOptions,
    EvaluateOptions,
    SearchOptions,
    SplitOptions,
    StudyOptions,
    TrainOptions,
    options_in,
)
from compressdefect.runs import RunFolder

DATA = "data format labels good unlabelled bits group split test-share val-share input tile task"
TRAINING = "epochs loss balance gradual augment metric overkill"
RUN = "time accelerator threads peers seed run-dir json"
COMMANDS = {
    "search": f"{DATA} {TRAINING} {RUN} resume budget-flops budget-macs budget-params budget-memory budget-size"
    " budget-latency objective latency-exponent sampler trials ladder workers threads-per-trial storage study"
    " compress max-drop teacher",
    "train": f"{DATA} {TRAINING} {RUN} optimizer schedule learning-rate batch-size",
    "evaluate": "data format labels good unlabelled group json",
    "compress": "steps to-macs to-params to-latency importance scope max-drop epochs"
    " data format labels good unlabelled group time accelerator threads peers seed run-dir json",
    "distill": f"teacher teacher-weights teacher-pretrained teacher-epochs student method teacher-share temperature"
    f" maps-weight {DATA} {TRAINING} {RUN} unlabelled-images unlabelled-ratio optimizer"
    " schedule learning-rate batch-size",
    "cost": "input channels classes task json",
    "benchmark": "input batch threads precision task json",
    "report": "data json",
    "study": "data share rows winner time resume run-dir json",
    "list": "json",
    "data check": "format good unlabelled bits html strict json",
    "data preview": "format bits out per-class seed json",
    "data split": "out folds format labels good unlabelled bits group task test-share val-share seed json",
}
CLASSES = {
    "search": SearchOptions,
    "train": TrainOptions,
    "evaluate": EvaluateOptions,
    "compress": CompressOptions,
    "distill": DistillOptions,
    "cost": CostOptions,
    "benchmark": BenchmarkOptions,
    "study": StudyOptions,
    "data split": SplitOptions,
}


def parameters(command: str) -> dict[str, Any]:
    """A command's parameters by name."""
    found: Any = typer.main.get_command(cli.app)
    for word in command.split():
        found = found.commands[word]
    return {parameter.name: parameter for parameter in found.params}


def panels(command: str, columns: int, monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """The options under each heading of ``--help``, as it is printed."""
    monkeypatch.setenv("COLUMNS", str(columns))
    done = CliRunner().invoke(cli.app, [*command.split(), "--help"])
    assert done.exit_code == 0, done.output
    found: dict[str, list[str]] = {}
    for line in done.output.splitlines():
        assert len(line) <= columns
        assert "…" not in line, "cut off"
        if line.startswith("╭─ "):
            found[line.split()[1]] = under = []
        elif option := re.match(r"│ (?:\*|) *(--[a-z-]+) ", line):
            under.append(option[1])
    return found


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_takes_these_options(command: str) -> None:
    found = [option for p in parameters(command).values() for option in p.opts if option.startswith("--")]
    assert sorted(found) == sorted(f"--{name}" for name in COMMANDS[command].split())


def test_these_are_all_commands() -> None:
    group: Any = typer.main.get_command(cli.app)
    assert {*group.commands, *(f"data {name}" for name in group.commands["data"].commands)} == {*COMMANDS, "data"}


@pytest.mark.parametrize("columns", [80, 120])
@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_every_option_under_one_heading(command: str, columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    found = panels(command, columns, monkeypatch)
    counts = Counter(option for options in found.values() for option in options)
    assert counts == {f"--{name}": 1 for name in [*COMMANDS[command].split(), "help"]}


def test_the_headings_of_a_search_stand_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    found = panels("search", 100, monkeypatch)
    assert list(found) == ["Arguments", *PANELS]
    assert found["Options"] == ["--json", "--help"]
    assert [f"--budget-{name}" for name in ("flops", "macs", "params", "memory", "size", "latency")] == found["Budget"]
    assert {"--seed", "--run-dir", "--resume", "--time"} <= set(found["Run"])
    assert "Budget" not in panels("train", 100, monkeypatch)


@pytest.mark.parametrize("command", CLASSES)
def test_an_option_has_the_default_and_the_help_of_its_class(command: str) -> None:
    found = parameters(command)
    for option in options_in(CLASSES[command]):
        if (command, option.name) != ("data split", "data"):  # which data to split must be said
            default = None if option.default is MISSING else option.default  # one that must be given has none
            assert found[option.name].default == default, option.name
            assert found[option.name].help == option.help.text
    own = {field.name: field.default for field in fields(CLASSES[command])}
    assert {option.name: option.default for option in options_in(CLASSES[command])} == own


def test_help_names_what_can_be_chosen() -> None:
    from compressdefect.search.samplers import SAMPLERS
    from compressdefect.train.config import AUGMENTATIONS, OPTIMIZERS
    from compressdefect.train.schedule import SCHEDULES

    said = {option.name: option.help.text for option in (*options_in(SearchOptions), *options_in(TrainOptions))}
    chosen = {"sampler": SAMPLERS, "augment": AUGMENTATIONS, "optimizer": OPTIMIZERS, "schedule": SCHEDULES}
    for option, names in chosen.items():
        assert all(name in said[option] for name in names), option


def test_the_help_of_a_search_alone_tells_its_default_time() -> None:
    from compressdefect.flow.request import DEFAULT_TIME

    said = {kind: next(o for o in options_in(kind) if o.name == "time") for kind in (SearchOptions, TrainOptions)}
    assert f"default: {DEFAULT_TIME}, or no limit with --trials" in said[SearchOptions].help.text
    assert "default" not in said[TrainOptions].help.text
    assert {option.panel for option in said.values()} == {"Run"}


def run_of(folder: Path, command: str, options: dict[str, Any]) -> RunFolder:
    return RunFolder.create(folder / "run", "classify", {"command": command, "options": options})


def test_a_runs_own_options_are_read_again_as_those_of_any_kind(tmp_path: Path) -> None:
    run = run_of(tmp_path, "train", {"data": "plates", "labels": "binary", "epochs": 3, "batch_size": 4})
    assert options_of(run, DataOptions, {}) == DataOptions(data="plates", labels="binary")
    assert options_of(run, DataOptions, {"data": "moved"}) == DataOptions(data="moved", labels="binary")
    assert options_of(run, TrainOptions, {"epochs": None}).batch_size == 4
    assert options_of(None, SplitOptions, {"good": "ok"}) == SplitOptions(good="ok")


def test_a_resumed_search_keeps_its_own_options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "images").mkdir()
    monkeypatch.chdir(tmp_path)
    stored = vars(anchored(SearchOptions(data="images", trials=3, budget_flops="2M")))
    run = run_of(tmp_path, "search", json.loads(json.dumps(stored)))
    assert resumed(run, {}).data == str(tmp_path / "images")
    assert resumed(run, {"trials": 5, "budget_flops": "2M"}) == SearchOptions(**{**stored, "trials": 5})
    with pytest.raises(RunError, match="a resumed search keeps its --budget-flops: got 3M instead of 2M"):
        resumed(run, {"budget_flops": "3M"})


def test_names_are_not_taken_for_folders_and_files_are_found_from_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("lightdefectnet", "peer"):
        (tmp_path / folder).mkdir()
    (tmp_path / "peer" / "manifest.json").write_text("{}")
    (tmp_path / "mine.toml").write_text("")
    monkeypatch.chdir(tmp_path)
    given = {"space": "lightdefectnet", "storage": "sqlite:///shared.db", "peers": "lightdefectnet, peer"}
    found = anchored(SearchOptions(**given))
    assert (found.space, found.storage) == ("lightdefectnet", f"sqlite:///{tmp_path / 'shared.db'}")
    assert found.peers == f"lightdefectnet, {tmp_path / 'peer'}"
    assert anchored(SearchOptions(space="mine.toml")).space == str(tmp_path / "mine.toml")
    for storage in ("sqlite:///:memory:", "postgresql://me:secret@host/studies", "no url"):
        assert anchored(SearchOptions(storage=storage)).storage == storage
    run = run_of(tmp_path, "search", vars(found))
    monkeypatch.chdir(tmp_path / "peer")
    assert resumed(run, {"space": "lightdefectnet"}) == found


def test_only_a_search_can_be_resumed(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="not the run of a search"):
        resumed(run_of(tmp_path, "train", {"data": "plates"}), {})
