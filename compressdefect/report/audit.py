"""The page of a data audit: what is in the data, and pictures of what is wrong with it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from compressdefect import units
from compressdefect.data.audit.audit import Audit
from compressdefect.data.formats.files import relative_name
from compressdefect.data.pixels import FULL, decode
from compressdefect.data.sample import Finding, Sample
from compressdefect.errors import DataError
from compressdefect.report.draw import annotated, colour_of
from compressdefect.report.markup import Content, Markup, element, join
from compressdefect.report.page import page
from compressdefect.report.pictures import address
from compressdefect.report.table import Column, Row, Table
from compressdefect.runs import atomic_write

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
PER_KIND = 24  # findings of a kind that are shown as pictures
PER_GROUP = 6  # pictures of one finding
MARKED = 12  # classes of which the colours are named
LISTED = 500  # findings of a kind that are listed by name
SIDE = 240

MEANINGS = {
    "unreadable": "files that cannot be opened",
    "refused-path": "annotations that point out of the data folder",
    "missing-image": "annotations of images that are not there",
    "unlabelled": "images about which nothing is said",
    "label-conflict": "one picture, two labels",
    "split-leak": "pictures that are in training and in the test",
    "class-mismatch": "marked defects of another class than the image's, and masks of several levels",
    "empty-mask": "defective images in which nothing is marked",
    "unexpected-mask": "good images in which something is marked, and masks of nearly a whole image",
    "size-mismatch": "masks of another size than their image",
    "box-out-of-bounds": "boxes that leave their image, or have no area",
    "metadata-mismatch": "annotations that describe another image file",
    "bit-depth": "16-bit images that hold fewer bits",
    "capture-class": "classes that were captured or stored unlike the others",
    "duplicate": "identical pictures",
    "near-duplicate": "pictures of the same thing, or nearly so",
    "small-class": "classes with few images",
}

_PLAIN = {"near-duplicate", "duplicate", "split-leak"}  # shown without their annotations
_UNSEEN = {
    "small-class",
    "capture-class",
    "metadata-mismatch",
    "bit-depth",
    "unreadable",
    "missing-image",
}  # in pictures


class Card(NamedTuple):
    """A finding with its pictures as JPEG data addresses, each with the line under it."""

    finding: Finding
    pictures: list[tuple[str, str]]


class Kind(NamedTuple):
    """All findings of one kind, some of them as cards; ``marked`` are the classes drawn in them and their colours."""

    kind: str
    findings: list[Finding]
    cards: list[Card]
    marked: list[tuple[str, str]]


def write_audit(audit: Audit, path: Path) -> None:
    """Write the page.

    Raises:
        RunError: it cannot be written.
    """
    atomic_write(path, render(audit, compute(audit)))


def compute(audit: Audit, *, per_kind: int = PER_KIND) -> list[Kind]:
    """The findings by kind with their pictures; of groups the largest are shown."""
    samples = {relative_name(sample.path, audit.root): sample for sample in audit.samples}
    classes = sorted({region.label for sample in audit.samples for region in sample.regions or ()})
    by_kind: dict[str, list[Finding]] = {}
    for finding in audit.findings:
        by_kind.setdefault(finding.kind, []).append(finding)
    kinds = []
    for kind, findings in by_kind.items():
        shown = [] if kind in _UNSEEN else sorted(findings, key=lambda f: -len(f.files))[:per_kind]
        cards = [Card(finding, _pictures(finding, samples, classes, audit.bits or FULL)) for finding in shown]
        drawn = {} if kind in _PLAIN else {name: samples[name] for f in shown for name in f.files if name in samples}
        labels = sorted({region.label for sample in drawn.values() for region in sample.regions or ()})
        marked = [(label, "#" + bytes(colour_of(label, classes)).hex()) for label in labels[:MARKED]]
        kinds.append(Kind(kind, findings, [card for card in cards if card.pictures], marked))
    return kinds


def render(audit: Audit, kinds: Sequence[Kind]) -> Markup:
    """The whole page; it needs neither a network nor scripts."""
    title = f"Check of {audit.name}"
    links = [element("a", f"{_title(kind.kind)} {len(kind.findings)}", href=f"#{kind.kind}") for kind in kinds]
    body = element(
        "main",
        element("header", element("h1", title), element("p", _byline(audit), class_="byline")),
        element("p", _lead(audit, kinds), class_="lead"),
        _tiles(audit),
        element("nav", element("a", "The images", href="#images"), links),
        _section("images", "The images", _images(audit)),
        [_section(kind.kind, _title(kind.kind), _kind(kind)) for kind in kinds],
    )
    return page(title, body, policy=POLICY, styles=("page.css", "audit.css"))


def _byline(audit: Audit) -> str:
    sizes = list(audit.sizes)
    parts = [f"{count} with {channels} channel{'s' * (channels != 1)}" for channels, count in audit.channels.items()]
    if len(sizes) == 1:
        parts.append(f"all of {sizes[0][1]} × {sizes[0][0]} pixels")
    elif sizes:
        small, large = min(sizes, key=_area), max(sizes, key=_area)
        parts.append(f"{len(sizes)} sizes from {small[1]} × {small[0]} to {large[1]} × {large[0]} pixels")
    parts += [f"read as {audit.format}"] if audit.format else []
    parts += [f"not read: {', '.join(audit.ignored_tables)}"] if audit.ignored_tables else []
    return " · ".join(parts)


def _area(size: tuple[int, int]) -> int:
    return size[0] * size[1]


def _lead(audit: Audit, kinds: Sequence[Kind]) -> str:
    if not kinds:
        return f"{len(audit.samples)} images were opened, and nothing is wrong with them."
    files = len({name for kind in kinds for finding in kind.findings for name in finding.files})
    counts = ", ".join(f"{kind.kind.replace('-', ' ')} ({len(kind.findings)})" for kind in kinds)
    return f"{files} file{'s' * (files != 1)} deserve{'s' * (files == 1)} a look: {counts}."


def _tiles(audit: Audit) -> Markup:
    counts = [count for count in audit.classes.values() if count] or [0]
    spread = f"{min(counts)} to {max(counts)} images each" if len(set(counts)) > 1 else f"{counts[0]} images each"
    parts = ", ".join(audit.splits) or "no official split"
    good = f", {audit.good} is good" if audit.good else ""
    groups = f"{len(audit.groups)} group{'s' * (len(audit.groups) != 1)}"
    return element(
        "div",
        _tile("Images", f"{len(audit.samples)}", parts),
        _tile("Classes", f"{len(audit.classes)}", spread + good),
        _tile("With a twin", f"{audit.twins}", f"have a duplicate or near duplicate; {groups}"),
        _tile(
            "Leak of a random split",
            units.percent(audit.leak),
            "of the test half would have a twin in the training half; --group auto keeps groups together",
        ),
        class_="tiles",
    )


def _tile(title: str, value: str, text: str) -> Markup:
    return element("div", element("h3", title), element("strong", value), element("span", text), class_="tile")


def _images(audit: Audit) -> Markup:
    parts = list(audit.splits)
    rows = [
        [name, str(count), *(str(audit.splits[part].get(name, 0)) for part in parts)]
        for name, count in audit.classes.items()
    ]
    classes = element("figure", element("h3", "Images by class"), _table(["class", "images", *parts], rows))
    sizes = [[f"{w} × {h}", str(count)] for (h, w), count in Counter(audit.sizes).most_common(12)]
    more = f" The 12 most frequent of {len(audit.sizes)}." if len(audit.sizes) > len(sizes) else ""
    shown = element("figure", element("h3", "Sizes"), _table(["width × height", "images"], sizes), _caption(more))
    return element("div", classes, shown, class_="halves")


def _caption(text: str) -> Content:
    return element("figcaption", text) if text else []


def _kind(kind: Kind) -> Markup:
    one_each = all(len(finding.files) == 1 for finding in kind.findings)
    advice = [element("p", _sentence(a), class_="note") for a in dict.fromkeys(f.advice for f in kind.findings)][:3]
    layout = "cards findings" if one_each else "rows findings"
    cards = element("div", [_card(card) for card in kind.cards], class_=layout)
    keys = [element("span", element("i", style=f"background:{colour}"), label) for label, colour in kind.marked]
    legend = element("p", keys, class_="legend")
    rows = [[_names(finding.files), finding.message] for finding in kind.findings[:LISTED]]
    left_out = len(kind.findings) - len(rows)
    more = element("p", f"{left_out} more are listed by --json.", class_="note") if left_out else ""
    whole = len(kind.cards) == len(kind.findings) and all(len(f.files) <= PER_GROUP for f in kind.findings)
    listing = element("div", _table(["files", "what"], rows), class_="scroll tall")
    body = listing if not kind.cards else element("details", element("summary", f"All {len(kind.findings)}"), listing)
    return join(
        element("p", f"{MEANINGS.get(kind.kind, '')}: {len(kind.findings)}", class_="what"),
        advice,
        [legend] if kind.marked and kind.cards else [],
        [cards] if kind.cards else [],
        [] if whole else [body],
        more,
    )


def _card(card: Card) -> Markup:
    panes = [
        element("figure", element("img", src=picture, alt=name), element("figcaption", name))
        for name, picture in card.pictures
    ]
    hidden = len(card.finding.files) - len(card.pictures)
    text = f"{card.finding.message}; {hidden} more are not shown" if hidden else card.finding.message
    return element("div", element("div", panes, class_="strip"), element("span", _sentence(text)), class_="card")


def _names(files: Sequence[str]) -> str:
    shown = ", ".join(files[:PER_GROUP])
    return shown + (f" and {len(files) - PER_GROUP} more" if len(files) > PER_GROUP else "")


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> Markup:
    """A table whose cells are right-aligned where the column holds counts."""
    numeric = [bool(rows) and all(row[column].isdigit() for row in rows) for column in range(len(header))]
    columns = tuple(Column(title, number) for title, number in zip(header, numeric, strict=True))
    return Table(columns, [Row(tuple(row)) for row in rows]).markup()


def _section(anchor: str, title: str, content: Markup) -> Markup:
    return element("section", element("h2", title), content, id=anchor)


def _title(kind: str) -> str:
    return _sentence(kind.replace("-", " "), stop="")


def _sentence(text: str, stop: str = ".") -> str:
    return f"{text[:1].upper()}{text[1:]}{stop if text else ''}"


def _pictures(finding: Finding, samples: dict[str, Sample], classes: Sequence[str], bits: int) -> list[tuple[str, str]]:
    pictures = []
    for name in finding.files[:PER_GROUP]:
        if name in samples:
            address = _picture(samples[name], classes, bits, plain=finding.kind in _PLAIN)
            caption = _caption_of(name, samples[name]) if len(finding.files) > 1 else name
            pictures += [(caption, address)] if address else []
    return pictures


def _caption_of(name: str, sample: Sample) -> str:
    """The name of a file, with its part and class where the name does not tell."""
    facts = [fact for fact in (sample.split, sample.label) if fact is not None and fact not in name]
    return f"{name} ({', '.join(facts)})" if facts else name


def _picture(sample: Sample, classes: Sequence[str], bits: int, *, plain: bool) -> str | None:
    try:
        picture = annotated(decode(sample.path, bits), None if plain else sample.regions, SIDE, classes)
    except (DataError, OSError):
        return None
    return address(picture)
