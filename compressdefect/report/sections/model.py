"""What was delivered: beside trial 0, beside its peers on the clock, and layer by layer."""

from __future__ import annotations

from collections.abc import Sequence

from compressdefect import units
from compressdefect.models.graph import Layer
from compressdefect.report import tables
from compressdefect.report.evidence import Evidence
from compressdefect.report.figures import compression
from compressdefect.report.markup import Markup, element
from compressdefect.report.sections.frame import Section, plot, scroll, section, tabled


def model(evidence: Evidence, layers: Sequence[Layer] | None) -> list[Section]:
    """The model's own section, where there is anything to say."""
    content: list[Markup] = []
    compared = tables.comparison(evidence)
    if compared:
        text = "Validation metric and latency are those measured in the search; the test came once, at the end."
        content.append(tabled("Winner and trial 0", compared, text))
    rows = evidence.latency
    if rows and evidence.best:
        clock = tables.latency(rows, evidence.best.manifest.name, evidence.shown)
        title = "Latency" if len(rows) == 1 else "Latency beside peers"
        content.append(tabled(title, clock, _clock_note(evidence)))
    parts = _compression(evidence)
    if content:
        parts.append(element("div", content, class_="halves uneven"))
    if layers:
        table = scroll(tables.layers(layers), "Layer by layer", tall=True)
        parts.append(element("figure", element("h3", "Layer by layer"), table))
    return [section("model", "The model", *parts)] if parts else []


def _compression(evidence: Evidence) -> list[Markup]:
    """What each step of a compression gave, where there was one."""
    steps = tables.steps(evidence)
    if steps is None:
        return []
    text = "On validation images, each at the threshold that they give; the row that is set off ships."
    zero = tables.steps_of_zero(evidence)
    alike = [tabled("Trial 0, treated alike", zero, "It was not tested.")] if zero else []
    told = tabled("Compression, step by step", steps, text)
    data = compression.compute(evidence)
    assert data is not None, "where there is a table of steps there are steps"
    note = "To the left is faster, or smaller. A step may cost as much as the dashed line leaves."
    return [plot("compression", compression.draw(data), "Before and after", note), told, *alike]


def _clock_note(evidence: Evidence) -> str:
    """How it was timed, and why the model's latency here is not the one at the top of the page."""
    own, turns = evidence.own_latency, evidence.latency_in_turns
    text = ""
    if own and turns:
        text = "Timed in turns, so that a slow minute hits all alike; compare the ratios. "
        text += "Timed alone after its export, as stated above and on its card, the model took "
        text += f"{units.milliseconds(own.median_ms)}. "
    machine = evidence.best.manifest.machine if evidence.best else {}
    return text + ", ".join(f"{name} {value}" for name, value in machine.items() if value not in (None, ""))
