"""What the delivered model does on the test images: which defects escape, and where it is wrong or nearly so."""

from __future__ import annotations

from collections.abc import Mapping

from compressdefect import units
from compressdefect.report import escapes, gallery, tables
from compressdefect.report.evidence import Evidence, Predictions
from compressdefect.report.figures import confusion, operating
from compressdefect.report.markup import Markup, element, join
from compressdefect.report.originals import Extent
from compressdefect.report.sections.frame import Section, empty, fold, note, plot, scroll, section, tabled

MISTAKES = "mistakes.csv"
"""The file beside the page that names every mistake."""


def quality(evidence: Evidence, extents: Mapping[str, Extent]) -> Section:
    """The figures on the test images."""
    if evidence.best is None or evidence.best.predictions is None:
        text = f"The test images were not touched: no model was delivered. {evidence.way_on}"
        return section("test", "On the test images", empty(text))
    parts = [*_operating(evidence), *_escapes(evidence, extents), _classes(evidence)]
    return section("test", "On the test images", *parts)


def mistakes(evidence: Evidence, shown: gallery.Gallery) -> list[Section]:
    """The mistakes as pictures, escapes first, and by name."""
    if evidence.best is None or evidence.best.predictions is None:
        return []
    if not shown.mistakes:
        return [section("mistakes", "Its mistakes", empty(_no_mistake(evidence.best.predictions, evidence.good)))]
    table, count = tables.wrong_answers(evidence), sum(len(g.cards) + g.left_out for g in shown.mistakes)
    assert table is not None
    summary = f"The first {len(table.rows)} of {count} by name" if len(table.rows) < count else f"All {count} by name"
    link = element("p", "As a file with all of them: ", element("a", MISTAKES, href=MISTAKES), class_="note")
    names = fold(summary, scroll(table, "Mistakes by name", tall=True), on_paper=True)
    pictures = gallery.draw(evidence, shown.mistakes)
    return [section("mistakes", "Its mistakes", note(shown.note), pictures, names, link)]


def _no_mistake(predictions: Predictions, good: int | None) -> str:
    n = len(predictions.labels)
    if good is not None and predictions.threshold is None:
        return f"None of {n} test images by the most probable class; no threshold was chosen, so none was decided."
    return f"None: all {n} test images were decided rightly."


def near_misses(evidence: Evidence, shown: gallery.Gallery) -> list[Section]:
    """The right verdicts that were nearly wrong, as pictures."""
    if not shown.near:
        return []
    text = "Decided rightly, by the smallest margins: what a little drift of light or focus would change first."
    text += "" if shown.mistakes else f" {shown.note}"  # which stands over the mistakes where there are any
    return [section("near", "Near misses", note(text), gallery.draw(evidence, shown.near))]


def _operating(evidence: Evidence) -> list[Markup]:
    point = operating.compute(evidence)
    if point is None:
        why = "No class counts as good here, so there is no escape or overkill; --good NAME names one."
        if evidence.good is not None:
            why = "The test images are all good or all defective, or no threshold was chosen: no operating point."
        return [note(why)]
    curve = plot("operating", operating.draw(point), "Operating point", _point_note(point))
    text = "Every image right of the line is rejected."
    scores = plot("scores", operating.draw_scores(point), "Scores", text, operating.scores_table(point))
    return [element("div", curve, scores, class_="halves")]


def _escapes(evidence: Evidence, extents: Mapping[str, Extent]) -> list[Markup]:
    content = []
    other = escapes.by_overkill(evidence)
    if other:
        title = "What another overkill would cost"
        content.append(tabled(title, escapes.overkill_table(other), escapes.overkill_note(other)))
    types, sizes = escapes.by_type(evidence), escapes.by_size(evidence, extents)
    pair = []
    if types:
        text = "Passed as good at the threshold. A defect that is rejected as another one does not escape."
        pair.append(tabled("Escape by type of defect", escapes.type_table(types), text))
    if sizes:
        text = "Marked pixels of the original image, all of its defects together."
        pair.append(tabled("Escape by size of defect", escapes.size_table(sizes), text))
    return [*content, *([element("div", pair, class_="halves")] if pair else [])]


def _classes(evidence: Evidence) -> Markup:
    assert evidence.best is not None
    assert evidence.best.predictions is not None
    matrix = confusion.compute(evidence)
    assert matrix is not None
    by_threshold = evidence.good is not None and evidence.best.predictions.threshold is not None
    decided = "Decided at the chosen threshold" if by_threshold else "Decided by the most probable class"
    text = f"{decided}: images of each class (rows) by the answer they got (columns)."
    grid = tabled("Confusion matrix", confusion.draw(matrix), text)
    recall, pixels = tables.per_class(evidence), tables.overlap(evidence)
    content = [scroll(recall, "By class"), element("figcaption", f"{decided}.")] if recall else []
    if pixels:
        text = "Pixels are pooled over the images, each by its most probable class. Below, images by the class of which"
        content = [scroll(pixels, "By class of pixels"), element("figcaption", f"{text} they have most."), *content]
    classes = element("figure", element("h3", "By class"), join(*content))
    return element("div", grid, classes, class_="halves")


def _point_note(data: operating.OperatingData) -> str:
    return (
        f"The threshold was chosen for {100 * data.aim:g} % overkill on images that were not tested. On test it gives "
        f"{units.percent(data.chosen[0])} overkill ({units.interval(data.overkill_interval)}) and "
        f"{units.percent(data.chosen[1])} escapes ({units.interval(data.escape_interval)})."
    )
