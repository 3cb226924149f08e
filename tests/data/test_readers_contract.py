"""What every reader passes: it finds again what a writer of its layout put down, and no bad file stops it."""

from __future__ import annotations

import contextlib
import pickle
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from compressdefect.data.formats.files import relative_name
from compressdefect.data.marks.convert import boxes_of, region_boxes
from compressdefect.data.read import READERS, read_all
from compressdefect.data.sample import Listing, Sample
from compressdefect.errors import DataError
from tests.data.layouts import HEIGHT, LAYOUTS, WIDTH, Truth

CASES = [(name, writer) for name, writers in LAYOUTS.items() for writer in writers]


@pytest.fixture(params=CASES, ids=lambda case: case[1].__name__)
def case(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Path, Truth]:
    """The reader's name, the folder, and what is true of the images in it."""
    name, writer = request.param
    return name, tmp_path, writer(tmp_path)


def _by_name(listing: Listing) -> dict[str, Sample]:
    named = {relative_name(sample.path, listing.root): sample for sample in listing.samples}
    assert len(named) == len(listing.samples)
    return named


def test_every_reader_has_a_writer() -> None:
    assert set(READERS) == set(LAYOUTS)


def test_layout_is_detected(case: tuple[str, Path, Truth]) -> None:
    name, root, _ = case
    assert READERS[name].detect(root)
    listing = read_all(root)
    assert (listing.format, listing.root, listing.name) == (name, root, root.name)
    assert listing == READERS[name].read(root) == read_all(root, format=name)


def test_samples_come_back(case: tuple[str, Path, Truth]) -> None:
    _, root, truth = case
    listing = read_all(root)
    found = _by_name(listing)
    assert {name: (sample.label, sample.split) for name, sample in found.items()} == {
        name: (known.label, known.split) for name, known in truth.items()
    }
    assert listing.classes == tuple(sorted({known.label for known in truth.values() if known.label}))
    assert not listing.findings
    assert not listing.skipped


def test_regions_come_back(case: tuple[str, Path, Truth]) -> None:
    _, root, truth = case
    for name, sample in _by_name(read_all(root)).items():
        expected = truth[name].regions
        assert (sample.regions is None) == (expected is None), name
        for region, known in zip(sample.regions or (), expected or (), strict=True):
            assert region.label == known.label
            np.testing.assert_array_equal(region.shape.rasterize(HEIGHT, WIDTH), known.mask, err_msg=name)
            for box, of_mask in zip(region_boxes(region, HEIGHT, WIDTH), boxes_of(known.mask), strict=True):
                corners = (box.x0, box.y0, box.x1, box.y1)
                assert corners == pytest.approx((of_mask.x0, of_mask.y0, of_mask.x1, of_mask.y1), abs=1e-4)


def test_no_image_is_opened(case: tuple[str, Path, Truth]) -> None:
    _, root, truth = case
    before = read_all(root)
    for name in truth:
        (root / name).write_bytes(b"")
    assert read_all(root) == before


def test_listing_travels_between_processes(case: tuple[str, Path, Truth]) -> None:
    listing = read_all(case[1])
    assert pickle.loads(pickle.dumps(listing)) == listing


def test_links_out_of_the_folder_are_refused(
    case: tuple[str, Path, Truth], tmp_path_factory: pytest.TempPathFactory
) -> None:
    _, root, truth = case
    outside = tmp_path_factory.mktemp("outside") / "secret.jpg"
    outside.write_bytes(b"secret")
    name = next(iter(truth))
    (root / name).unlink()
    (root / name).symlink_to(outside)
    listing = read_all(root)
    assert name not in _by_name(listing)
    assert any(finding.kind == "refused-path" and name in finding.files for finding in listing.findings)


def test_hidden_files_are_left_alone(case: tuple[str, Path, Truth]) -> None:
    _, root, truth = case
    before = read_all(root)
    for name in truth:
        (root / name).with_name(f"._{Path(name).name}").write_bytes(b"")
    assert read_all(root) == before


@pytest.mark.parametrize("garbage", [b"", b"\0\xff<", b"{" * 5000, b"\xef\xbb\xbf1 2 3\n,\n"])
def test_broken_annotations_end_nothing(case: tuple[str, Path, Truth], garbage: bytes) -> None:
    """Every annotation file but one of its kind is replaced; the reader reports and goes on."""
    name, root, truth = case
    annotations = sorted(path for path in root.rglob("*") if path.is_file() and relative_name(path, root) not in truth)
    if not annotations:
        pytest.skip("no annotation files")
    for path in annotations:
        content = path.read_bytes()
        path.write_bytes(garbage)
        if READERS[name].detect(root) or name == "neu_det":
            listing = READERS[name].read(root)
            assert listing.samples or listing.findings
        path.write_bytes(content)


def _opened(listing: Listing) -> Iterator[Path]:
    """Every file that a listing would have opened."""
    for sample in listing.samples:
        yield sample.path
        yield from (path for region in sample.regions or () if (path := getattr(region.shape, "path", None)))


def _listings(name: str, root: Path) -> list[Listing]:
    """What is found in a folder, by whichever reader takes it and by its own, where they take it at all."""
    found = []
    for format in (None, name):
        with contextlib.suppress(DataError):
            found.append(read_all(root, format))
    return found


def test_nothing_is_read_through_a_link_out_of_the_folder(
    case: tuple[str, Path, Truth], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Each folder and each annotation file in turn is moved out and linked back."""
    name, root, truth = case
    outside = tmp_path_factory.mktemp("outside") / "moved"
    for path in sorted(root.rglob("*")):
        inner = relative_name(path, root)
        if inner in truth:
            continue
        path.rename(outside)
        path.symlink_to(outside)
        found = _listings(name, root)
        for listing in found:
            assert all(file.resolve().is_relative_to(root.resolve()) for file in _opened(listing)), inner
            refused = {file for finding in listing.findings if finding.kind == "refused-path" for file in finding.files}
            assert inner in refused, inner
        if outside.is_file():
            content = outside.read_bytes()
            outside.write_bytes(b"something else")
            assert _listings(name, root) == found, inner
            outside.write_bytes(content)
        path.unlink()
        outside.rename(path)
