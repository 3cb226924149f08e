"""The notebooks run from top to bottom, with the public interface only."""

from __future__ import annotations

import asyncio
import json
import warnings
from pathlib import Path
from typing import Any

import pytest

from compressdefect import api
from compressdefect.compress import pipeline
from tests.report.fake_run import make_run

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"


def _execute(path: Path, cwd: Path) -> Any:
    notebook = nbformat.read(path, as_version=4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the kernel's own machinery: sockets, event loops
        client = nbclient.NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(cwd)}})
        asyncio.run(client.async_execute())
    return notebook


@pytest.mark.parametrize("kind", ["complete", "stopped"])
def test_the_pareto_notebook_draws_a_run(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_run(tmp_path / "run", trials=12, per_class=20, side=8, delivered=kind == "complete")
    monkeypatch.setenv("COMPRESSDEFECT_RUN", str(tmp_path / "run"))
    notebook = _execute(NOTEBOOKS / "01_pareto.ipynb", tmp_path)
    shown = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert not [output for output in shown if output.output_type in {"error", "stream"}]
    plots = [o for o in shown if "application/vnd.plotly.v1+json" in o.get("data", {})]
    assert len(plots) == {"complete": 6, "stopped": 4}[kind]


def test_the_compression_notebook_draws_a_run(parts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    split = tmp_path / "split.json"
    api.data_split(str(parts), out=str(split))
    shares = json.loads(split.read_text())
    shares["val"], shares["train"] = shares["train"][::2], shares["train"][1::2]
    split.write_text(json.dumps(shares))
    tiny: dict[str, Any] = {"epochs": 1, "peers": "none"}
    api.train("timm:test_resnet", data=str(parts), split=str(split), input=32, run_dir=tmp_path / "base", **tiny)
    monkeypatch.setattr(pipeline, "FEWEST", 8)  # images to measure ranges on
    api.compress(str(tmp_path / "base"), steps="quantize", run_dir=tmp_path / "run", **tiny)
    monkeypatch.setenv("COMPRESSDEFECT_RUN", str(tmp_path / "run"))
    notebook = _execute(NOTEBOOKS / "02_compress.ipynb", tmp_path)
    shown = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert not [output for output in shown if output.output_type in {"error", "stream"}]
    assert len([o for o in shown if "application/vnd.plotly.v1+json" in o.get("data", {})]) == 1
    assert any("## Compression" in o["data"].get("text/markdown", "") for o in shown)


FIGURES = {"01_pareto": 6, "02_compress": 1}


@pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("*.ipynb")), ids=lambda path: path.stem)
def test_notebooks_are_stored_with_their_figures_as_pictures(path: Path) -> None:
    """They can be judged without running anything, and hold no library and no path of the machine that drew them."""
    cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    shown = [output for cell in cells for output in cell["outputs"]]
    assert len([output for output in shown if "image/png" in output["data"]]) == FIGURES[path.stem]
    assert not [output for output in shown if output["output_type"] in {"error", "stream"}]
    assert not [output for output in shown if "application/vnd.plotly.v1+json" in output["data"]]
    assert path.stat().st_size < 500_000
    assert "/tmp/" not in path.read_text()


def test_the_picture_of_a_report_is_small() -> None:
    assert (NOTEBOOKS.parent / "docs" / "report.png").stat().st_size < 300_000
