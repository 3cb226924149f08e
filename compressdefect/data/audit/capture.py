"""Whether how an image was captured and stored tells its class: a network would learn that instead of the defect."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from compressdefect.data.sample import Finding

FEWEST = 5  # images of a class, and of all others, that a rule may be read from
NEARLY_ALL, HARDLY_ANY = 0.95, 0.05


def capture_findings(
    classes: Sequence[str], facts: Mapping[str, Sequence[str]], good: str | None = None
) -> Iterator[Finding]:
    """One finding for each class of N images, and each of their facts, where the one tells the other.

    Args:
        classes: the class of each image (N,).
        facts: by what it is about, such as ``channels``, what is true of each image (N,), such as ``1 channel``.
        good: the class to speak of where there are two.
    """
    names = sorted(set(classes), key=lambda name: (name != good, name))
    for about, values in facts.items():
        for name in names[:1] if len(names) == 2 else names:
            inside = Counter(value for value, label in zip(values, classes, strict=True) if label == name)
            outside = Counter(values) - inside
            told = _telling(inside, outside)
            if told is not None:
                text = (
                    f"the {about} of an image tells whether it is {name}: {told} in {inside[told]} of"
                    f" {inside.total()} such images and {outside[told]} of {outside.total()} others"
                )
                yield Finding("capture-class", (), text)


def _telling(inside: Counter[str], outside: Counter[str]) -> str | None:
    """A value that nearly all images of a class have and hardly any other has, or the other way round."""
    if min(inside.total(), outside.total()) < FEWEST:
        return None
    for value in sorted(inside | outside, key=lambda value: (-inside[value], value)):
        shares = sorted((inside[value] / inside.total(), outside[value] / outside.total()))
        if shares[0] <= HARDLY_ANY and shares[1] >= NEARLY_ALL:
            return value
    return None
