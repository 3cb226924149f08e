"""The delivered model's mistakes and near misses on the test images, as pictures, each with where the model looked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from compressdefect import units
from compressdefect.errors import ModelError
from compressdefect.report import pictures
from compressdefect.report.evidence import Evidence
from compressdefect.report.markup import Markup, element, join
from compressdefect.report.originals import Box, Pictures
from compressdefect.report.verdicts import (
    CONFUSION,
    ESCAPE,
    NEAR_CONFUSION,
    NEAR_ESCAPE,
    NEAR_OVERKILL,
    OVERKILL,
    Mistake,
    mistakes,
    near_misses,
)

MISTAKES = {
    ESCAPE: ("Escapes", "defective parts that it passed"),
    OVERKILL: ("Overkill", "good parts that it rejected"),
    CONFUSION: ("Confusions", "defects that it took for another class"),
}
NEAR_MISSES = {
    NEAR_ESCAPE: ("Nearly escaped", "the rejected defects with the lowest scores"),
    NEAR_OVERKILL: ("Nearly rejected", "the passed good parts with the highest scores"),
    NEAR_CONFUSION: ("Nearly confused", "the right answers with the smallest lead over another class"),
}
"""Both in the order in which they are shown."""

PER_KIND = 24


class Part(NamedTuple):
    """A part of an image in shares of its height and width."""

    top: float
    left: float
    bottom: float
    right: float

    @classmethod
    def of(cls, box: Box, height: int, width: int) -> Part:
        """The part that a box covers."""
        return cls(box.top / height, box.left / width, box.bottom / height, box.right / width)

    def box(self, height: int, width: int) -> Box:
        """The whole pixels that it covers, at least one."""
        top, left = int(self.top * height), int(self.left * width)
        return Box(top, left, max(top + 1, round(self.bottom * height)), max(left + 1, round(self.right * width)))


WHOLE = Part(0.0, 0.0, 1.0, 1.0)


class Layer(NamedTuple):
    """What is laid over one image: ``draw(part)`` gives RGBA (4, h, w), ``target`` is the part that it points to."""

    draw: Callable[[Part], NDArray[np.uint8]]
    target: Part | None = None


class Explanation(NamedTuple):
    """How a model's answers are explained.

    Attributes:
        note: says how to read the layers.
        caption: names a layer; with ``{}`` for the class it is about, each card says it.
        layers: one for each of (name of an image, class); None where there is none.
    """

    note: str
    caption: str
    layers: Callable[[Sequence[tuple[str, int]]], Sequence[Layer | None]]  # ModelError: the model has none at all


class Pane(NamedTuple):
    """One picture of a card: a data address, and what it shows in words."""

    address: str
    said: str


class Card(NamedTuple):
    """One verdict: the ``whole`` image above, ``panes`` beside each other under it, and what its layer is about."""

    mistake: Mistake
    whole: Pane | None
    panes: tuple[Pane, ...]
    caption: str


class Group(NamedTuple):
    """The verdicts of one kind; ``left_out`` more are not shown."""

    kind: str
    cards: list[Card]
    left_out: int


class Gallery(NamedTuple):
    """All that is shown; ``note`` says how to read the pictures."""

    note: str
    mistakes: list[Group]
    near: list[Group]


def compute(
    evidence: Evidence,
    images: Pictures | None = None,
    explanation: Explanation | None = None,
    *,
    per_kind: int = PER_KIND,
) -> Gallery:
    """The mistakes by kind, escapes first, and the near misses; empty where nothing was tested."""
    if evidence.best is None or evidence.best.predictions is None:
        return Gallery("", [], [])
    wrong = mistakes(evidence.best.predictions, evidence.good)
    near = near_misses(evidence.best.predictions, evidence.good)
    known = set(images.names) if images else set()
    shown = [m for kind in (*MISTAKES, *NEAR_MISSES) for m in [v for v in (*wrong, *near) if v.kind == kind][:per_kind]]
    there = [verdict for verdict in shown if verdict.name in known]
    layers, lacking = _layers(there, explanation) if explanation is not None and there else ({}, "")
    cards = [
        _card(v, evidence.classes, images if v.name in known else None, layers.get((v.kind, v.name)), explanation)
        for v in shown
    ]
    note = " ".join([text for text in (_note(cards, explanation, images), lacking) if text])
    return Gallery(note, _groups(MISTAKES, cards, wrong), _groups(NEAR_MISSES, cards, near))


def _layers(verdicts: Sequence[Mistake], explanation: Explanation) -> tuple[dict[tuple[str, str], Layer | None], str]:
    """The layer of each verdict by its kind and image, or none and a sentence that says why."""
    asked = [(verdict.name, evidence_class(verdict)) for verdict in verdicts]
    try:
        found = explanation.layers(asked)
    except ModelError as error:
        return {}, f"Where the model looked is not shown: {error.what}."
    return {(v.kind, v.name): layer for v, layer in zip(verdicts, found, strict=True)}, ""


def evidence_class(mistake: Mistake) -> int:
    """The class whose map explains a verdict: the defect that is there, else the answer that is or nearly was wrong."""
    return mistake.label if mistake.kind in (ESCAPE, NEAR_ESCAPE) else mistake.answer


def draw(evidence: Evidence, groups: Sequence[Group]) -> Markup:
    """Cards under a heading for each kind."""
    return join([_group(evidence, group) for group in groups])


def _groups(kinds: dict[str, tuple[str, str]], cards: list[Card], verdicts: list[Mistake]) -> list[Group]:
    groups = []
    for kind in kinds:
        members = [card for card in cards if card.mistake.kind == kind]
        if members:
            groups.append(Group(kind, members, sum(v.kind == kind for v in verdicts) - len(members)))
    return groups


def _note(cards: list[Card], explanation: Explanation | None, images: Pictures | None) -> str:
    if not cards:
        return ""
    if images is None or not any(card.whole or card.panes for card in cards):
        return "The pictures were not at hand when this page was written."
    parts = [explanation.note] if explanation and any(len(card.panes) > 1 for card in cards) else []
    if any(card.whole for card in cards):
        parts.append("Where a defect is small, the whole image is above and what is in its yellow frame below.")
    return " ".join(parts or ["The test images, undistorted."])


def _card(
    mistake: Mistake,
    classes: Sequence[str],
    images: Pictures | None,
    layer: Layer | None,
    explanation: Explanation | None,
) -> Card:
    pixels = images.picture(mistake.name) if images else None
    if images is None or pixels is None:
        return Card(mistake, None, (), "")
    said = explanation.caption.format(classes[evidence_class(mistake)]) if layer and explanation else ""
    caption = said if explanation and "{}" in explanation.caption else ""
    height, width = pixels.shape[1:]
    part = _part(images, mistake, layer, height, width)
    if part is None:
        return Card(mistake, None, _panes(pixels, mistake.name, layer, WHOLE, said), caption)
    whole = Pane(pictures.address(pictures.picture(pixels, frame=part)), f"{mistake.name}, whole")
    crop = pictures.cropped(pixels, part)
    panes = _panes(crop, f"the framed part of {mistake.name}", layer, Part.of(part, height, width), said)
    return Card(mistake, whole, panes, caption)


def _part(images: Pictures, mistake: Mistake, layer: Layer | None, height: int, width: int) -> Box | None:
    """What to crop an image to: where its defect is or else where the layer points to, if that is small."""
    extent = images.extent(mistake.name)
    focus = extent.box if extent else layer.target.box(height, width) if layer and layer.target else None
    return pictures.around(focus, height, width) if focus else None


def _panes(pixels: NDArray[np.uint8], name: str, layer: Layer | None, part: Part, said: str) -> tuple[Pane, ...]:
    plain = Pane(pictures.address(pictures.picture(pixels)), name)
    if layer is None:
        return (plain,)
    over = pictures.picture(pixels, overlay=layer.draw(part))
    return plain, Pane(pictures.address(over), f"{name}, with {said}")


def _group(evidence: Evidence, group: Group) -> Markup:
    title, meaning = {**MISTAKES, **NEAR_MISSES}[group.kind]
    meaning = "images that it put in another class" if group.kind == CONFUSION and evidence.good is None else meaning
    title = f"{title}: {len(group.cards) + group.left_out} " if group.kind in MISTAKES else f"{title} "
    head = element("h3", title, element("small", meaning))
    cards = element("div", [_markup(evidence, card) for card in group.cards], class_="cards")
    more = f"{group.left_out} more of this kind are in the list of all mistakes; the model was less sure of them."
    note = [element("p", more, class_="note")] if group.left_out else []
    return element("div", head, cards, note, class_=f"group {group.kind}")


def _markup(evidence: Evidence, card: Card) -> Markup:
    mistake, names = card.mistake, evidence.classes
    label, answer = element("em", names[mistake.label]), element("em", names[mistake.answer])
    verb = ", nearly " if mistake.kind in (NEAR_CONFUSION, NEAR_OVERKILL) else ", answered "
    lines = [
        element("b", mistake.name, title=mistake.name),
        element("span", "true ", label, verb, answer),
        element("span", _score(evidence, mistake)),
        *([element("span", card.caption)] if card.caption else []),
    ]
    whole = [element("div", _image(card.whole), class_="whole")] if card.whole else []
    panes = element("div", [element("div", _image(pane), class_="pane") for pane in card.panes], class_="panes")
    return element("div", whole, [panes] if card.panes else [], lines, class_="card")


def _image(pane: Pane) -> Markup:
    return element("img", src=pane.address, alt=pane.said)


def _score(evidence: Evidence, mistake: Mistake) -> str:
    if mistake.kind in (CONFUSION, NEAR_CONFUSION):
        return f"probability {units.probability(mistake.score)}"
    threshold = evidence.best.manifest.threshold if evidence.best else None
    limit = "" if threshold is None else f", rejected above {units.probability(threshold)}"
    return f"score {units.probability(mistake.score)}{limit}"
