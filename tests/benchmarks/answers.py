"""What designs come to in a simulated search, without a table."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from simulated import Answer

LOSS, AREA = "log loss", "area under ROC"


def answer(name: str, macs: int, *, short: float = 0.5, params: int = 1000, **end: float) -> Answer:
    """``short`` is the area under the ROC curve after a short training, ``end`` are scores at the end (``area=``…)."""
    verdict: Any = SimpleNamespace(cost=SimpleNamespace(params=params, macs=macs))
    scores = {("rung0-half", AREA): short, ("rung0-half", LOSS): short - 1}
    return Answer(name, {}, verdict, scores | _at_the_end(end), {})


def world(*, good: int | None = None, **errors: float) -> Any:
    """A dataset with or without a good class, and the standard errors at the end."""
    return SimpleNamespace(data=SimpleNamespace(good=good, name="steel"), errors=_at_the_end(errors))


def _at_the_end(figures: Mapping[str, float]) -> dict[tuple[str, str], float]:
    return {("end", AREA if name == "area" else name): value for name, value in figures.items()}
