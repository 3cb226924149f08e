"""Every kind of finding is found where it is, and nowhere else; no file ends an audit."""

from __future__ import annotations

import shutil
import struct
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from compressdefect.data import duplicates
from compressdefect.data.audit import rules as audit_rules
from compressdefect.data.audit.audit import Audit, audit
from compressdefect.data.audit.rules import ADVICE
from compressdefect.data.marks.shapes import Box, MaskFile, Polygon
from compressdefect.data.read import read_all
from compressdefect.data.sample import Finding, Listing, Region, Sample, Stated
from tests.data.fixture import Fixture, photographs, write

WriteImage = Callable[..., Path]
Found = dict[str, list[tuple[str, ...]]]


def found_in(result: Audit) -> Found:
    """The files of the findings by kind, without those about small classes, since all classes are small here."""
    kinds: Found = {}
    for finding in result.findings:
        if finding.kind != "small-class":
            kinds.setdefault(finding.kind, []).append(finding.files)
    return kinds


def listing_of(root: Path, *samples: Sample) -> Listing:
    labels = {sample.label for sample in samples if sample.label is not None}
    regions = {region.label for sample in samples for region in sample.regions or ()}
    return Listing(
        "made", root, samples, tuple(sorted(labels)), region_classes=tuple(sorted(regions - {"good"})), format="made"
    )


def write_mask(path: Path, size: tuple[int, int] = (24, 32), marked: bool = True) -> MaskFile:
    mask = np.zeros(size, dtype=np.uint8)
    mask[4:9, 6:12] = 255 * marked
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(mask).save(path)
    return MaskFile(path)


@pytest.fixture
def twelve_each(tmp_path: Path, write_image: WriteImage) -> Path:
    for number in range(12):
        write_image(f"good/{number:02}.png")
        write_image(f"scratch/{number:02}.png")
    return tmp_path


def test_clean_data_has_no_findings(twelve_each: Path) -> None:
    result = audit(read_all(twelve_each))
    assert result.findings == ()
    assert result.to_json() == {
        "format": "class_folders",
        "ignored_tables": [],
        "images": 24,
        "classes": {"good": 12, "scratch": 12},
        "splits": {},
        "sizes": [{"height": 24, "width": 32, "images": 24}],
        "distinct_sizes": 1,
        "bits": None,
        "channels": {"1": 24},
        "near_duplicates": {"images": 0, "groups": 0, "largest_group": 0, "random_half_leak": 0.0},
        "findings": [],
    }


