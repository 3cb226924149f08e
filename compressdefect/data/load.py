"""From a folder of images, or the embedded plates, to arrays in memory."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from compressdefect.data.depth import Decoder
from compressdefect.data.duplicates import Look, look_of
from compressdefect.data.formats.files import relative_name
from compressdefect.data.formats.findings import reason
from compressdefect.data.groups import Groups, groups_by_look, groups_by_name
from compressdefect.data.images import SYNTHETIC, Images
from compressdefect.data.labels import DEFECT, GOOD, choose_labels, too_few_classes
from compressdefect.data.marks.convert import CopyError, mask_of, read_mask, region_boxes
from compressdefect.data.marks.shapes import Box, Drawn, MaskFile, MatMask
from compressdefect.data.pile import Pile, too_large
from compressdefect.data.pixels import DepthError, is_grey, resize, resize_mask, stored_size
from compressdefect.data.read import UNLABELLED, read
from compressdefect.data.sample import Listing, Progress, Region, Sample
from compressdefect.data.synthetic.plates import plates
from compressdefect.data.tiles import Tiling
from compressdefect.errors import DataError


@dataclass(frozen=True, kw_only=True)
class LoadOptions:
    """How images are read, and what of their annotations.

    Attributes:
        input: side of the square that an image, or a tile of it, becomes, in pixels.
        format: the layout (``data.read``); found when None.
        labels: which classes (``data.labels``).
        good: the class of good parts; found when None.
        unlabelled: what parts without any label file are (``data.read``).
        group: ``auto`` (duplicates and near duplicates stay together), ``none``, or a regular expression whose first
            match in the file name (its first parenthesis, if any) names the group.
        masks: whether the masks of the defects are loaded.
        boxes: whether the boxes around them are.
        only_marked: with masks or boxes, whether images whose defects nobody marked are left out. If not, the same
            images are loaded as without, and one whose mask is missing or broken has an empty one.
        tile: side of the squares that an image is cut into, in its own pixels; that takes masks.
        bits: how many 16-bit images use; found for all of them together when None.
        max_unreadable_share: the most images that may be broken.
    """

    input: int = 224
    format: str | None = None
    labels: str = "all"
    good: str | None = None
    unlabelled: str | None = None
    group: str = "auto"
    masks: bool = False
    boxes: bool = False
    only_marked: bool = True
    tile: int | None = None
    bits: int | None = None
    max_unreadable_share: float = 0.05

    def __post_init__(self) -> None:
        whole = self.tile is None
        assert whole or (self.masks and self.only_marked), "the class of an image is not that of each of its tiles"

    @property
    def marked(self) -> bool:
        """Whether something is to be known of where the defects are."""
        return self.masks or self.boxes

    def shown(self, height: int, width: int) -> tuple[int, int]:
        """What an image of this size is resized to."""
        if self.tile is None:
            return self.input, self.input
        return max(1, round(height * self.input / self.tile)), max(1, round(width * self.input / self.tile))


def load_images(data: str | Path, *, progress: Progress | None = None, **options: Any) -> Images:
    """Load ``synthetic`` or a folder in any known layout, each image resized to one square or cut into such.

    Images without a class of their own are ``good`` if nothing is marked in them, else ``defect``.

    Args:
        data: the folder.
        progress: is told how many images are done.
        options: fields of ``LoadOptions``.

    Raises:
        DataError: The folder, its layout or the classes asked for are wrong, too many images cannot be read, or their
            tiles do not fit into memory.
    """
    asked = LoadOptions(**options)
    if str(data) == SYNTHETIC:
        return _load_synthetic(asked, progress)
    at_least = 1 if asked.marked and asked.only_marked else 2
    listing = read(data, asked.format, asked.labels, asked.good, at_least=at_least, unlabelled=asked.unlabelled)
    if asked.marked and asked.only_marked and not listing.region_classes:
        raise DataError("no image has its defects marked", got=listing.root, fix="add masks, or classify them instead")
    loaded = _Loader(listing, asked)
    for done, sample in enumerate(listing.samples, start=1):
        loaded.add(sample)
        if progress is not None:
            progress(done, len(listing.samples))
    return loaded.images()


class _Loader:
    """Reads a listing image by image."""

    def __init__(self, listing: Listing, options: LoadOptions) -> None:
        self.listing, self.options = listing, options
        self.decoder = Decoder([sample.path for sample in listing.samples], options.bits)
        self.only_marked = options.only_marked and options.marked
        self.sizes: list[tuple[int, int]] = []
        self.looks: list[Look] = []
        self.kept: list[Sample] = []
        self.labels: list[str] = []
        self.hashes: list[str] = []
        self.mark_hashes: list[str] = []
        self.boxes: list[np.ndarray] | None = [] if options.boxes else None
        self.maybe_good = _unmarked_classes(listing)
        self.unreadable = [item for item in listing.skipped if item[1] != UNLABELLED]
        self.unlabelled = [item for item in listing.skipped if item[1] == UNLABELLED]
        self.unmarked: list[tuple[str, str]] = []
        self.leveled: Counter[tuple[int, ...]] = Counter()
        pictures = sum(self._pictures(sample) for sample in listing.samples)
        self.shown = Pile(options.input, pictures=pictures)
        self.masks = Pile(options.input, pictures=pictures) if options.masks else None

    def add(self, sample: Sample) -> None:
        name = relative_name(sample.path, self.listing.root)
        if self._lacks_marks(sample):
            self.unlabelled.append((name, "nobody marked its defects"))
            return
        try:
            content = sample.path.read_bytes()
            decoded = self.decoder.decode(content, name)
            mask = self._mask(sample, decoded)
            boxes = None if self.boxes is None else self._boxes_of(sample, *decoded.shape[:2])
        except DepthError:
            raise
        except (DataError, OSError) as error:
            self.unreadable.append((name, reason(error)))
            return
        try:
            self._add_picture(decoded[..., :1] if is_grey(decoded) else decoded, mask)
        except MemoryError as error:
            raise too_large(
                f"{name} at {' × '.join(map(str, self.options.shown(*decoded.shape[:2])))} pixels"
            ) from error
        if boxes is not None:
            self._add_boxes(boxes, *decoded.shape[:2])
        if mask is not None and mask.any():
            self.maybe_good.discard(str(sample.label))
        self.kept.append(sample)
        self.labels.append(sample.label or (DEFECT if mask is not None and mask.any() else GOOD))
        self.hashes.append(hashlib.sha256(content).hexdigest())

    def _lacks_marks(self, sample: Sample) -> bool:
        return self.only_marked and sample.regions is None and sample.label != self.listing.good

    def _pictures(self, sample: Sample) -> int:
        """How many pictures an image will be, as far as its file says before it is decoded."""
        if self._lacks_marks(sample):
            return 0
        if self.options.tile is None:
            return 1
        try:
            return len(Tiling.of(*self.options.shown(*stored_size(sample.path)), self.options.input))
        except DataError:
            return 0

    def _mask(self, sample: Sample, pixels: np.ndarray) -> np.ndarray | None:
        """The mask uint8 (H, W) where it is needed: asked for, or to tell good from defect, or the good class.

        One that was only asked for does not decide which images there are: it is empty where it cannot be read. Nor
        does a copy of an image that has a class: it leaves open whether the class is the good one.
        """
        needed = self.only_marked or sample.label is None
        decides = needed or sample.label in self.maybe_good
        if self.masks is None and not decides:
            return None
        height, width = pixels.shape[:2]
        try:
            regions = [self._read(region, pixels) for region in sample.regions or ()]
            return mask_of(regions, height, width, self.listing.region_classes)
        except (DataError, OSError) as error:
            if needed or (decides and not isinstance(error, CopyError)):
                raise
            self.maybe_good.discard(str(sample.label))
            self.unmarked.append((f"the mask of {relative_name(sample.path, self.listing.root)}", reason(error)))
            return np.zeros((height, width), dtype=np.uint8)

    def _read(self, region: Region, pixels: np.ndarray) -> Region:
        """A region with its mask in memory, if it is a file."""
        if not isinstance(region.shape, MaskFile):
            return region
        mask, levels = read_mask(region.shape, pixels)
        if levels:
            self.leveled[levels] += 1
        return replace(region, shape=Drawn(mask))

    def _add_picture(self, decoded: np.ndarray, mask: np.ndarray | None) -> None:
        """Take up the pixels (H, W, C) and the mask (H, W) of an image, whole or in tiles."""
        height, width = self.options.shown(*decoded.shape[:2])
        tiling, resized = Tiling.of(height, width, self.options.input), resize(decoded, height, width)
        self.sizes.append((height, width))
        self.shown.add(tiling.cut(resized.transpose(2, 0, 1)))
        if self.masks is not None and mask is not None:
            self.masks.add(tiling.cut(resize_mask(mask, height, width)[None]))
            self.mark_hashes.append(hashlib.sha256(repr(mask.shape).encode() + mask.tobytes()).hexdigest())
        if self.options.group == "auto":
            self.looks.append(look_of_pixels(decoded))

    def _boxes_of(self, sample: Sample, height: int, width: int) -> np.ndarray:
        """The boxes float32 (k, 5) of an image in its own pixels, cut at its border, each with its class's number."""
        classes = self.listing.region_classes
        rows = [
            (box.x0, box.y0, box.x1, box.y1, classes.index(region.label))
            for region in sample.regions or ()
            if region.label in classes
            for box in region_boxes(region, height, width)
        ]
        boxes = np.array(rows, dtype=np.float32).reshape(-1, 5)
        boxes[:, :4] = boxes[:, :4].clip(0, (width, height, width, height))
        return boxes[(boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])]

    def _add_boxes(self, boxes: np.ndarray, height: int, width: int) -> None:
        """Take up the boxes of an image, resized as it is."""
        assert self.boxes is not None
        if self.masks is None:
            self.mark_hashes.append(hashlib.sha256(repr((height, width)).encode() + boxes.tobytes()).hexdigest())
        shown = self.options.shown(height, width)
        scale = np.array([shown[1] / width, shown[0] / height] * 2 + [1], dtype=np.float32)
        self.boxes.append(boxes * scale)

    def images(self) -> Images:
        self._check_readable()
        listing = self.listing
        classes = listing.classes or tuple(name for name in (GOOD, DEFECT) if name in self.labels)
        self._check_classes(classes)
        good = listing.good if listing.classes else GOOD
        if listing.classes and good is None and len(self.maybe_good) == 1:
            (good,) = self.maybe_good
            self._forget_region(good)
        names = tuple(relative_name(sample.path, listing.root) for sample in self.kept)
        splits = tuple(sample.split for sample in self.kept if sample.split is not None)
        groups = self._groups(names)
        return Images(
            self.shown.rows,
            labels=np.array([classes.index(label) for label in self.labels], dtype=np.int64),
            names=names,
            hashes=tuple(self.hashes),
            classes=classes,
            groups=groups.numbers,
            good=classes.index(good) if good in classes else None,
            splits=splits or None,
            name=listing.name,
            group=self.options.group,
            test_share=listing.test_share,
            skipped=(*self.unreadable, *self.unlabelled, *self.unmarked),
            masks=None if self.masks is None else self.masks.rows[:, 0],
            mark_hashes=tuple(self.mark_hashes) or None,
            boxes=None if self.boxes is None else tuple(self.boxes),
            regions=() if self.masks is None and self.boxes is None else self.listing.region_classes,
            tile=self.options.tile,
            sizes=None if self.options.tile is None else np.array(self.sizes, dtype=np.int64),
            remarks=(*listing.remarks, *self.decoder.remarks, *self._remarks(), *groups.remarks),
            bits=self.decoder.bits,
        )

    def _remarks(self) -> Iterator[str]:
        """How the marks were understood, and which entries name no image that may be read."""
        lost = [finding for finding in self.listing.findings if finding.kind in ("refused-path", "missing-image")]
        if lost:
            first = lost[0].files[0]
            yield f"annotations of files that are missing or outside the folder, left out: {len(lost)}, as {first}"
        if self.leveled:
            levels = ", ".join(map(str, sorted({level for levels in self.leveled for level in levels})))
            yield f"masks with several levels ({levels}), all of which count as the defect: {self.leveled.total()}"
        boxed = sum(map(_has_boxes_alone, self.kept)) if self.only_marked and self.masks is not None else 0
        if boxed:
            yield f"images with boxes alone, so that all that lies in a box counts as the defect: {boxed}"

    def _groups(self, names: tuple[str, ...]) -> Groups:
        if self.options.group == "auto":
            return groups_by_look(self.looks, self.hashes)
        if self.options.group == "none":
            return Groups(np.arange(len(names), dtype=np.int64))
        return groups_by_name(self.options.group, names, self.hashes)

    def _forget_region(self, label: str) -> None:
        """Leave the good class, which nothing is drawn in, out of the classes of defects."""
        regions = self.listing.region_classes
        if label in regions:
            if self.masks is not None:
                self.masks.rows[self.masks.rows > regions.index(label)] -= 1
            for boxes in self.boxes or ():
                boxes[boxes[:, 4] > regions.index(label), 4] -= 1
            self.listing = replace(self.listing, region_classes=tuple(name for name in regions if name != label))

    def _check_readable(self) -> None:
        share, total = self.options.max_unreadable_share, len(self.kept) + len(self.unreadable)
        if len(self.unreadable) > share * total:
            name, why = self.unreadable[0]
            raise DataError(
                f"{len(self.unreadable)} of {total} images in {self.listing.root} cannot be used",
                got=f"{name} ({why})" + (" and others" if len(self.unreadable) > 1 else ""),
                fix=f"repair or remove them; up to {share:.0%} are skipped",
            )

    def _check_classes(self, classes: tuple[str, ...]) -> None:
        missing = set(classes) - set(self.labels)
        if missing and not self.only_marked:
            raise DataError(
                "a class has no readable image",
                got=", ".join(sorted(missing)),
                fix="repair its images or leave it out with --labels",
            )
        if len(classes) < 2 and not self.only_marked:
            raise too_few_classes(classes)


