from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from compressdefect import cli
from compressdefect.catalog import shipped_root
from compressdefect.deploy.model_ref import resolve_model
from compressdefect.errors import RunError

TINY = ["--input", "32", "--epochs", "1", "--peers", "none"]


def run(*arguments: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["compressdefect", *arguments])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    out, err = capsys.readouterr()
    return int(stop.value.code or 0), out, err


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    return lambda *arguments: run(*map(str, arguments), capsys=capsys, monkeypatch=monkeypatch)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["search", "nospace"], "no such search space: got nospace"),
        (["search", "--budget-flops", "lots"], "--budget-flops"),
        (["search", "--budget-flops", "0"], "--budget-flops"),
        (["search", "--budget-flops", "-3M"], "--budget-flops"),
        (["search", "--budget-latency", "2"], "--budget-latency"),
        (["search", "--time", "soon"], "--time"),
        (["search", "--sampler", "magic"], "no such sampler: got magic"),
        (["search", "--objective", "beauty"], "no such objective: got beauty"),
        (["search", "--trials", "0"], "--trials must be at least 1: got 0"),
        (["search", "--data", "/no/such/folder"], "/no/such/folder"),
        (["search", "--resume"], "--resume needs the run"),
        (["search", "--resume", "--run-dir", "/no/such/run"], "no such run folder"),
        (["search", "--peers", "nopeer"], "no such model"),
        (["search", "--budget-flops", ""], "--budget-flops"),
        (["search", "--metric", "beauty"], "unknown metric: got beauty"),
        (["search", "--task", "paint"], "no such task: got paint"),
        (["search", "--task", "segment", "--metric", "accuracy"], "unknown metric: got accuracy"),
        (["search", "lightdefectnet", "--task", "segment"], "lightdefectnet has no designs to segment"),
        (["train", "lightdefectnet", "--loss", "dice"], "the task has one loss only: got dice"),
        (["train", "lw-seg@0.35", "--loss", "ce+dise"], "unknown loss: got dise; did you mean dice"),
        (["train", "lightdefectnet", "--tile", "64"], "--tile needs a model that segments"),
        (["train", "lw-seg@0.35", "--tile", "4"], "--tile must be at least 8 pixels: got 4"),
        (["train", "lightdefectnet", "--gradual", "soon"], "gradual training cannot be read: got soon"),
        (["search", "--gradual", "20k,80%"], "the trainings of a search differ in length: got --gradual 20k,80%"),
        (["search", "--accelerator", "tpu"], "no such accelerator here: got tpu"),
        (["search", "--latency-exponent", "nan"], "latency exponent"),
        (["search", "--seed", "-1"], "--seed must be at least 0: got -1"),
        (["train", "lightdefectnet", "--threads", "0"], "--threads must be at least 1: got 0"),
        (["cost", "x" * 5000], "no such model"),
        (["cost", "lightdefectnet", "--channels", "1000000"], "--channels"),
        (["search", "--unknown-option"], "No such option"),
        (["train", "lightdefectnt"], "did you mean lightdefectnet"),
        (["train", "timm:resnet500"], "resnet500"),
        (["evaluate", "lightdefectnet"], "only a trained model can be evaluated"),
        (["cost", "lightdefectnet:stem_width=9"], "stem_width is outside its domain: got 9"),
        (["cost", "lightdefectnet", "--input", "0"], "--input must be at least 1"),
        (["benchmark", "lightdefectnet", "--batch", "1,x"], "--batch takes positive whole numbers: got 1,x"),
        (["report", "/no/such/run"], "no such run folder"),
        (["study", "nostudy"], "no such study: got nostudy; known: compression, lightdefectnet"),
        (["study", "lightdefectnet", "--share", "2"], "share of a study"),
        (["list", "wishes"], "nothing of that kind can be listed: got wishes"),
        (["nocommand"], "nocommand"),
    ],
)
def test_a_users_mistake_is_one_line_and_exit_code_2(
    call: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = call(*arguments)
    assert code == 2
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert message in err
    assert list(tmp_path.iterdir()) == []


def test_bad_data_leaves_no_run_folder(call: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("empty", "lonely"):
        (tmp_path / name).mkdir()
    (tmp_path / "lonely" / "good").mkdir()
    (tmp_path / "lonely" / "good" / "a.txt").write_text("no image")
    for data in ("empty", "lonely"):
        code, _, err = call("search", "--data", data)
        assert code == 2
        assert err.splitlines()[-1].startswith("error: ")
    assert not (tmp_path / "runs").exists()


def test_an_existing_run_folder_is_refused(call: Any, tmp_path: Path, parts: Path) -> None:
    (tmp_path / "mine.txt").write_text("precious")
    code, _, err = call("search", "--data", parts, "--run-dir", tmp_path)
    assert code == 2
    assert "the run folder is not empty" in err
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_budget_that_nothing_meets_exits_with_1(call: Any, tmp_path: Path, parts: Path) -> None:
    code, _, err = call("search", "--data", parts, "--input", 32, "--budget-params", 10, "--run-dir", tmp_path / "run")
    assert code == 1
    assert "params" in err.splitlines()[-1]
    assert not (tmp_path / "run").exists()


def test_a_space_of_the_working_folder_that_hides_a_shipped_one_is_named(
    call: Any, tmp_path: Path, parts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "search_spaces").mkdir()
    own = tmp_path / "search_spaces" / "lightdefectnet.toml"
    asked = ("search", "--data", parts, "--input", 32, "--budget-params", 10)
    shipped = (shipped_root() / "search_spaces" / own.name).read_text()
    for text, named in ((shipped, False), (f"{shipped}\n# mine\n", True)):
        own.write_text(text)
        code, _, err = call(*asked)
        assert code == 1
        assert (f"{own} hides the space lightdefectnet that ships" in err) == named
        assert (f"{own} hides" in call("list", "spaces", "--json")[1]) == named


def test_cost_as_json(call: Any) -> None:
    code, out, _ = call("cost", "lightdefectnet", "--json")
    (model,) = json.loads(out)["models"]
    assert code == 0
    assert model["input"] == [3, 224, 224]
    assert model["params"] <= 770_000
    assert 88e6 <= model["flops"] == 2 * model["macs"] <= 93e6
    assert model["conventions"]["ptflops"] > model["macs"]


def test_a_timm_model_costs_what_its_task_asks_for(call: Any) -> None:
    costs = {
        task: json.loads(call("cost", "timm:mobilenetv3_small_100", "--input", 64, "--task", task, "--json")[1])
        for task in ("classify", "segment")
    }
    (classifies,), (segments,) = (found["models"] for found in costs.values())
    network = (
        resolve_model("timm:mobilenetv3_small_100")
        .for_task("segment")
        .network(channels=3, heads={"pixels": ("a", "b")})
    )
    assert segments["params"] == sum(weight.numel() for weight in network.parameters())
    assert segments["params"] != classifies["params"]
    assert call("cost", "lw@0.35", "--task", "segment")[0] == 2


def test_list_shows_sizes(call: Any) -> None:
    for what in ("spaces", "designs", "studies", "samplers"):
        code, out, _ = call("list", what)
        assert code == 0
        assert "lightdefectnet" in out or "tpe" in out
    assert "designs" in call("list", "spaces")[1]
    assert "size" in call("list", "spaces")[1].splitlines()[0]
    lines = call("list", "designs")[1].splitlines()
    assert [line.split()[0] for line in lines[:2]] == ["designs", "lightdefectnet"]
    assert len({line.index("a design") for line in lines[1:]}) == 1


def test_help_is_instant_because_nothing_heavy_is_imported() -> None:
    heavy = ("torch", "optuna", "plotly", "pandas", "timm", "onnx")
    code = f"import sys; from compressdefect import cli; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_what_takes_a_run_states_no_defaults_but_the_runs_own(call: Any) -> None:
    for command in ("evaluate", "report"):
        assert "[default:" not in call(command, "--help")[1]


def test_every_command_has_help_with_an_example(call: Any) -> None:
    for command in ("search", "train", "evaluate", "cost", "benchmark", "report", "study", "list"):
        code, out, _ = call(command, "--help")
        assert code == 0
        assert f"Example: compressdefect {command}" in out


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS])
def test_a_full_or_read_only_disk_is_one_line(call: Any, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    from compressdefect import api

    def fail(**_: Any) -> None:
        raise OSError(number, os.strerror(number), "study.db")

    monkeypatch.setattr(api, "list_names", fail)
    code, out, err = call("list", "spaces")
    assert (code, out) == (2, "")
    assert err.startswith(f"error: cannot write study.db: got {os.strerror(number)}")


def test_a_defect_of_ours_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    from compressdefect import api

    def fail(**_: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(api, "list_names", fail)
    monkeypatch.setattr(sys, "argv", ["compressdefect", "list"])
    with pytest.raises(ZeroDivisionError):
        cli.main()


def test_errors_survive_a_process_boundary() -> None:
    import pickle

    error = RunError("what", got=3, fix="this")
    assert str(pickle.loads(pickle.dumps(error))) == str(error) == "what: got 3; this"


def test_search_prints_one_json_object(call: Any, tmp_path: Path, parts: Path) -> None:
    code, out, err = call(
        "search", "--data", parts, *TINY, "--trials", 2, "--budget-flops", "2M", "--run-dir", tmp_path / "r", "--json"
    )
    result = json.loads(out)
    assert code == 0, err
    assert out.count("\n") == 1
    assert result["trained"] == result["compared"] == result["finished"] == 2
    assert result["best"]["flops"] <= 2e6
    assert result["best"]["input"] == [1, 32, 32]
    assert 0 <= result["best"]["test"]["accuracy"] <= 1
    assert result["best"]["test"]["n"] == 12
    assert "designs trained: 2 of 2 asked; finished: 2; as many as were wanted" in err
