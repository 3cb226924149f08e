"""``card.md``: what an inspection engineer needs to know about a model before it decides over parts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from compressdefect import units

if TYPE_CHECKING:
    from compressdefect.deploy.manifest import Agreement, BundleManifest, GraphFigures


def render_card(manifest: BundleManifest) -> str:
    """The card as Markdown, the operating point first.

    Every section comes from the manifest, and one without evidence says so rather than being left out.
    """
    sections = [
        f"# {manifest.name}",
        _summary(manifest),
        "## At the line\n\n" + _operating_point(manifest),
        "## Accuracy\n\n" + _accuracy(manifest),
        "## Cost\n\n" + _cost(manifest),
        "## Latency\n\n" + _latency(manifest),
        "## Data\n\n" + _data(manifest.data),
        "## Training\n\n" + _facts(manifest.training, "none: the weights are random"),
        *(["## Compression\n\n" + _steps(manifest.steps)] if manifest.steps else []),
        "## The graph\n\n" + _graph(manifest),
        "## Deviations\n\n" + ("\n".join(f"- {text}" for text in manifest.deviations) or "None."),
        "## Made with\n\n" + _facts(manifest.versions, "unknown"),
    ]
    return "\n\n".join(sections) + "\n"


def _summary(manifest: BundleManifest) -> str:
    channels, height, width = manifest.input
    kind = {1: "grey", 3: "RGB"}.get(channels, f"{channels}-channel")
    good = f" A good part is `{manifest.classes[manifest.good]}`." if manifest.good is not None else ""
    heads = "; ".join(f"{head}: {', '.join(f'`{name}`' for name in names)}" for head, names in manifest.heads.items())
    takes = f"Takes {kind} {_shown(manifest)}s at {height}×{width}"
    tile = manifest.preprocessing.tile
    if tile is not None:
        takes += f", which overlap and show {tile}×{tile} pixels of an image; cost and latency are of one tile"
    bits = manifest.preprocessing.bits
    if bits is not None:
        takes += f", of 16-bit files {bits} bits"
    return f"Made {manifest.created}. Task: {manifest.task}. {takes}. Answers for {heads}.{good}"


def _shown(manifest: BundleManifest) -> str:
    return "image" if manifest.preprocessing.tile is None else "tile"


def _operating_point(manifest: BundleManifest) -> str:
    if manifest.good is None:
        return "No class is a good part, so there is no threshold, no escape rate and no overkill."
    if manifest.threshold is None:
        return "No threshold has been chosen: this model is not ready to decide."
    header = ("", "escape: defects passed", "95 %", "overkill: good parts rejected", "95 %", "images")
    rows = [
        (
            title,
            f"**{units.percent(figures.get('escape'))}**",
            units.interval(figures.get("escape_interval")),
            f"**{units.percent(figures.get('overkill'))}**",
            units.interval(figures.get("overkill_interval")),
            figures.get("n", units.NONE),
        )
        for title, figures in _splits(manifest)
    ]
    rule = (
        f"A part is rejected when {manifest.reading.decided_by} is above "
        f"**{units.probability(manifest.threshold)}**. "
        "The threshold was chosen on images that were not tested; the test figures are what to expect."
    )
    return f"{rule}\n\n{_table(header, rows)}"


def _accuracy(manifest: BundleManifest) -> str:
    columns, splits = manifest.reading.figures, _splits(manifest)
    if not splits:
        return "Not evaluated."
    rows = [
        (title, *(_rate(figures.get(key)) for key, _ in columns), figures.get("n", units.NONE))
        for title, figures in splits
    ]
    table = _table(("", *(title for _, title in columns), "images"), rows)
    return f"{table}\n\n{manifest.reading.notes}" if manifest.reading.notes else table


def _cost(manifest: BundleManifest) -> str:
    cost, budgets = manifest.cost, manifest.budgets
    rows = [
        ("parameters", units.count(cost.params), _limit(budgets.get("params"), units.count)),
        ("MACs", units.count(cost.macs), _limit(budgets.get("macs"), units.count)),
        ("FLOPs (2 per MAC)", units.count(cost.flops), _limit(budgets.get("flops"), units.count)),
        ("peak activations", units.size(cost.peak_bytes), _limit(budgets.get("memory"), units.size)),
        ("graph file", units.size(manifest.shipped.bytes), _limit(budgets.get("size"), units.size)),
    ]
    return _table(("", "value", "budget"), rows)


def _latency(manifest: BundleManifest) -> str:
    rows = [
        (graph.precision, row.batch, row.threads, units.milliseconds(row.median_ms), units.milliseconds(row.p95_ms))
        for graph in manifest.graphs.values()
        for row in graph.latency
    ]
    if not rows:
        return "Not measured."
    shown = _shown(manifest)
    table = _table(("precision", "batch", "threads", f"median per {shown}", f"p95 per {shown}"), rows)
    limit = manifest.budgets.get("latency")
    budget = f"\n\nBudget: {units.milliseconds(limit)}." if limit is not None else ""
    machine = "; ".join(f"{key.replace('_', ' ')} {_value(value)}" for key, value in manifest.machine.items())
    return f"{table}{budget}\n\nMeasured on: {machine}."


def _graph(manifest: BundleManifest) -> str:
    pixels = manifest.preprocessing
    rows = [
        ("input", f"`pixels`, {pixels.pixels}, resized {pixels.resize}"),
        *(("output", f"`{name}`, float32 {shape}") for name, shape in manifest.reading.outputs.items()),
        ("mean inside", ", ".join(f"{value:.4g}" for value in pixels.mean)),
        ("std inside", ", ".join(f"{value:.4g}" for value in pixels.std)),
        *((f"`{name}`", _described(graph, manifest)) for name, graph in manifest.graphs.items()),
        ("default graph", f"`{manifest.default_graph}`"),
    ]
    return _table(("", ""), rows)


def _described(graph: GraphFigures, manifest: BundleManifest) -> str:
    size = f"{graph.precision}, {units.size(graph.bytes)}, parity with the trained network"
    if graph.agreement is not None:
        return f"{graph.precision}, {units.size(graph.bytes)}, {_agreed(graph, graph.agreement, manifest)}"
    if graph.parity is None:
        return f"{size} not checked"
    return f"{size}: largest difference {graph.parity.max_difference:.1e} on {graph.parity.images} {_shown(manifest)}s"


def _agreed(graph: GraphFigures, agreement: Agreement, manifest: BundleManifest) -> str:
    images = "validation images" if manifest.data.get("val") else "training images, out of fold,"
    said = f"{graph.made}; of {agreement.images} {images} {units.percent(agreement.verdicts)} are judged as by"
    said += f" the float graph, and probabilities differ by {agreement.mean_difference:.1e} on average"
    where = f"; made on a CPU with {', '.join(graph.instructions)}" if graph.instructions else ""
    threshold = "" if graph.threshold is None else f"; its threshold is {units.probability(graph.threshold)}"
    return f"{said}{where}{threshold}"


def _steps(steps: Sequence[dict[str, Any]]) -> str:
    """What each step gave and cost, on validation images."""
    return _table(units.STEP, map(units.step, steps))


def _splits(manifest: BundleManifest) -> list[tuple[str, dict[str, Any]]]:
    titles = (("test", "test"), ("val", "validation" if manifest.data.get("val") else "out of fold"))
    return [(title, manifest.metrics[key]) for key, title in titles if key in manifest.metrics]


def _data(data: dict[str, Any]) -> str:
    parts = data.get("parts") or {}
    told = {key: value for key, value in data.items() if key != "parts"}
    if data.get("good") is not None:
        told["good"] = data["classes"][data["good"]]
    facts = _facts(told, "no data: the model is untrained")
    if not parts:
        return facts
    rows = [(name.replace("_", " "), sum(counts.values()), *counts.values()) for name, counts in parts.items()]
    return f"{facts}\n\n{_table(('', 'images', *next(iter(parts.values()))), rows)}"


def _facts(facts: dict[str, Any] | dict[str, str], none: str) -> str:
    if not facts:
        return f"{none[0].upper()}{none[1:]}."
    return _table(("", ""), [(key.replace("_", " "), _value(value)) for key, value in facts.items()])


def _value(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_value(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_value, value))
    return f"{value:.4g}" if isinstance(value, float) else units.NONE if value is None else str(value)


def _table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)


def _limit(value: float | None, form: Any) -> str:
    return units.NONE if value is None else f"≤ {form(value)}"


def _rate(value: float | Sequence[float] | None) -> str:
    return units.interval(value) if isinstance(value, Sequence) else units.percent(value)
