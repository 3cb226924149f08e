"""Draw the pictures that the README and the notebooks show, from a run: ``python -m docs.pictures RUN``.

It takes the top of a search's report, and executes the notebook on the run of a search or of a compression and keeps
its figures as pictures, so that both can be judged without running anything. Chromium and chromedriver are needed.
"""

from __future__ import annotations

import asyncio
import base64
import io
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import nbclient
import nbformat
from PIL import Image

from compressdefect.report.html import PLOTLY
from compressdefect.report.page import asset
from compressdefect.runs import RunFolder
from tests.browser import chromium, open_page, picture

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = {"search": "01_pareto.ipynb", "compress": "02_compress.ipynb"}  # by the command that made the run
PLOT = "application/vnd.plotly.v1+json"
TOP = 1580  # pixels of the report: its head and its first section
COLORS = 128
FIGURE = 900  # pixels across


def main(run: Path) -> None:
    """Write the notebook's outputs, and ``docs/report.png`` of a search."""
    made_by = str(RunFolder.open(run).manifest["command"])
    path = ROOT / "notebooks" / NOTEBOOKS[made_by]
    with chromium() as browser, tempfile.TemporaryDirectory() as folder:
        if made_by == "search":
            open_page(browser, run / "report.html")
            (ROOT / "docs" / "report.png").write_bytes(small(picture(browser, TOP)))
        notebook = executed(path, run)
        for cell in notebook.cells:
            for output in cell.get("outputs", []):
                data = output.get("data", {})
                if PLOT in data:
                    drawn = drawing(browser, data[PLOT], Path(folder) / "figure.html")
                    output["data"] = {"image/png": base64.b64encode(drawn).decode()}
                elif "text/html" in data:
                    output["data"] = {"text/html": data["text/html"]}
    nbformat.write(notebook, path)


def executed(path: Path, run: Path) -> Any:
    """The notebook with its outputs, and without what changes from time to time."""
    os.environ["COMPRESSDEFECT_RUN"] = str(run.resolve())
    notebook = nbformat.read(path, as_version=4)
    asyncio.run(nbclient.NotebookClient(notebook, timeout=300).async_execute())
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
    return notebook


def drawing(browser: Any, figure: Any, page: Path) -> bytes:
    """A plotly figure as PNG."""
    height = figure["layout"].get("height", 400)
    plot = f'<div class="plotly-graph-div" id="figure" style="width:{FIGURE}px;height:{height}px"></div>'
    parts = ", ".join(json.dumps(part) for part in (figure["data"], figure["layout"], {"displayModeBar": False}))
    code = f"Plotly.newPlot('figure', {parts})"
    page.write_text(f"<body style='margin:0'>{plot}<script>{asset(PLOTLY)}</script><script>{code}</script>")
    open_page(browser, page, FIGURE)
    return small(picture(browser, height))


def small(png: bytes) -> bytes:
    """The same picture in few colours."""
    buffer = io.BytesIO()
    Image.open(io.BytesIO(png)).convert("RGB").quantize(COLORS).save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
