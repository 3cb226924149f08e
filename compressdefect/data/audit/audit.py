"""What is wrong with a dataset: every image is opened once, and each finding says what to do about it.

Images are read one after the other and forgotten: of each stay its digests, a perceptual hash, a thumbnail of 3 kB and
a few facts. Near duplicates are what ``--group auto`` keeps together (``duplicates.py``).
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from compressdefect.data.audit.rules import Facts, Rules, sort_findings
from compressdefect.data.audit.scan import Outcome, scan
from compressdefect.data.depth import depth_of
from compressdefect.data.duplicates import THUMBNAIL
from compressdefect.data.formats.files import relative_name
from compressdefect.data.pixels import FULL
from compressdefect.data.sample import Finding, Listing, Progress, Sample

WORKERS = 2  # decoding runs outside Python's lock
_WINDOW = 256  # images in flight


@dataclass(frozen=True, eq=False)
class Audit:
    """What a dataset holds and what is wrong with it.

    ``classes`` counts images by class (by the classes of their defects where images have none of their own), and
    ``splits`` does so for each official part; ``sizes`` counts (height, width), ``channels`` the channels that files
    store. ``twins`` images have a duplicate or near duplicate; ``groups`` are the sizes of the groups that they form,
    and ``leak`` is the share of the test images with such a twin in training to be expected of a random half split.
    ``bits`` are how many 16-bit images use, None where there are none.
    """

    name: str
    root: Path
    format: str
    samples: tuple[Sample, ...]
    good: str | None
    classes: Mapping[str, int]
    splits: Mapping[str, Mapping[str, int]]
    sizes: Mapping[tuple[int, int], int]
    channels: Mapping[int, int]
    twins: int
    groups: tuple[int, ...]
    leak: float
    findings: tuple[Finding, ...] = field(default=())
    ignored_tables: tuple[str, ...] = ()
    bits: int | None = None

    def to_json(self) -> dict[str, Any]:
        """The audit as plain data; sizes from the most to the least frequent, at most 20 of them."""
        sizes = Counter(self.sizes).most_common(_SIZES)
        return {
            "format": self.format,
            "ignored_tables": list(self.ignored_tables),
            "images": len(self.samples),
            "classes": dict(self.classes),
            "splits": {part: dict(counts) for part, counts in self.splits.items()},
            "sizes": [{"height": h, "width": w, "images": n} for (h, w), n in sizes],
            "distinct_sizes": len(self.sizes),
            "bits": self.bits,
            "channels": {str(channels): n for channels, n in sorted(self.channels.items())},
            "near_duplicates": {
                "images": self.twins,
                "groups": len(self.groups),
                "largest_group": max(self.groups, default=0),
                "random_half_leak": round(self.leak, 4),
            },
            "findings": [
                {"kind": f.kind, "files": list(f.files), "message": f.message, "advice": f.advice}
                for f in self.findings
            ],
        }


_SIZES = 20


def audit(
    listing: Listing, *, good: str | None = None, bits: int | None = None, progress: Progress | None = None
) -> Audit:
    """Open every file of a listing and find what is wrong with them; no file ends it.

    Args:
        listing: the samples as a reader found them, labels untouched.
        good: the class of good parts; found by name, or by its empty masks, when not given.
        bits: how many 16-bit images use; found when not given.
        progress: called after each image.
    """
    facts = Facts.of(len(listing.samples), THUMBNAIL)
    found = [*listing.findings, *_left_out(listing)]
    if bits is None:
        bits, deep = depth_of(sample.path for sample in listing.samples)
        found += _unused_bits(bits or FULL, [relative_name(path, listing.root) for path in deep])
    for row, (outcome, findings) in enumerate(_scan_all(listing.samples, listing.root, bits or FULL)):
        found += findings
        if outcome is not None:
            facts.add(row, outcome)
        if progress is not None:
            progress(row + 1, len(listing.samples))
    names = [relative_name(sample.path, listing.root) for sample in listing.samples]
    rules = Rules(listing, names, facts, good)
    copies, likes = rules.copies(), rules.likes()
    found += [*rules.annotations(), *rules.duplicates(copies), *rules.near_duplicates(likes)]
    found += [*rules.capture(), *rules.small_classes()]
    read = facts.readable()
    return Audit(
        name=listing.name,
        root=listing.root,
        format=listing.format,
        samples=listing.samples,
        good=rules.good,
        classes=rules.counts(),
        splits={part: rules.counts(part) for part in rules.parts},
        sizes=Counter(map(tuple, facts.sizes[read].tolist())),
        channels=Counter(facts.channels[read].tolist()),
        twins=int((likes.partners > 0).sum()),
        groups=tuple(sorted(map(len, likes.groups), reverse=True)),
        leak=float((1 - 0.5 ** likes.partners.astype(np.float64)).mean()) if len(likes.partners) else 0.0,
        findings=sort_findings(found),
        ignored_tables=listing.ignored_tables,
        bits=bits,
    )


def _left_out(listing: Listing) -> Iterator[Finding]:
    """Images that the reader could not use and said nothing else about."""
    named = {name for finding in listing.findings for name in finding.files}
    for name, reason in listing.skipped:
        if name not in named:
            yield Finding("unlabelled", (name,), f"cannot be used: {reason}")


def _unused_bits(bits: int, names: Sequence[str]) -> Iterator[Finding]:
    """That 16-bit files hold fewer bits."""
    if bits < FULL:
        text = f"16-bit files whose values take {bits} bits: {2**bits - 1} is taken for white"
        yield Finding("bit-depth", tuple(names), text)


def _scan_all(samples: Sequence[Sample], root: Path, bits: int) -> Iterator[Outcome]:
    """The outcome of each sample in order, a bounded number at a time."""
    with warnings.catch_warnings(), ThreadPoolExecutor(WORKERS) as pool:
        warnings.simplefilter("ignore")  # of damaged files; set once, since threads share the filters
        for start in range(0, len(samples), _WINDOW):
            yield from pool.map(partial(scan, root=root, bits=bits), samples[start : start + _WINDOW])
