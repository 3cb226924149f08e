"""The data commands, from the command line to what they write."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from compressdefect import api, cli
from compressdefect.data.load import load_images
from compressdefect.data.split import Split
from compressdefect.errors import DataError
from tests.data import layouts

JSON_KEYS = {"images", "classes", "splits", "findings"}


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["compressdefect", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        return (int(stop.value.code or 0), *capsys.readouterr())

    return run


@pytest.fixture
def odd_parts(parts: Path, tmp_path: Path) -> Path:
    root = tmp_path / "odd"
    shutil.copytree(parts, root)
    shutil.copy(root / "good/00.png", root / "scratch/same.png")
    (root / "good/empty.png").write_bytes(b"")
    return root


def test_check_prints_one_json_object_and_writes_a_page(call: Any, odd_parts: Path, tmp_path: Path) -> None:
    code, out, err = call("data", "check", odd_parts, "--json")
    result = json.loads(out)
    assert code == 0, err
    assert out.count("\n") == 1
    assert set(result) >= JSON_KEYS
    assert result["images"] == 42
    assert result["classes"] == {"good": 21, "scratch": 21}
    assert [finding["kind"] for finding in result["findings"]] == ["unreadable", "label-conflict", "duplicate"]
    assert all(set(finding) == {"kind", "files", "message", "advice"} for finding in result["findings"])
    assert result["findings"][0]["files"] == ["good/empty.png"]
    assert result["report"] == "runs/check-odd.html"
    assert "good/empty.png" in (tmp_path / result["report"]).read_text()


def test_strict_exits_with_1_on_findings_only(call: Any, odd_parts: Path, parts: Path, tmp_path: Path) -> None:
    code, out, _ = call("data", "check", odd_parts, "--strict", "--html", "none")
    assert code == 1
    assert "good/empty.png: cannot be read: the file is empty; replace or remove the file" in out
    assert not (tmp_path / "runs").exists()
    assert call("data", "check", odd_parts, "--html", "none")[0] == 0
    code, out, _ = call("data", "check", parts, "--strict", "--html", tmp_path / "pages" / "p.html")
    assert code == 0, out
    assert "read as class_folders" in out
    assert "nothing is wrong" in out
    assert (tmp_path / "pages" / "p.html").is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["check", "/no/such"], "the data folder does not exist: got /no/such"),
        (["check", "synthetic"], "synthetic images are drawn, not read"),
        (["check", "PARTS", "--good", "fine"], "--good names a class that the data does not have: got fine"),
        (["check", "PARTS", "--format", "tarot"], "unknown data format: got tarot"),
        (["check", "PARTS", "--html", "PARTS"], "cannot write"),
        (["preview", "PARTS", "--per-class", "0"], "--per-class must be at least 1"),
        (["preview", "/no/such"], "the data folder does not exist"),
        (["split", "PARTS", "--folds", "1"], "--folds must be at least 2: got 1"),
        (["split", "PARTS", "--folds", "3", "--test-share", "0.5"], "--folds tests every image once"),
        (["split", "PARTS", "--test-share", "2"], "the test share must lie between 0 and 1"),
        (["check", "PARTS", "--bits", "11"], "--bits is 8, 10, 12, 14 or 16: got 11"),
        (["preview", "PARTS", "--bits", "11"], "--bits is 8, 10, 12, 14 or 16: got 11"),
        (["split", "PARTS", "--bits", "11"], "--bits is 8, 10, 12, 14 or 16: got 11"),
        (["split", "PARTS", "--task", "guess"], "no such task: got guess"),
        (["split", "PARTS", "--group", "good|scratch"], "for the test part: got 40 images; the largest group has 20"),
        (
            ["split", "PARTS", "--group", "plate"],
            "--group matches no file name: got plate; names look like good/00.png",
        ),
        (["split"], "DATA"),
    ],
)
def test_mistakes_are_one_line_and_exit_with_2(call: Any, parts: Path, arguments: list[str], message: str) -> None:
    code, out, err = call("data", *(str(parts) if argument == "PARTS" else argument for argument in arguments))
    assert (code, out) == (2, "")
    assert message in err.splitlines()[-1]
    assert err.splitlines()[-1].startswith("error: ")


def test_a_part_without_label_files_is_a_finding_until_it_is_decided_on(call: Any, tmp_path: Path) -> None:
    root = tmp_path / "data"
    layouts.yolo(root)
    (root / "labels" / "val").rename(tmp_path / "elsewhere")
    code, _, err = call("data", "split", root, "--task", "segment", "--group", "none")
    assert code == 2
    assert "the images of val have no label files: got 3 images such as images/val/" in err.splitlines()[-1]
    assert "--unlabelled good" in err.splitlines()[-1]
    options = ["--json", "--html", "none"]
    findings = json.loads(call("data", "check", root, *options)[1])["findings"]
    named = [finding["files"] for finding in findings if finding["kind"] == "unlabelled"]
    assert named == [[f"images/val/{name}.jpg"] for name in ("both", "clean", "outline")]
    decided = json.loads(call("data", "check", root, *options, "--unlabelled", "good")[1])
    assert decided["splits"]["val"]["good"] == 3
    assert "unlabelled" not in {finding["kind"] for finding in decided["findings"]}


def test_a_split_is_taken_back(call: Any, parts: Path, tmp_path: Path) -> None:
    code, out, err = call("data", "split", parts, "--out", "s.json", "--test-share", "0.25", "--seed", "3", "--json")
    assert code == 0, err
    result = json.loads(out)
    assert result["splits"][0]["test"] == {"good": 5, "scratch": 5}
    images = load_images(parts, input=32)
    split = Split.from_json(json.loads((tmp_path / "s.json").read_text()), images)
    assert (len(split.train), len(split.test), split.seed) == (30, 10, 3)


def test_names_that_a_pattern_misses_are_counted(call: Any, parts: Path) -> None:
    code, _, err = call("data", "split", parts, "--group", r"good/(\d)", "--test-share", "0.5")
    assert code == 0, err
    assert "not matched by --group, each a group of its own: 20 of 40 file names, as scratch/00.png" in err


def test_folds_test_every_image_once(call: Any, parts: Path, tmp_path: Path) -> None:
    code, _, err = call("data", "split", parts, "--folds", "4", "--out", "out/s.json")
    assert code == 0, err
    images = load_images(parts, input=32)
    files = sorted((tmp_path / "out").iterdir())
    assert [path.name for path in files] == ["s-1.json", "s-2.json", "s-3.json", "s-4.json"]
    splits = [Split.from_json(json.loads(path.read_text()), images) for path in files]
    assert sorted(np.concatenate([split.test for split in splits]).tolist()) == list(range(40))
    assert all(len(split.train) == 30 for split in splits)


def test_data_without_image_classes_is_split_by_what_is_marked(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for number in range(12):
        Image.fromarray(rng.integers(0, 256, (24, 24), dtype=np.uint8)).save(tmp_path / f"{number:02}.bmp")
        mask = np.zeros((24, 24), dtype=np.uint8)
        mask[3:6, 3:6] = 255 * (number % 2)
        Image.fromarray(mask).save(tmp_path / f"{number:02}_mask.png")
    result = api.data_split(str(tmp_path), out=str(tmp_path / "s.json"), test_share=0.5)
    assert result["splits"][0]["test"] == {"good": 3, "defect": 3}


def test_preview_draws_a_sheet(call: Any, parts: Path, tmp_path: Path) -> None:
    code, out, err = call("data", "preview", parts, "--out", "sheet.png", "--per-class", "3", "--json")
    assert code == 0, err
    assert json.loads(out) == {"preview": "sheet.png", "classes": {"good": 20, "scratch": 20}}
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.width > 600
        assert sheet.height > 1000


def test_a_preview_of_nothing_readable_says_so(tmp_path: Path) -> None:
    for label in ("good", "dent"):
        (tmp_path / label).mkdir()
        (tmp_path / label / "a.png").write_bytes(b"")
    with pytest.raises(DataError, match="no image of the data can be read"):
        api.data_preview(str(tmp_path), out=str(tmp_path / "sheet.png"))


def test_nothing_is_written_among_the_data_unless_asked_for(
    call: Any, parts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "odd"
    shutil.copytree(parts, root)
    monkeypatch.chdir(root)
    for command, option in (("check", "--html"), ("preview", "--out")):
        code, out, err = call("data", command, ".")
        assert (code, out) == (2, "")
        assert f"runs would lie in the data folder: got runs/{command}-odd" in err
        assert f"name another place with {option}" in err
    assert sorted(path.name for path in root.iterdir()) == ["good", "scratch"]
    assert call("data", "check", ".", "--html", "page.html")[0] == 0
    assert (root / "page.html").is_file()


def test_preview_looks_into_masks(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for number in range(6):
        Image.fromarray(rng.integers(0, 256, (24, 24), dtype=np.uint8)).save(tmp_path / f"{number}.bmp")
        mask = np.zeros((24, 24), dtype=np.uint8)
        mask[3:6, 3:6] = 255 * (number < 2)
        Image.fromarray(mask).save(tmp_path / f"{number}_mask.png")
    result = api.data_preview(str(tmp_path), out=str(tmp_path / "sheet.png"))
    assert result["classes"] == {"defect": 2, "good": 4}


def test_names_are_printed_as_they_are(call: Any, parts: Path, tmp_path: Path) -> None:
    """Neither what looks like a style, nor an emoji, nor a name in another encoding is lost or ends a check."""
    root, odd = tmp_path / "a [old]", "[bold]x :smile:["
    for source, label in (("good", odd), ("scratch", os.fsdecode(b"scr\xe4tch"))):
        shutil.copytree(parts / source, root / label)
    (root / odd / "nope].png").write_bytes(b"")
    code, out, err = call("data", "check", root)
    assert code == 0, err
    assert out.count(odd) == 2
    assert f"{odd}/nope].png: cannot be read" in out
    assert "scr\\udce4tch" in out
    assert "report: runs/check-a [old].html" in out
    assert "scr?tch" in (tmp_path / "runs/check-a [old].html").read_text(encoding="utf-8")
    assert call("data", "preview", root)[:2] == (0, "runs/preview-a [old].png\n")


def test_data_help_has_examples(call: Any) -> None:
    for command in ("check", "preview", "split"):
        code, out, _ = call("data", command, "--help")
        assert code == 0
        assert f"Example: compressdefect data {command}" in out