def _unmarked_classes(listing: Listing) -> set[str]:
    """Where no class is known as the good one: those that may be, all of whose images have masks, or no defect."""
    if listing.good is not None:
        return set()
    ruled_out = {sample.label for sample in listing.samples if not _may_be_unmarked(sample)}
    return set(listing.classes) - ruled_out


def _has_boxes_alone(sample: Sample) -> bool:
    return bool(sample.regions) and all(isinstance(region.shape, Box) for region in sample.regions or ())


def _may_be_unmarked(sample: Sample) -> bool:
    regions = sample.regions
    return regions is not None and all(isinstance(region.shape, MaskFile | MatMask) for region in regions)


def look_of_pixels(pixels: np.ndarray) -> Look:
    """Describe pixels uint8 (H, W, C) for the search of duplicates, C = 1 or 3."""
    return look_of(Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels))


def _load_synthetic(options: LoadOptions, progress: Progress | None) -> Images:
    input, group = options.input, options.group
    images = plates(progress=progress)
    choice = choose_labels(images.classes, options.labels, options.good)
    index = [choice.classes.index(choice.mapping[name]) for name in images.classes]
    pixels = images.pixels
    if images.shape[1:] != (input, input):
        pixels = np.stack([resize(plate.transpose(1, 2, 0), input, input).transpose(2, 0, 1) for plate in pixels])
    different = group in ("auto", "none")
    groups = Groups(images.groups) if different else groups_by_name(group, images.names, images.hashes)
    return replace(
        images,
        pixels=pixels,
        labels=np.array(index, dtype=np.int64)[images.labels],
        classes=choice.classes,
        good=None if choice.good is None else choice.classes.index(choice.good),
        groups=groups.numbers,
        group=group,
        remarks=groups.remarks,
    )
