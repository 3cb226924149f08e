"""Figures as everything prints them: three digits and a unit, and an en dash for what is not known.

A failure is never rounded away: a rate is 0 % or 100 % only if it is exactly that, however near it comes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

NONE = "–"
_EXACT = 1e-12  # a rate this near to 0 or 1 is that, but for the arithmetic that made it
_FINEST = 4  # decimals of a per cent, beyond which it is said to be above or below


def count(value: float | None, digits: int = 3) -> str:
    """A count with a decimal prefix, to so many significant digits.

    >>> count(62_412_000), count(1.2e9), count(834), count(None)
    ('62.4 M', '1.20 G', '834', '–')
    """
    if value is None:
        return NONE
    for factor, prefix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= factor * (1 - 0.5 * 10**-digits):
            return f"{_significant(value / factor, digits)} {prefix}"
    return f"{value:.0f}"


def size(n_bytes: float | None, digits: int = 3) -> str:
    """A memory size with a binary prefix, to so many significant digits.

    >>> size(2 * 1024**2), size(700)
    ('2.00 MiB', '700 B')
    """
    if n_bytes is None:
        return NONE
    for factor, prefix in ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
        if n_bytes >= factor:
            return f"{_significant(n_bytes / factor, digits)} {prefix}"
    return f"{n_bytes:.0f} B"


def milliseconds(value: float | None, digits: int = 3) -> str:
    """A time per image, to so many significant digits.

    >>> milliseconds(0.4234), milliseconds(38.21)
    ('0.423 ms', '38.2 ms')
    """
    return NONE if value is None else f"{_significant(value, digits)} ms"


def probability(value: float) -> str:
    """A probability, which is 0 or 1 only if it is: a score may be near to it, and the threshold still nearer.

    >>> probability(0.6132), probability(0.99995), probability(1.0), probability(0.00004)
    ('0.613', '0.999950', '1.000', '0.000040')
    """
    if 0 < value < 1e-6:
        return f"{value:.1e}"
    from_end = min(value, 1 - value)
    digits = max(3, 1 + math.ceil(-math.log10(from_end))) if from_end > 0 else 3
    return f"{value:.{digits}f}"


def duration(seconds: float | None) -> str:
    """A wall time.

    >>> duration(4.23), duration(372), duration(5400)
    ('4.2 s', '6 min 12 s', '1 h 30 min')
    """
    if seconds is None:
        return NONE
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def percent(rate: float | None) -> str:
    """A rate in [0, 1], in per cent with one decimal, or as many as tell it from 0 and from 1.

    >>> percent(0.98765), percent(1.0), percent(1 / 2500), percent(0.9996), percent(None)
    ('98.8 %', '100.0 %', '0.04 %', '99.96 %', '–')
    """
    return NONE if rate is None or math.isnan(rate) else f"{_percent(rate)} %"


def interval(bounds: Sequence[float] | None) -> str:
    """A confidence interval of a rate.

    >>> interval([0.971, 0.9944])
    '97.1–99.4 %'
    """
    return NONE if bounds is None else f"{_percent(bounds[0])}–{_percent(bounds[1])} %"


def points(difference: float) -> str:
    """The difference of two rates, in points of a per cent.

    >>> points(0.0123), points(-0.0004)
    ('+1.2 points', '-0.04 points')
    """
    digits = 1 if abs(difference) < _EXACT else next(d for d in range(1, 15) if round(100 * difference, d) or d == 14)
    return f"{100 * difference:+.{digits}f} points"


def ratio(value: float | None, reference: float | None) -> str:
    """How many times the reference a value is.

    >>> ratio(6.2, 0.4), ratio(0.3, 0.4), ratio(1.0, None)
    ('15.5×', '0.75×', '–')
    """
    if value is None or not reference:
        return NONE
    times = value / reference
    return f"{times:.1f}×" if times >= 10 else f"{times:.2f}×" if times >= 0.1 else f"{_significant(times, 2)}×"


def plain(value: float | None, digits: int = 1) -> str:
    """A number without a unit, with fixed decimals."""
    return NONE if value is None else f"{value:.{digits}f}"


STEP = ("step", "validation metric", "escape", "params", "MACs", "file", "latency", "note")


def step(figures: Mapping[str, Any]) -> tuple[str, ...]:
    """A step of a compression as a row under ``STEP``, but for the name of its metric alike wherever it is shown."""
    return (
        str(figures["title"]),
        percent(figures["metric"]),
        percent(figures["escape"]),
        count(figures["params"]),
        count(figures["macs"]),
        size(figures["bytes"]),
        milliseconds(figures["latency_ms"]),
        "; ".join(figures["reasons"]) or ("ships" if figures["ships"] else ""),
    )


def _percent(rate: float) -> str:
    """The number of a per cent, without its sign."""
    if not _EXACT < rate < 1 - _EXACT:
        return f"{abs(100 * rate):.1f}"
    decimals = max(1, math.ceil(-math.log10(100 * min(rate, 1 - rate))))
    if decimals <= _FINEST:
        return f"{100 * rate:.{decimals}f}"
    finest = 10**-_FINEST
    return f"< {finest:.{_FINEST}f}" if rate < 0.5 else f"> {100 - finest:.{_FINEST}f}"


def _significant(value: float, digits: int) -> str:
    rounded = abs(float(f"{value:.{digits}g}"))
    decimals = digits - 1 - math.floor(math.log10(rounded)) if rounded else digits - 1
    return f"{value:.{max(decimals, 0)}f}"
