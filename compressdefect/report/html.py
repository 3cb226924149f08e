"""The report page: one file that opens in any browser, without a network."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from plotly.offline import get_plotlyjs

from compressdefect.models.template import Layer
from compressdefect.report import gallery, headline, sections
from compressdefect.report.evidence import Evidence, read_evidence
from compressdefect.report.figures import theme
from compressdefect.report.markup import Markup, element
from compressdefect.report.page import asset, page
from compressdefect.runs import atomic_write

POLICY = "default-src 'none'; img-src data: blob:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
"""The browser itself refuses whatever would need a network."""

_STATUS = {
    "running": "This run had not ended when the page was written.",
    "stopped": "This run was stopped before its end. {way_on}",
}
_UNGROUPED = "Duplicates and groups were not kept together (--group none): the figures may flatter the model."


def write_report(
    run_path: Path,
    *,
    images: gallery.Pictures | None = None,
    cam: gallery.ActivationMap | None = None,
    layers: gallery.Layers | None = None,
) -> Path:
    """Write ``report.html`` into a run folder, from what is in it.

    Args:
        run_path: the run folder; it may have no trials, or no delivered model.
        images: for the gallery, the images that the test answers name; without them it lists names only.
        cam: class activation maps for the gallery: (N, C, H, W) uint8 and a class → (N, H, W) in [0, 1].
        layers: what is laid over the gallery's images instead: their rows in ``images`` → RGBA (4, H, W) each.

    Returns:
        The path of the page.

    Raises:
        RunError: it is not a run folder, a file in it is damaged, or the page cannot be written.
    """
    evidence = read_evidence(run_path)
    page = render(evidence, gallery.compute(evidence, images, cam, layers))
    atomic_write(run_path / "report.html", page)
    return run_path / "report.html"


def render(evidence: Evidence, groups: Sequence[gallery.Group]) -> Markup:
    """The whole page."""
    tested = [sections.quality(evidence), *sections.wrong(evidence, groups)]
    searched = sections.search(evidence) if evidence.trials else []
    body = [
        *(tested + searched if evidence.best else searched + tested),
        *sections.model(evidence, layers_of(evidence)),
        *sections.trials(evidence),
        sections.provenance(evidence),
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
    return page(name, main, element("script", Markup(script)), policy=POLICY, scripts=[get_plotlyjs()])


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
