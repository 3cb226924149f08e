"""The delivered model's mistakes on the test images, as pictures: escapes first, each with where the model looked."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from compressdefect import units
from compressdefect.report.evidence import Evidence
from compressdefect.report.markup import Markup, element, join
from compressdefect.report.verdicts import CONFUSION, ESCAPE, OVERKILL, Mistake, mistakes

KINDS = {
    ESCAPE: ("Escapes", "defective parts that it passed"),
    OVERKILL: ("Overkill", "good parts that it rejected"),
    CONFUSION: ("Confusions", "defects that it took for another class"),
}
"""In the order in which they are shown."""

PER_KIND = 24
PICTURE_SIDE = 320
HEAT_SIDE = 64

ActivationMap = Callable[[NDArray[np.uint8], int], NDArray[np.floating[Any]]]
"""``cam(pixels (N, C, H, W), class)``: how much each place speaks for a class, (N, H, W) in [0, 1]."""


Layers = Callable[[Sequence[int]], Sequence[NDArray[np.uint8]]]
"""``layers(rows)``: what is laid over these images instead, such as outlines, RGBA (4, H, W) each."""


class Pictures(Protocol):
    """Images by name."""

    @property
    def names(self) -> Sequence[str]: ...  # noqa: D102

    def picture(self, index: int) -> NDArray[np.uint8]:
        """Pixels (C, H, W)."""


class Card(NamedTuple):
    """One mistake; ``picture`` and the ``layer`` over it are PNG data addresses, ``shown`` is the class it is about."""

    mistake: Mistake
    picture: str | None
    layer: str | None
    shown: int


class Group(NamedTuple):
    """The mistakes of one kind; ``left_out`` more are not shown."""

    kind: str
    cards: list[Card]
    left_out: int


def compute(
    evidence: Evidence,
    images: Pictures | None = None,
    cam: ActivationMap | None = None,
    layers: Layers | None = None,
    *,
    per_kind: int = PER_KIND,
) -> list[Group]:
    """The mistakes by kind, escapes first; empty where all is right, or nothing was tested."""
    if evidence.best is None or evidence.best.predictions is None:
        return []
    found = mistakes(evidence.best.predictions, evidence.good)
    rows = {name: row for row, name in enumerate(images.names)} if images else {}
    groups = []
    for kind in KINDS:
        members = [mistake for mistake in found if mistake.kind == kind]
        chosen = members[:per_kind]
        if members:
            groups.append(Group(kind, _cards(chosen, images, rows, cam, layers), len(members) - len(chosen)))
    return groups


def draw(evidence: Evidence, groups: Sequence[Group]) -> Markup:
    """The mistakes as cards under a heading for each kind."""
    cards = [card for group in groups for card in group.cards]
    note = "The pictures were not at hand when this page was written."
    if any(card.layer for card in cards) and evidence.segments:
        note = "Each image stands beside itself with outlines over it: green around the defects that are there, red"
        note += " around the pixels that the model would reject the part for."
    elif any(card.layer for card in cards):
        note = "Each image stands beside itself with the class activation map over it: the redder, the more that place"
        note += " spoke for the class named under it, and clear where none did."
        note += " Escapes show the defect that was missed." if groups[0].kind == ESCAPE else ""
    elif any(card.picture for card in cards):
        note = "The test images as the model saw them."
    return join(element("p", note, class_="note"), [_group(evidence, group) for group in groups])


def evidence_class(mistake: Mistake) -> int:
    """The class whose map explains a mistake: the defect that was missed, else the answer that was wrong."""
    return mistake.label if mistake.kind == ESCAPE else mistake.answer


def png(pixels: NDArray[np.uint8]) -> str:
    """An image (C, H, W), grey, RGB or RGBA, as a PNG data address; large ones are scaled down."""
    picture = Image.fromarray(pixels[0] if pixels.shape[0] == 1 else np.ascontiguousarray(pixels.transpose(1, 2, 0)))
    picture.thumbnail((PICTURE_SIDE, PICTURE_SIDE))
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def heat_png(heat: NDArray[np.floating[Any]]) -> str:
    """A map (H, W) in [0, 1] as a small see-through PNG: clear where cold, then yellow, then red."""
    small = np.asarray(Image.fromarray(np.float32(heat)).resize((HEAT_SIDE, HEAT_SIDE), Image.Resampling.BILINEAR))
    small = np.clip(np.nan_to_num(small), 0.0, 1.0)
    red, green, blue = np.full_like(small, 255.0), 225.0 * (1.0 - small**1.5), np.full_like(small, 30.0)
    alpha = 190.0 * small
    return png(np.stack([red, green, blue, alpha]).round().astype(np.uint8))


def _group(evidence: Evidence, group: Group) -> Markup:
    title, meaning = KINDS[group.kind]
    meaning = "images that it put in another class" if evidence.good is None else meaning
    head = element("h3", f"{title}: {len(group.cards) + group.left_out} ", element("small", meaning))
    cards = element("div", [_card(evidence, card) for card in group.cards], class_="cards")
    more = f"{group.left_out} more of this kind are not shown; the model was less sure of them."
    note = [element("p", more, class_="note")] if group.left_out else []
    return element("div", head, cards, note, class_=f"group {group.kind}")


def _card(evidence: Evidence, card: Card) -> Markup:
    mistake, names = card.mistake, evidence.classes
    panes = []
    if card.picture:
        panes.append(element("div", class_="pane", role="img", aria_label=mistake.name))
    if card.layer:
        said = "outlines" if evidence.segments else f"what speaks for {names[card.shown]}"
        panes.append(element("div", element("img", src=card.layer, alt=said), class_="pane"))
    label, answer = element("em", names[mistake.label]), element("em", names[mistake.answer])
    lines = [
        element("b", mistake.name, title=mistake.name),
        element("span", "true ", label, ", answered ", answer),
        element("span", _score(evidence, mistake)),
        *(
            [element("span", "map of ", element("em", names[card.shown]))]
            if card.layer and not evidence.segments
            else []
        ),
    ]
    style = f"--picture:url({card.picture})" if card.picture else None
    return element("div", element("div", panes, class_="panes"), lines, class_="card", style=style)


def _score(evidence: Evidence, mistake: Mistake) -> str:
    if mistake.kind == CONFUSION:
        return f"probability {units.probability(mistake.score)}"
    threshold = evidence.best.manifest.threshold if evidence.best else None
    limit = "" if threshold is None else f", rejected above {units.probability(threshold)}"
    return f"score {units.probability(mistake.score)}{limit}"


def _cards(
    chosen: list[Mistake],
    images: Pictures | None,
    rows: dict[str, int],
    cam: ActivationMap | None,
    layers: Layers | None,
) -> list[Card]:
    found, drawn = [m for m in chosen if m.name in rows], {}
    if images is not None and found and layers is not None:
        drawn = {m.row: png(layer) for m, layer in zip(found, layers([rows[m.name] for m in found]), strict=True)}
    elif images is not None and cam is not None:
        drawn = _heats(found, images, rows, cam)
    cards = []
    for mistake in chosen:
        picture = png(images.picture(rows[mistake.name])) if images is not None and mistake.name in rows else None
        cards.append(Card(mistake, picture, drawn.get(mistake.row), evidence_class(mistake)))
    return cards


def _heats(found: list[Mistake], images: Pictures, rows: dict[str, int], cam: ActivationMap) -> dict[int, str]:
    heats: dict[int, str] = {}
    for target in sorted({evidence_class(m) for m in found}):
        members = [m for m in found if evidence_class(m) == target]
        maps = cam(np.stack([images.picture(rows[m.name]) for m in members]), target)
        heats |= {m.row: heat_png(heat) for m, heat in zip(members, maps, strict=True)}
    return heats
