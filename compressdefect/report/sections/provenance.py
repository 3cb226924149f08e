"""Where it all comes from, so that it can be repeated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from compressdefect import units
from compressdefect.report import tables
from compressdefect.report.evidence import Evidence
from compressdefect.report.figures import pareto
from compressdefect.report.markup import Markup, element
from compressdefect.report.repeat import command
from compressdefect.report.sections.frame import Section, fold, scroll, section, tabled
from compressdefect.report.table import Row, Table, named


def provenance(evidence: Evidence) -> Section:
    """The data and its parts, the command, the versions."""
    manifest, data = evidence.manifest, evidence.data
    budgets = [
        f"{column.replace('_ms', '').replace('peak_bytes', 'memory')} ≤ {pareto.AXES[column].text(limit)}"
        for column, limit in evidence.budgets.items()
        if column in pareto.AXES
    ]
    if "size_bytes" in evidence.budgets:
        budgets.append(f"file ≤ {units.size(evidence.budgets['size_bytes'])}")
    pairs: list[tuple[str, Any]] = [
        ("run", evidence.path.name),
        ("command", manifest.get("command")),
        ("status", manifest.get("status")),
        ("started", manifest.get("started")),
        ("finished", manifest.get("finished")),
        ("data", data.get("name")),
        ("images", data.get("n")),
        ("tiles", f"{data['tiles']}, of {data['tile']} pixels" if data.get("tile") else None),
        ("data fingerprint", data.get("fingerprint")),
        ("classes", ", ".join(evidence.classes)),
        ("space", manifest.get("space")),
        ("objective", manifest.get("objective")),
        ("short trainings", evidence.short_training),
        ("budgets", ", ".join(budgets)),
        ("seed", manifest.get("seed")),
        *(manifest.get("versions") or {}).items(),
    ]
    parts = [*_repeat(manifest), *_parts(data), *_skipped(manifest)]
    return section("provenance", "Provenance", *parts, tabled("This run", tables.facts(pairs)))


def _repeat(manifest: Mapping[str, Any]) -> list[Markup]:
    text = command(manifest)
    if text is None:
        return []
    code = element("pre", element("code", text), tabindex=0, role="region", aria_label="The command")
    hint = "On the same data the same seed draws the same split; --split with this run's split.json makes sure of it."
    return [element("figure", element("h3", "To repeat it"), code, element("figcaption", hint))]


def _parts(data: Mapping[str, Any]) -> list[Markup]:
    """How many images of each class were trained, validated and tested on."""
    parts = data.get("parts") or {name: {} for name in ("train", "val", "test") if data.get(name)}
    if not parts:
        return []
    classes = list(dict.fromkeys(name for counts in parts.values() for name in counts))
    rows = []
    for part, counts in parts.items():
        total = str(sum(counts.values()) or data[part])
        rows.append(Row((_TITLES.get(part, part), total, *(str(counts.get(name, 0)) for name in classes))))
    table = Table(named("part", "images", *classes), rows)
    text = f"Groups: {data.get('group', 'auto')}." + ("" if parts.get("val") else f" {_OUT_OF_FOLD}")
    return [tabled("Images", table, text)]


_TITLES = {"train": "training", "val": "validation", "test": "test", "left_out": "left out"}
_OUT_OF_FOLD = "No part was held out to validate on: what is decided on validation was decided out of fold."


def _skipped(manifest: Mapping[str, Any]) -> list[Markup]:
    """The files that could not be used, and why."""
    files = manifest.get("skipped") or []
    if not files:
        return []
    rows = [Row((str(name), str(reason))) for name, reason in files]
    table = Table((*named("file"), *named("why")), rows)
    title = f"Skipped files: {len(files)}"
    return [element("figure", element("h3", title), fold("Their names", scroll(table, title), on_paper=True))]
