"""A contact sheet of a dataset: images of each class with what is marked in them, and what augmentation does."""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from compressdefect.data.depth import Decoder
from compressdefect.data.formats.files import relative_name
from compressdefect.data.labels import GOOD
from compressdefect.data.marks.convert import mask_of
from compressdefect.data.marks.levels import marked
from compressdefect.data.marks.shapes import Box, MaskFile
from compressdefect.data.pixels import DepthError, decode_mask, resize, resize_mask, to_channels
from compressdefect.data.sample import Listing, Region, Sample
from compressdefect.errors import DataError
from compressdefect.flow.data import check_writable, listing_of, output_path
from compressdefect.flow.voice import Voice
from compressdefect.report.contact_sheet import TILE, Block, Picture, Row, draw_sheet
from compressdefect.report.draw import COLOURS, annotated, framed, tinted
from compressdefect.runs import atomic_write

MAX_CLASSES = 30
UNLABELLED = "unlabelled"
_SIDE = TILE  # pixels of the squares that augmentation is shown on


class Read(NamedTuple):
    """A sample with its pixels uint8 (H, W, C)."""

    sample: Sample
    pixels: np.ndarray


def run_preview(
    data: str,
    *,
    format: str | None = None,
    bits: int | None = None,
    out: str | None = None,
    per_class: int = 8,
    seed: int = 0,
) -> dict[str, Any]:
    """Draw a contact sheet of a dataset and write it as PNG.

    Raises:
        DataError: the folder or its layout is wrong, or no image can be read.
        RunError: the sheet cannot be written.
    """
    if per_class < 1:
        raise DataError("--per-class must be at least 1", got=per_class)
    listing = listing_of(data, format)
    path = output_path(out, f"preview-{listing.name}.png", data, "--out")
    check_writable(path)
    by_class = _by_class(listing)
    if len(by_class) > MAX_CLASSES:
        Voice().say(f"the first {MAX_CLASSES} of {len(by_class)} classes are shown")
    decoder = Decoder([sample.path for sample in listing.samples], bits)
    shown = {name: _some(by_class[name], decoder, per_class, seed) for name in list(by_class)[:MAX_CLASSES]}
    found = [item for items in shown.values() for item in items]
    if not found:
        raise DataError("no image of the data can be read", got=data, fix="run: compressdefect data check")
    regions = sorted({region.label for sample in listing.samples for region in sample.regions or ()})
    rows = [
        Row(name, _count(by_class[name]), [_picture(item, listing, regions) for item in items])
        for name, items in shown.items()
    ]
    sheet = draw_sheet(
        f"{listing.name}: {_count(listing.samples)}",
        [
            Block("Classes", rows),
            Block("What augmentation does", _effects(_spread(shown, per_class), regions, seed)),
        ],
    )
    buffer = io.BytesIO()
    sheet.save(buffer, format="PNG")
    atomic_write(path, buffer.getvalue())
    return {"preview": str(path), "classes": {name: len(samples) for name, samples in by_class.items()}}


def class_of(sample: Sample) -> str:
    """What a sample is listed under: its class, else those of what is marked in it, which an empty mask does not."""
    if sample.label is not None:
        return sample.label
    if sample.regions is None:
        return UNLABELLED
    return ", ".join(sorted({region.label for region in sample.regions if _marks(region)})) or GOOD


def _marks(region: Region) -> bool:
    """Whether a region marks anything, as far as its file can be read."""
    if not isinstance(region.shape, MaskFile):
        return True
    try:
        return bool(marked(decode_mask(region.shape.path)).any())
    except (DataError, OSError):
        return True


def _by_class(listing: Listing) -> dict[str, list[Sample]]:
    found: dict[str, list[Sample]] = defaultdict(list)
    for sample in listing.samples:
        found[class_of(sample)].append(sample)
    return dict(sorted(found.items()))


def _some(samples: list[Sample], decoder: Decoder, count: int, seed: int) -> list[Read]:
    """Up to ``count`` readable samples, drawn at random."""
    found: list[Read] = []
    for row in np.random.default_rng(seed).permutation(len(samples)):
        try:
            path = samples[row].path
            found.append(Read(samples[row], decoder.decode(path.read_bytes(), path.name)))
        except DepthError:
            raise
        except (DataError, OSError):
            continue
        if len(found) == count:
            break
    return found


