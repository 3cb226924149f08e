"""Numbers as a reader expects them: three digits, a unit, and an en dash for what is not known."""

from __future__ import annotations

import math
from collections.abc import Sequence

NONE = "–"


def count(value: float | None) -> str:
    """A count with a decimal prefix.

    >>> count(62_412_000), count(1.2e9), count(834), count(None)
    ('62.4 M', '1.20 G', '834', '–')
    """
    if value is None:
        return NONE
    for factor, prefix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= factor * 0.9995:
            return f"{_three(value / factor)} {prefix}"
    return f"{value:.0f}"


def size(n_bytes: float | None) -> str:
    """A memory size with a binary prefix.

    >>> size(2 * 1024**2), size(700)
    ('2.00 MiB', '700 B')
    """
    if n_bytes is None:
        return NONE
    for factor, prefix in ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
        if n_bytes >= factor:
            return f"{_three(n_bytes / factor)} {prefix}"
    return f"{n_bytes:.0f} B"


def milliseconds(value: float | None) -> str:
    """A time per image.

    >>> milliseconds(0.4234), milliseconds(38.21)
    ('0.423 ms', '38.2 ms')
    """
    return NONE if value is None else f"{_three(value)} ms"


def probability(value: float) -> str:
    """A probability, which is 1 only if it is: a score may be near to it, and the threshold still nearer.

    >>> probability(0.6132), probability(0.99995), probability(1.0)
    ('0.613', '0.99995', '1.000')
    """
    digits = 3 if value >= 1 else max(3, math.ceil(-math.log10(1 - value)))
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
    """A rate in [0, 1], in per cent with one decimal.

    >>> percent(0.98765), percent(1.0), percent(None)
    ('98.8 %', '100.0 %', '–')
    """
    return NONE if rate is None else f"{100 * rate:.1f} %"


def interval(bounds: Sequence[float] | None) -> str:
    """A confidence interval of a rate.

    >>> interval([0.971, 0.9944])
    '97.1–99.4 %'
    """
    return NONE if bounds is None else f"{100 * bounds[0]:.1f}–{100 * bounds[1]:.1f} %"


def ratio(value: float | None, reference: float | None) -> str:
    """How many times the reference a value is.

    >>> ratio(6.2, 0.4), ratio(0.3, 0.4), ratio(1.0, None)
    ('15.5×', '0.75×', '–')
    """
    if value is None or not reference:
        return NONE
    times = value / reference
    return f"{times:.1f}×" if times >= 10 else f"{times:.2f}×"


def plain(value: float | None, digits: int = 1) -> str:
    """A number without a unit, with fixed decimals."""
    return NONE if value is None else f"{value:.{digits}f}"


def _three(value: float) -> str:
    rounded = abs(float(f"{value:.3g}"))
    digits = 2 - math.floor(math.log10(rounded)) if rounded else 2
    return f"{value:.{min(max(digits, 0), 3)}f}"