def test_damaged_files_are_named_and_end_nothing(twelve_each: Path) -> None:
    (twelve_each / "good/empty.png").write_bytes(b"")
    (twelve_each / "good/text.png").write_text("no image")
    whole = (twelve_each / "good/00.png").read_bytes()
    (twelve_each / "good/cut.png").write_bytes(whole[: len(whole) // 2])
    (twelve_each / "good/bomb.png").write_bytes(_huge_png())
    done: list[tuple[int, int]] = []
    result = audit(read_all(twelve_each), progress=lambda *counts: done.append(counts))
    names = ["good/bomb.png", "good/cut.png", "good/empty.png", "good/text.png"]
    assert found_in(result) == {"unreadable": [(name,) for name in names]}
    assert [f.message for f in result.findings if "empty" in f.files[0]] == ["cannot be read: the file is empty"]
    assert result.to_json()["images"] == 28
    assert done[-1] == (28, 28)


def test_large_and_odd_files_are_named_whatever_threads_do(twelve_each: Path) -> None:
    """Decoding many files at once, some of which Pillow warns of, leaves warnings and the other files alone."""
    for number in range(20):
        (twelve_each / f"good/large{number:02}.png").write_bytes(_huge_png(12_000))
    (twelve_each / "good/odd.ppm").write_bytes(b"P6\n5 x\n255\n")
    (twelve_each / "good/cut.png").write_bytes(_huge_png()[:18])
    filters = list(warnings.filters)
    found = found_in(audit(read_all(twelve_each)))
    assert warnings.filters == filters
    names = [*(f"good/large{number:02}.png" for number in range(20)), "good/cut.png", "good/odd.ppm"]
    assert found == {"unreadable": [(name,) for name in sorted(names)]}


def _huge_png(side: int = 60_000) -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def test_equal_pixels_are_a_duplicate_and_a_conflict_where_the_labels_differ(twelve_each: Path) -> None:
    shutil.copy(twelve_each / "good/03.png", twelve_each / "good/copy.png")
    Image.open(twelve_each / "scratch/05.png").save(twelve_each / "good/other.bmp")
    result = audit(read_all(twelve_each))
    assert found_in(result) == {
        "duplicate": [("good/03.png", "good/copy.png"), ("good/other.bmp", "scratch/05.png")],
        "label-conflict": [("good/other.bmp", "scratch/05.png")],
    }
    messages = {finding.files[0]: finding.message for finding in result.findings if finding.kind == "duplicate"}
    assert messages == {"good/03.png": "2 images are the same file", "good/other.bmp": "2 images have equal pixels"}
    assert result.to_json()["near_duplicates"] == {
        "images": 4,
        "groups": 2,
        "largest_group": 2,
        "random_half_leak": round(4 / 26 / 2, 4),
    }


def _lighter(source: Path, target: Path, gain: float = 0.8) -> None:
    pixels = np.asarray(Image.open(source).convert("L")).astype(float)
    target.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.clip(pixels * gain + 20, 0, 255).astype(np.uint8)).save(target)


def test_another_exposure_is_a_near_duplicate(twelve_each: Path) -> None:
    _lighter(twelve_each / "good/03.png", twelve_each / "good/03_lighter.png")
    result = audit(read_all(twelve_each))
    assert found_in(result) == {"near-duplicate": [("good/03.png", "good/03_lighter.png")]}
    assert result.leak == pytest.approx(2 / 25 / 2)
    for copy in ("a", "b"):
        shutil.copy(twelve_each / "good/03.png", twelve_each / f"good/copy_{copy}.png")
    assert audit(read_all(twelve_each)).leak == pytest.approx(4 / 27 * (1 - 0.5**3))  # each is a twin of three others


def test_a_picture_in_two_official_parts_leaks(tmp_path: Path, write_image: WriteImage) -> None:
    for part in ("train", "test"):
        for number in range(3):
            write_image(f"{part}/good/{number}.png")
            write_image(f"{part}/scratch/{number}.png")
    shutil.copy(tmp_path / "train/good/0.png", tmp_path / "test/good/same.png")
    _lighter(tmp_path / "test/scratch/1.png", tmp_path / "train/scratch/lighter.png")
    result = audit(read_all(tmp_path))
    same = ("test/good/same.png", "train/good/0.png")
    alike = ("test/scratch/1.png", "train/scratch/lighter.png")
    assert found_in(result) == {"duplicate": [same], "near-duplicate": [alike], "split-leak": [same, alike]}
    assert result.splits == {"train": {"good": 3, "scratch": 4}, "test": {"good": 4, "scratch": 3}}


@pytest.mark.parametrize("pairs", [duplicates.MAX_PAIRS, 100])
def test_parts_in_one_fixed_view_are_no_near_duplicates(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pairs: int
) -> None:
    monkeypatch.setattr(duplicates, "MAX_PAIRS", pairs)
    fixture = Fixture()
    parts = photographs(fixture, 30)
    parts[4:6] = photographs(fixture, 1, each=2)
    result = audit(read_all(write(tmp_path, parts)))
    assert found_in(result) == {"near-duplicate": [("good/004.png", "scratch/005.png")]}
    assert result.leak == pytest.approx(2 / 30 / 2)


def test_many_images_that_look_alike_may_be_a_fixed_view(twelve_each: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_rules, "MANY_ALIKE", 2)
    for number in range(2):
        _lighter(twelve_each / "good/03.png", twelve_each / f"good/03_{number}.png", gain=0.5 + 0.2 * number)
    (finding,) = audit(read_all(twelve_each)).findings
    assert len(finding.files) == 3
    assert "--group REGEX" in finding.advice


def test_masks_that_contradict_the_class(tmp_path: Path, write_image: WriteImage) -> None:
    def sample(name: str, label: str, marked: bool) -> Sample:
        mask = write_mask(tmp_path / f"{name}_mask.png", marked=marked)
        return Sample(write_image(f"{name}.png"), label, regions=(Region("scratch", mask),))

    samples = [
        sample("a", "scratch", True),
        sample("b", "scratch", False),
        sample("c", "good", False),
        sample("d", "good", True),
        Sample(write_image("e.png"), "scratch", regions=()),
        Sample(write_image("f.png"), "scratch"),
        Sample(write_image("g.png"), "good"),
        Sample(write_image("h.png"), None),
    ]
    assert found_in(audit(listing_of(tmp_path, *samples))) == {
        "unlabelled": [("f.png",), ("h.png",)],
        "empty-mask": [("b.png",), ("e.png",)],
        "unexpected-mask": [("d.png",)],
    }


def test_the_class_whose_masks_are_all_empty_is_the_good_one(tmp_path: Path, write_image: WriteImage) -> None:
    samples = []
    for number in range(3):
        for label in ("plain", "dent"):
            name = f"{label}{number}"
            mask = write_mask(tmp_path / f"{name}_mask.png", marked=label == "dent")
            samples.append(Sample(write_image(f"{name}.png"), label, regions=(Region(label, mask),)))
    result = audit(listing_of(tmp_path, *samples))
    assert result.good == "plain"
    assert found_in(result) == {}
    assert audit(listing_of(tmp_path, *samples), good="dent").good == "dent"


def test_masks_of_another_size_and_broken_ones(tmp_path: Path, write_image: WriteImage) -> None:
    (tmp_path / "text.png").write_text("no mask")
    samples = [
        Sample(write_image("a.png"), "dent", regions=(Region("dent", write_mask(tmp_path / "m.png", (24, 30))),)),
        Sample(write_image("b.png"), "dent", regions=(Region("dent", MaskFile(tmp_path / "text.png")),)),
        Sample(write_image("c.png"), "dent", regions=(Region("dent", MaskFile(tmp_path / "gone.png")),)),
    ]
    result = audit(listing_of(tmp_path, *samples))
    assert found_in(result) == {"unreadable": [("b.png",), ("c.png",)], "size-mismatch": [("a.png",)]}
    assert "30 × 24" in next(f.message for f in result.findings if f.kind == "size-mismatch")


def _image_with(write_image: WriteImage, path: Path, levels: np.ndarray, **options: object) -> Sample:
    Image.fromarray(levels).save(path, **options)
    return Sample(write_image(f"{path.stem}.bmp", levels.shape), "dent", regions=(Region("dent", MaskFile(path)),))


def test_masks_of_several_classes_are_named(tmp_path: Path, write_image: WriteImage) -> None:
    mask = np.zeros((64, 64), dtype=np.uint8)
    for number, corner in enumerate((4, 18, 32, 46)):
        mask[corner : corner + 10, 5:25] = 50 * (number + 1)
    low = mask // 50
    void = np.where(mask > 150, 255, np.where(mask > 0, 1, 0)).astype(np.uint8)
    samples = [
        _image_with(write_image, tmp_path / name, levels)
        for name, levels in (("a.png", mask), ("b.png", low), ("c.png", void), ("d.jpg", mask))
    ]
    found = {f.files[0]: f.message for f in audit(listing_of(tmp_path, *samples)).findings if "mask" in f.message}
    assert found == {
        "a.bmp": "its mask has the levels 50, 100, 150, 200; all of them count as dent",
        "b.bmp": "its mask has the levels 1, 2, 3, 4; all of them count as dent",
        "c.bmp": "its mask has the levels 1, 255; all of them count as dent",
        "d.bmp": "its mask has the levels 50, 100, 150, 200; all of them count as dent",
    }


@pytest.mark.parametrize("kind", ["png", "jpg"])
def test_soft_edges_and_compression_are_no_classes(tmp_path: Path, write_image: WriteImage, kind: str) -> None:
    rng, samples = np.random.default_rng(0), []
    for number in range(12):
        picture = Image.new("L", (256, 256))
        pen = ImageDraw.Draw(picture)
        pen.line([tuple(map(int, rng.integers(0, 256, 2))) for _ in range(4)], 255, width=int(rng.integers(1, 12)))
        pen.ellipse((60, 60, 140 + number, 110), fill=255)
        side = (256, 128, 90, 57)[number % 4]
        levels = np.asarray(picture.resize((side, side), Image.Resampling.BICUBIC))
        quality = {"quality": 40 + 5 * number} if kind == "jpg" else {}
        samples.append(_image_with(write_image, tmp_path / f"{number}.{kind}", levels, **quality))
    assert not [f for f in audit(listing_of(tmp_path, *samples)).findings if "mask" in f.message]


def test_a_copy_of_the_image_is_no_mask(tmp_path: Path, write_image: WriteImage) -> None:
    write_image("a/0.jpg")
    with Image.open(tmp_path / "a/0.jpg") as image:
        image.save(tmp_path / "a/0.png")
    write_image("a/1.jpg")
    write_mask(tmp_path / "a/1.png")
    result = audit(read_all(tmp_path))
    assert found_in(result) == {"unexpected-mask": [("a/0.jpg",)]}
    assert [f.message for f in result.findings if f.kind == "unexpected-mask"] == [
        "its mask is no mask: it is a copy of the image"
    ]


def test_a_mask_of_nearly_everything_is_named(tmp_path: Path, write_image: WriteImage) -> None:
    mask = np.full((40, 40), 255, dtype=np.uint8)
    mask[10:14, 10:14] = 0
    inverted, half = _image_with(write_image, tmp_path / "a.png", mask), mask.copy()
    half[:20] = 0
    result = audit(listing_of(tmp_path, inverted, _image_with(write_image, tmp_path / "b.png", half)))
    assert [(f.kind, f.files, f.message) for f in result.findings if "mask" in f.message] == [
        ("unexpected-mask", ("a.bmp",), "its mask marks 99% of the image")
    ]


def test_boxes_that_leave_their_image(tmp_path: Path, write_image: WriteImage) -> None:
    shapes = {
        "inside": Box(0, 0, 32, 24),
        "rounding": Box(-0.4, 0, 32.4, 24, relative=False),
        "right": Box(20, 3, 34, 9),
        "left": Box(-5, 3, 4, 9),
        "flat": Box(4, 4, 4, 9),
        "relative": Box(0.5, 0.5, 1.2, 0.9, relative=True),
        "outline": Polygon(((3.0, 3.0), (9.0, 30.0), (3.0, 9.0))),
    }
    samples = [Sample(write_image(f"{name}.png"), None, regions=(Region("dent", s),)) for name, s in shapes.items()]
    result = audit(listing_of(tmp_path, *samples))
    wrong = ("flat", "left", "outline", "relative", "right")
    assert found_in(result) == {"box-out-of-bounds": [(f"{name}.png",) for name in wrong]}
    message = next(f.message for f in result.findings if f.files == ("relative.png",))
    assert message == "a box leaves the image of 32 × 24: dent from (16, 12) to (38.4, 21.6)"
    assert result.classes == {"dent": 7}


def test_boxes_of_another_class_than_the_image(tmp_path: Path, write_image: WriteImage) -> None:
    dent, pit = (Region(label, Box(2, 2, 9, 9)) for label in ("dent", "pit"))
    samples = [
        Sample(write_image("a.png"), "dent", regions=(dent,)),
        Sample(write_image("b.png"), "dent", regions=(pit,)),
        Sample(write_image("c.png"), "pit", regions=(pit, dent)),
    ]
    result = audit(listing_of(tmp_path, *samples))
    assert found_in(result) == {"class-mismatch": [("b.png",), ("c.png",)]}
    assert [f.message for f in result.findings if f.kind == "class-mismatch"] == [
        "is dent, but only pit is marked in it",
        "is pit, but also dent is marked in it",
    ]


def test_regions_named_only_defect_are_no_other_class(tmp_path: Path, write_image: WriteImage) -> None:
    defect = Region("defect", Box(2, 2, 9, 9))
    assert found_in(audit(listing_of(tmp_path, Sample(write_image("a.png"), "dent", regions=(defect,))))) == {}


def test_one_wrong_statement_about_many_images_is_one_finding(tmp_path: Path, write_image: WriteImage) -> None:
    samples = [
        Sample(write_image(f"{number}.png", channels=3), "dent", stated=Stated(24, 32, 1)) for number in range(5)
    ]
    samples.append(Sample(write_image("other.png"), "dent", stated=Stated(32, 24, 1)))
    samples.append(Sample(write_image("right.png"), "dent", stated=Stated(24, None, None)))
    result = audit(listing_of(tmp_path, *samples))
    assert found_in(result) == {"metadata-mismatch": [tuple(f"{n}.png" for n in range(5)), ("other.png",)]}
    assert result.findings[0].message == "the annotation says 1 channel, the image has 3"


def test_small_classes_and_those_without_images(tmp_path: Path, write_image: WriteImage) -> None:
    samples = [Sample(write_image(f"{n}.png"), None, regions=(Region("dent", Box(1, 1, 5, 5)),)) for n in range(12)]
    samples.append(Sample(write_image("pit.png"), None, regions=(Region("pit", Box(1, 1, 5, 5)),)))
    listing = listing_of(tmp_path, *samples)
    listing = Listing(listing.name, tmp_path, listing.samples, (), region_classes=("dent", "pit", "ghost"))
    small = [f for f in audit(listing).findings if f.kind == "small-class"]
    assert [(f.files, f.message) for f in small] == [
        ((), "the class ghost has no images"),
        (("pit.png",), "the class pit has 1 image"),
    ]


def test_one_class_alone_is_nothing_to_tell_apart(tmp_path: Path, write_image: WriteImage) -> None:
    for number in range(12):
        write_image(f"good/{number:02}.png")
    (finding,) = audit(read_all(tmp_path)).findings
    assert (finding.kind, finding.files) == ("small-class", ())
    assert finding.message == "good is the only class, and nothing is marked: there is nothing to tell apart"
    marked = [
        Sample(tmp_path / f"good/{n:02}.png", "dent", regions=(Region("dent", Box(1, 1, 5, 5)),)) for n in range(12)
    ]
    assert audit(listing_of(tmp_path, *marked)).findings == ()


def test_tables_that_were_not_read_are_named(twelve_each: Path) -> None:
    (twelve_each / "labels.csv").write_bytes("path,label\ngood/00.png,good\n".encode("utf-16"))
    result = audit(read_all(twelve_each))
    assert (result.format, result.ignored_tables) == ("class_folders", ("labels.csv",))
    (twelve_each / "labels.csv").write_text("path,label\ngood/00.png,good\n")
    result = audit(read_all(twelve_each))
    assert (result.format, result.ignored_tables) == ("csv_table", ())


def test_what_a_reader_found_is_kept_one_file_each(tmp_path: Path, write_image: WriteImage) -> None:
    (tmp_path / "labels.csv").write_text(
        "path,label\na.png,good\nb.png,dent\ngone.png,dent\n/etc/passwd,dent\n../x,dent\n"
    )
    for name in ("a.png", "b.png", "unnamed.png"):
        write_image(name)
    kinds = found_in(audit(read_all(tmp_path)))
    assert kinds["missing-image"] == [("gone.png",)]
    assert kinds["unlabelled"] == [("unnamed.png",)]
    assert len(kinds["refused-path"]) == 2
    listing = Listing("made", tmp_path, (), (), findings=(Finding("missing-image", ("b", "a"), "is gone", "add it"),))
    assert [(f.files, f.advice) for f in audit(listing).findings] == [(("a",), "add it"), (("b",), "add it")]


@pytest.mark.parametrize(
    ("good", "scratch", "message"),
    [
        (
            {"channels": 1},
            {"channels": 3},
            "number of channels of an image tells whether it is good: 1 channel in 12 of 12 such images and 0 of 12",
        ),
        (
            {"size": (24, 32)},
            {"size": (20, 30)},
            "size of an image tells whether it is good: 32 × 24 pixels in 12 of 12 such images and 0 of 12 others",
        ),
        (
            {"kind": "png"},
            {"kind": "jpg"},
            "file format of an image tells whether it is good: .png in 12 of 12 such images and 0 of 12 others",
        ),
    ],
)
def test_a_class_that_was_captured_unlike_the_others_is_named(
    tmp_path: Path, write_image: WriteImage, good: dict[str, Any], scratch: dict[str, Any], message: str
) -> None:
    for label, options in (("good", good), ("scratch", scratch)):
        given = {name: value for name, value in options.items() if name != "kind"}
        for number in range(12):
            write_image(f"{label}/{number:02}.{options.get('kind', 'png')}", **given)
    (found,) = audit(read_all(tmp_path)).findings
    assert (found.kind, found.files) == ("capture-class", ())
    assert message in found.message


def test_one_of_several_classes_that_was_captured_unlike_the_others_is_named(
    tmp_path: Path, write_image: WriteImage
) -> None:
    for label in ("a", "b", "c"):
        for number in range(10):
            write_image(f"{label}/{number}.png", channels=3 if label == "b" else 1)
    (found,) = audit(read_all(tmp_path)).findings
    assert "tells whether it is b: 3 channels in 10 of 10 such images and 0 of 20 others" in found.message


def test_classes_that_share_their_ways_of_capture_are_not(tmp_path: Path, write_image: WriteImage) -> None:
    for number in range(20):
        write_image(f"good/{number:02}.png", channels=3 if number < 18 else 1)
        write_image(f"scratch/{number:02}.png", channels=1 if number < 18 else 3)  # often, and not nearly always
    for number in range(4):
        write_image(f"few/{number}.png", channels=3)
    assert "capture-class" not in found_in(audit(read_all(tmp_path)))


def test_images_of_many_sizes_do_not_tell_their_class(tmp_path: Path, write_image: WriteImage) -> None:
    for number in range(12):
        write_image(f"good/{number:02}.png", (20 + 2 * number, 30))
        write_image(f"scratch/{number:02}.png", (21 + 2 * number, 30))
    assert found_in(audit(read_all(tmp_path))) == {}


def test_every_finding_has_advice(twelve_each: Path) -> None:
    (twelve_each / "good/empty.png").write_bytes(b"")
    assert [f.advice for f in audit(read_all(twelve_each)).findings] == [ADVICE["unreadable"]]
