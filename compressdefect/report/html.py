"""The report page: one file that opens in any browser, without a network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

from compressdefect.models.graph import Layer
from compressdefect.report import gallery, headline, tables
from compressdefect.report.evidence import Evidence, read_evidence
from compressdefect.report.figures import theme
from compressdefect.report.markup import Markup, element
from compressdefect.report.originals import Extent, Pictures, extents
from compressdefect.report.page import asset, page
from compressdefect.report.sections import model, provenance, search, tested
from compressdefect.runs import atomic_write

POLICY = "default-src 'none'; img-src data: blob:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
"""The browser itself refuses whatever would need a network."""

PLOTLY = "vendor/plotly-basic.min.js"
"""plotly.js 4.1.1 with scatter, bar and pie alone, as npm ships it in ``plotly.js-basic-dist-min``: a quarter of the
library that comes with the Python package."""

_STATUS = {
    "running": "This run had not ended when the page was written.",
    "stopped": "This run was stopped before its end. {way_on}",
}
_UNGROUPED = "Duplicates and groups were not kept together (--group none): the figures may flatter the model."


def write_report(
    run_path: Path,
    *,
    images: Pictures | None = None,
    explanation: gallery.Explanation | None = None,
) -> Path:
    """Write ``report.html`` into a run folder, from what is in it, and ``mistakes.csv`` beside it.

    Args:
        run_path: the run folder; it may have no trials, or no delivered model.
        images: the images that the test answers name, with where their defects are; without them the page names its
            mistakes without showing them, and tells nothing by the size of a defect.
        explanation: what is laid over the pictures.

    Returns:
        The path of the page.

    Raises:
        RunError: it is not a run folder, a file in it is damaged, or the page cannot be written.
    """
    evidence = read_evidence(run_path)
    names = evidence.best.predictions.names if evidence.best and evidence.best.predictions else ()
    marked = extents(images, names) if images else {}
    atomic_write(run_path / "report.html", render(evidence, gallery.compute(evidence, images, explanation), marked))
    if names:
        atomic_write(run_path / tested.MISTAKES, tables.csv_of_mistakes(evidence))
    return run_path / "report.html"


def render(evidence: Evidence, shown: gallery.Gallery, marked: Mapping[str, Extent] | None = None) -> Markup:
    """The whole page; ``marked`` says where the defects of its test images are, as far as it is known."""
    on_test = [
        tested.quality(evidence, marked or {}),
        *tested.mistakes(evidence, shown),
        *tested.near_misses(evidence, shown),
    ]
    searched = search.search(evidence) if evidence.trials else []
    body = [
        *(on_test + searched if evidence.best else searched + on_test),
        *model.model(evidence, layers_of(evidence)),
        *search.trials(evidence),
        provenance.provenance(evidence),
    ]
    name = title(evidence)
    main = element(
        "main",
        _masthead(evidence, name),
        headline.markup(evidence),
        element("nav", [element("a", part.title, href=f"#{part.anchor}") for part in body]),
        [part.markup() for part in body],
    )
    script = f"const TEMPLATES = {{light: {theme.LIGHT.to_json()}, dark: {theme.DARK.to_json()}}};\n{asset('page.js')}"
    return page(name, main, element("script", Markup(script)), policy=POLICY, scripts=[asset(PLOTLY)])


def title(evidence: Evidence) -> str:
    """What the page is called: the task and the data."""
    return f"{evidence.manifest.get('command') or 'run'} on {evidence.data.get('name') or 'unnamed data'}"


def layers_of(evidence: Evidence) -> Sequence[Layer] | None:
    """The delivered network's layers, where they are known."""
    if evidence.best is None:
        return None
    manifest = evidence.best.manifest
    return evidence.best.design.layers(input_shape=manifest.input, heads=manifest.heads) or None


def _masthead(evidence: Evidence, name: str) -> Markup:
    manifest = evidence.manifest
    model = evidence.best.manifest.name if evidence.best else manifest.get("space")
    line = [str(part) for part in (model, _day(manifest.get("started")), f"seed {manifest.get('seed')}") if part]
    status = _STATUS.get(str(manifest.get("status")), "").format(way_on=evidence.way_on)
    banners = [status, _UNGROUPED if evidence.data.get("group") == "none" else None]
    return element(
        "header",
        element("h1", name),
        element("p", " · ".join(line), class_="byline"),
        [element("p", text, class_="banner") for text in banners if text],
    )


def _day(started: str | None) -> str | None:
    return f"{datetime.fromisoformat(started):%d %B %Y, %H:%M %Z}".lstrip("0") if started else None
