"""What the files of one sample show when they are opened: the only part of an audit that reads pixels."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from compressdefect.data.duplicates import Look, look_of
from compressdefect.data.formats.files import relative_name
from compressdefect.data.formats.findings import reason
from compressdefect.data.marks.convert import CopyError, read_mask, region_boxes
from compressdefect.data.marks.shapes import Box, Mask, MaskFile, Polygon, SizeMismatchError
from compressdefect.data.pixels import FULL, DepthError, Pixels, decode_stored
from compressdefect.data.sample import Finding, Region, Sample, Stated
from compressdefect.errors import DataError

TOLERANCE = 0.5  # pixels by which a box may leave its image, as rounding makes it
NEARLY_ALL = 0.95  # of an image; a mask of more is rather inverted than drawn


@dataclass(frozen=True, slots=True)
class Scan:
    """The facts of one readable image.

    ``size`` is its upright (height, width), ``content`` and ``pixels`` are digests of the file and of what it shows.
    ``defects`` are the classes of its regions that hold at least one pixel; None if it has no annotation, or one that
    cannot be read.
    """

    size: tuple[int, int]
    channels: int
    content: bytes
    pixels: bytes
    look: Look
    defects: frozenset[str] | None


Outcome = tuple[Scan | None, tuple[Finding, ...]]


def scan(sample: Sample, root: Path, bits: int = FULL) -> Outcome:
    """Open a sample's files; what cannot be read, or contradicts the image, becomes a finding. Nothing is raised.

    ``bits`` are how many a 16-bit image uses.
    """
    name = relative_name(sample.path, root)
    try:
        content = sample.path.read_bytes()
        if not content:
            raise DataError("the image cannot be read", got="the file is empty")
        pixels, channels = decode_stored(content, bits)
    except DepthError as error:
        text = f"has the value {error.got}, which {bits} bits do not hold"
        return None, (Finding("bit-depth", (name,), text, "give more --bits"),)
    except (DataError, OSError) as error:
        return None, (Finding("unreadable", (name,), f"cannot be read: {reason(error)}"),)
    size = pixels.shape[0], pixels.shape[1]
    defects, found = _defects(sample.regions, pixels, name)
    found += [*_out_of_bounds(sample.regions or (), size, name), *_misstated(sample.stated, size, channels, name)]
    picture = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    facts = Scan(
        size,
        channels,
        content=hashlib.sha256(content).digest(),
        pixels=hashlib.sha256(f"{pixels.shape}".encode() + pixels.tobytes()).digest(),
        look=look_of(picture),
        defects=defects,
    )
    return facts, tuple(found)


def _defects(
    regions: tuple[Region, ...] | None, pixels: Pixels, name: str
) -> tuple[frozenset[str] | None, list[Finding]]:
    """Classes of the regions that are not empty, and what is wrong with the masks."""
    if regions is None:
        return None, []
    classes, found, broken = set(), [], False
    for region in regions:
        try:
            mask, remarks = _mask(region, pixels, name)
        except CopyError as error:
            broken = True
            found.append(Finding("unexpected-mask", (name,), f"its mask is no mask: {error.got}", "remove the copy"))
        except SizeMismatchError as error:
            broken = True
            found.append(Finding("size-mismatch", (name,), reason(error)))
        except (DataError, OSError, ValueError, MemoryError) as error:
            broken = True
            found.append(Finding("unreadable", (name,), f"its mask cannot be used: {reason(error)}"))
        else:
            classes |= {region.label} if mask is None or mask.any() else set()
            found += remarks
    return None if broken and not classes else frozenset(classes), found


def _mask(region: Region, pixels: Pixels, name: str) -> tuple[Mask | None, list[Finding]]:
    """The pixels of a region, and what is odd about them; None of an outline, which counts wherever it lies."""
    if isinstance(region.shape, Box | Polygon):
        return None, []
    found = []
    if isinstance(region.shape, MaskFile):
        mask, levels = read_mask(region.shape, pixels)
        if levels:
            text = f"its mask has the levels {', '.join(map(str, levels))}; all of them count as {region.label}"
            found.append(Finding("class-mismatch", (name,), text, "write one class only, as 0 and 255"))
    else:
        mask = region.shape.rasterize(*pixels.shape[:2])
    if mask.mean() > NEARLY_ALL:
        text, advice = f"its mask marks {mask.mean():.0%} of the image", "invert it if its background is marked"
        found.append(Finding("unexpected-mask", (name,), text, advice))
    return mask, found


def _out_of_bounds(regions: Iterable[Region], size: tuple[int, int], name: str) -> Iterator[Finding]:
    for region in regions:
        box = extent(region, size)
        if box is None:
            continue
        text = f"{region.label} from ({box.x0:g}, {box.y0:g}) to ({box.x1:g}, {box.y1:g})"
        if box.x1 <= box.x0 or box.y1 <= box.y0:
            yield Finding("box-out-of-bounds", (name,), f"a box has no area: {text}")
        elif not box_fits(box, size):
            yield Finding("box-out-of-bounds", (name,), f"a box leaves the image of {size[1]} × {size[0]}: {text}")


def box_fits(box: Box, size: tuple[int, int]) -> bool:
    """Whether a box in pixels lies in an image of this (height, width)."""
    return min(box.x0, box.y0) >= -TOLERANCE and box.x1 <= size[1] + TOLERANCE and box.y1 <= size[0] + TOLERANCE


def extent(region: Region, size: tuple[int, int]) -> Box | None:
    """The box around a box or outline, in pixels of an image of this size; None for shapes that are made of pixels."""
    return region_boxes(region, *size)[0] if isinstance(region.shape, Box | Polygon) else None


def _misstated(stated: Stated | None, size: tuple[int, int], channels: int, name: str) -> Iterator[Finding]:
    """What an annotation file says wrongly of its image."""
    if stated is None:
        return
    height, width = stated.height or size[0], stated.width or size[1]
    if (height, width) != size:
        turned = ", which is turned by its EXIF orientation" if (width, height) == size else ""
        text = f"the annotation says {width} × {height}, the image has {size[1]} × {size[0]}{turned}"
        yield Finding("metadata-mismatch", (name,), text)
    if stated.channels not in (None, channels):
        plural = "" if stated.channels == 1 else "s"
        text = f"the annotation says {stated.channels} channel{plural}, the image has {channels}"
        yield Finding("metadata-mismatch", (name,), text)
