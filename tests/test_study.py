from __future__ import annotations

import json
from pathlib import Path

import pytest

from compressdefect import api, catalog
from compressdefect.errors import DataError, RunError
from compressdefect.runs import RunFolder
from compressdefect.study import Context, load_study, run_study

STUDY = '''"""A claim."""
from pathlib import Path
from compressdefect.errors import DataError
from compressdefect.study import Row, Table

def count(context):
    marker = Path(context.folder / "calls")
    calls = int(marker.read_text()) + 1 if marker.exists() else 1
    marker.write_text(str(calls))
    return {"value": 3, "calls": calls}

def shaky(context):
    if not (context.folder / "mended").exists():
        raise DataError("not there yet")
    return {"value": 2 * context.results["first"]["value"]}

def rows(share):
    return [Row("first", count), Row("second", shaky)]

def tables(results, share):
    return [Table("Values", ["row", "value"], [[key, str(row["value"])] for key, row in results.items()])]

def measurements(results):
    return {key: row["value"] for key, row in results.items()}
'''
EXPECTED = [
    {"name": "first", "value": 3.05, "tolerance": 0.1, "source": "a"},
    {"name": "second", "value": 7, "at_least": True, "source": "b"},
]


@pytest.fixture
def study(tmp_path: Path) -> Path:
    folder = tmp_path / "claim"
    folder.mkdir()
    (folder / "study.py").write_text(STUDY)
    (folder / "expected.json").write_text(json.dumps(EXPECTED))
    return folder


def test_rows_are_stored_resumed_and_never_guessed(study: Path, tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path / "run", "study", {})
    first = run_study(study, run, share=1.0)
    assert first["unfinished"] == ["second"]
    assert "- second: not there yet" in (run.path / "report.md").read_text()
    assert [row[3] for row in first["tables"][-1]["rows"]] == ["met", "unfinished"]
    (run.path / "mended").touch()
    second = run_study(study, run, share=1.0)
    assert second["unfinished"] == []
    assert second["results"]["first"]["calls"] == 1
    assert second["results"]["second"]["value"] == 6
    assert [row[3] for row in second["tables"][-1]["rows"]] == ["met", "missed"]


def test_a_deadline_leaves_rows_unfinished(study: Path, tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path / "run", "study", {})
    assert run_study(study, run, share=1.0, deadline=0.0)["unfinished"] == ["first", "second"]


def test_an_interrupted_row_is_run_again_beside_its_remains(tmp_path: Path) -> None:
    context = Context(tmp_path, None, {})
    context.new_folder("train").mkdir(parents=True)
    assert context.new_folder("train") == tmp_path / "runs" / "train-2"


def test_only_the_rows_that_are_asked_for_are_run(study: Path, tmp_path: Path) -> None:
    run = RunFolder(Path(api.study(str(study), run_dir=tmp_path / "run", rows="sec*")["run"]))
    assert sorted(path.name for path in (run.path / "rows").iterdir()) == ["second.json"]
    with pytest.raises(RunError, match=r"no such row: got third\*; its rows are first, second"):
        api.study(str(study), run_dir=tmp_path / "other", rows="first,third*")
    assert not (tmp_path / "other").exists()


def test_a_piece_of_work_is_done_once(tmp_path: Path) -> None:
    context, made = Context(tmp_path, None, {}), []

    def make(folder: Path) -> dict[str, str]:
        made.append(folder)
        return {"run": str(folder)}

    assert context.once("base", make) == context.once("base", make) == {"run": str(tmp_path / "runs" / "base-1")}
    assert made == [tmp_path / "runs" / "base-1"]


def test_a_study_can_refuse_its_data_before_anything_is_written(study: Path, tmp_path: Path) -> None:
    refusing = "\ndef check(data):\n    raise DataError('not these', got=data)\n"
    (study / "study.py").write_text(STUDY + refusing)
    with pytest.raises(DataError, match="not these: got plates"):
        api.study(str(study), data="plates", run_dir=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_study_is_resumed_by_one_process_at_a_time(study: Path, tmp_path: Path) -> None:
    run = RunFolder(Path(api.study(str(study), run_dir=tmp_path / "run")["run"]))
    with run.held(), pytest.raises(RunError, match="another process is working on this run"):
        api.study(str(study), run_dir=run.path, resume=True)
    (run.path / "mended").touch()
    assert api.study(str(study), run_dir=run.path, resume=True)["unfinished"] == []


def test_a_study_without_its_functions_is_refused(study: Path) -> None:
    (study / "study.py").write_text("def rows(share): return []")
    with pytest.raises(RunError, match="has no function tables"):
        load_study(study)


def test_the_shipped_studies_load_and_report_without_results() -> None:
    for folder in catalog.studies().values():
        module = load_study(folder)
        assert len({row.key for row in module.rows(0.2)}) == len(module.rows(0.2)) > 0
        assert all(table.markdown() for table in module.tables({}, 0.2))
        assert module.measurements({}) == {}
        names = {entry["name"] for entry in json.loads((folder / "expected.json").read_text())}
        assert len(names) > 0
        assert (folder / "README.md").is_file()