def _spread(shown: dict[str, list[Read]], count: int) -> list[Read]:
    """Up to ``count`` samples, those with marked defects first, from all classes in turn."""
    turns = sorted(
        ((not item.sample.regions, turn, item) for items in shown.values() for turn, item in enumerate(items)),
        key=lambda entry: entry[:2],
    )
    return [item for _, _, item in turns[:count]]


def _effects(items: Sequence[Read], classes: Sequence[str], seed: int) -> list[Row]:
    """What the standard augmentation and each change of the other ones make of the same images, masks and boxes."""
    import torch

    from compressdefect.data.augment.recipes import RECIPES, SINGLE_CHANGES

    pixels = np.stack([to_channels(resize(item.pixels, _SIDE, _SIDE), 3).transpose(2, 0, 1) for item in items])
    masks = np.stack([_mask(item, classes) for item in items])
    boxes = [torch.tensor(_boxes(item, classes), dtype=torch.float32).reshape(-1, 5) for item in items]
    before = torch.from_numpy(pixels), torch.from_numpy(masks)
    rows = [Row("original", "as the network sees it", _drawn(pixels, masks, boxes))]
    for name, recipe in {"standard": RECIPES["standard"], **SINGLE_CHANGES}.items():
        changed = recipe.apply(before[0], torch.Generator().manual_seed(seed), before[1], boxes)
        assert changed.masks is not None
        assert changed.boxes is not None
        note = "the default in training" if name == "standard" else "of the paper augmentation"
        rows.append(Row(name, note, _drawn(changed.pixels.numpy(), changed.masks.numpy(), changed.boxes)))
    return rows


def _mask(item: Read, classes: Sequence[str]) -> np.ndarray:
    """What is marked by pixels, uint8 (_SIDE, _SIDE); nothing if it cannot be read."""
    marked = [region for region in item.sample.regions or () if not isinstance(region.shape, Box)]
    height, width = item.pixels.shape[:2]
    try:
        mask = mask_of(marked, height, width, classes)
    except (DataError, OSError):
        return np.zeros((_SIDE, _SIDE), dtype=np.uint8)
    return resize_mask(mask, _SIDE, _SIDE)


def _boxes(item: Read, classes: Sequence[str]) -> list[tuple[float, ...]]:
    """Corners in pixels of a picture of _SIDE², and the class."""
    height, width = item.pixels.shape[:2]
    found: list[tuple[float, ...]] = []
    for region in item.sample.regions or ():
        if isinstance(region.shape, Box):
            box = region.shape.in_pixels(height, width)
            x, y = _SIDE / width, _SIDE / height
            found.append((box.x0 * x, box.y0 * y, box.x1 * x, box.y1 * y, float(classes.index(region.label))))
    return found


def _drawn(pixels: np.ndarray, masks: np.ndarray, boxes: Sequence[Any]) -> list[Picture]:
    """Pictures of pixels uint8 (N, 3, H, W), masks (N, H, W) and, for each, boxes (n, 5)."""
    pictures = []
    for image, mask, rows in zip(pixels, masks, boxes, strict=True):
        picture = Image.fromarray(np.ascontiguousarray(image.transpose(1, 2, 0)))
        for value in np.unique(mask[mask > 0]):
            picture = tinted(picture, mask == value, COLOURS[(int(value) - 1) % len(COLOURS)])
        frames = [(Box(*row[:4]), COLOURS[int(row[4]) % len(COLOURS)]) for row in rows.tolist()]
        pictures.append(Picture(framed(picture, frames)))
    return pictures


def _picture(item: Read, listing: Listing, regions: list[str]) -> Picture:
    drawn = annotated(item.pixels, item.sample.regions, TILE, regions)
    return Picture(drawn, relative_name(item.sample.path, listing.root).rpartition("/")[2])


def _count(samples: object) -> str:
    number = len(samples)  # type: ignore[arg-type]
    return f"{number} image{'' if number == 1 else 's'}"
