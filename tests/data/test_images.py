"""Images in tiles: what a network is shown changes, what is labelled, split and judged does not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from compressdefect.data import pile
from compressdefect.data.images import Images
from compressdefect.data.load import load_images
from compressdefect.data.pixels import resize, resize_mask
from compressdefect.data.split import Split, make_split
from compressdefect.data.tiles import Tiling
from compressdefect.errors import DataError

SIZES = ((40, 100), (33, 70), (9, 30), (64, 64), (40, 100), (50, 20), (31, 32), (90, 33))


@pytest.fixture(scope="module")
def webs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Webs of different sizes with masks beside them; every second has a scratch, and the fifth copies the first."""
    root, rng = tmp_path_factory.mktemp("webs"), np.random.default_rng(0)
    for i, (height, width) in enumerate(SIZES):
        pixels, mask = rng.integers(60, 120, (height, width, 3), dtype=np.uint8), np.zeros((height, width), np.uint8)
        if i % 2:
            mask[height // 2, 2:] = 255
            pixels[mask > 0] = 250
        Image.fromarray(pixels if i == 3 else pixels[..., 0]).save(root / f"{i}.png")
        Image.fromarray(mask).save(root / f"{i}_mask.png")
    (root / "4.png").write_bytes((root / "0.png").read_bytes())
    return root


@pytest.fixture(scope="module")
def tiled(webs: Path) -> Images:
    return load_images(webs, input=32, masks=True, tile=32)


def test_an_image_is_its_tiles(tiled: Images, webs: Path) -> None:
    assert tiled.shape == (3, 32, 32)
    assert len(tiled) == len(SIZES)
    assert tiled.sizes is not None
    for i, (height, width) in enumerate(SIZES):
        assert tiled.sizes[i].tolist() == [height, width]
        assert len(tiled.rows(np.array([i]))) == len(Tiling.of(height, width, 32))
        decoded = np.asarray(Image.open(webs / f"{i}.png").convert("RGB"))
        np.testing.assert_array_equal(tiled.picture(i), decoded.transpose(2, 0, 1))
        np.testing.assert_array_equal(tiled.mask(i) * 255, np.asarray(Image.open(webs / f"{i}_mask.png")))
    assert tiled.marked.tolist() == [i % 2 == 1 for i in range(len(SIZES))]
    assert tiled.rows(np.arange(len(SIZES))).tolist() == list(range(len(tiled.pixels)))


def test_all_but_the_pixels_is_as_without_tiles(tiled: Images, webs: Path) -> None:
    whole = load_images(webs, input=32, masks=True)
    assert whole.sizes is None
    assert tiled.groups[0] == tiled.groups[4]
    for key in ("names", "hashes", "classes", "mark_hashes", "regions", "good", "skipped", "fingerprint"):
        assert getattr(tiled, key) == getattr(whole, key), key
    for key in ("labels", "groups", "marked"):
        np.testing.assert_array_equal(getattr(tiled, key), getattr(whole, key), err_msg=key)
    split = make_split(whole, seed=1)
    same, read = make_split(tiled, seed=1), Split.from_json(split.to_json(whole), tiled)
    for part in ("train", "val", "test"):
        assert getattr(same, part).tolist() == getattr(read, part).tolist() == getattr(split, part).tolist()


def test_tiles_of_another_size_than_the_input_are_cut_from_the_resized_image(webs: Path) -> None:
    tiled = load_images(webs, input=16, masks=True, tile=24)
    for i, (height, width) in enumerate(SIZES):
        small = round(height * 16 / 24), round(width * 16 / 24)
        decoded = np.asarray(Image.open(webs / f"{i}.png").convert("RGB"))
        np.testing.assert_array_equal(tiled.picture(i), resize(decoded, *small).transpose(2, 0, 1))
        mask = np.asarray(Image.open(webs / f"{i}_mask.png"))
        np.testing.assert_array_equal(tiled.mask(i) * 255, resize_mask(mask, *small))


def test_pieces_are_images_of_their_own(tiled: Images) -> None:
    pieces, rows = tiled.pieces, tiled.rows(np.array([3, 0]))
    assert pieces.pixels is tiled.pixels
    assert len(pieces) == len(pieces.labels) == len(tiled.pixels)
    assert pieces.sizes is None
    assert [pieces.names[row] for row in rows] == ["3.png"] * 9 + ["0.png"] * 8
    assert set(pieces.groups[rows].tolist()) == set(tiled.groups[[3, 0]].tolist())
    np.testing.assert_array_equal(pieces.picture(5), tiled.pixels[5])
    assert pieces.pieces is pieces


def test_some_of_the_images_keep_their_tiles(tiled: Images, tmp_path: Path) -> None:
    some = tiled.subset(np.array([5, 1]))
    assert some.names == ("5.png", "1.png")
    tiled.save(tmp_path)
    for images, indices in ((some, [5, 1]), (Images.load(tmp_path), range(len(tiled)))):
        for i, index in enumerate(indices):
            np.testing.assert_array_equal(images.picture(i), tiled.picture(index))
            np.testing.assert_array_equal(images.mask(i), tiled.mask(index))
    loaded = Images.load(tmp_path)
    assert isinstance(loaded.pixels, np.memmap)
    assert (loaded.tile, loaded.fingerprint) == (32, tiled.fingerprint)


@given(st.integers(1, 90), st.integers(1, 90), st.integers(8, 40))
def test_whatever_the_size_every_pixel_counts_once(height: int, width: int, side: int) -> None:
    rng = np.random.default_rng(0)
    picture, mask = rng.integers(0, 256, (1, height, width), dtype=np.uint8), rng.integers(0, 3, (height, width))
    tiling, one = Tiling.of(height, width, side), np.zeros(1, dtype=np.int64)
    images = Images(
        tiling.cut(picture),
        labels=one,
        names=("a",),
        hashes=("a",),
        classes=("good",),
        groups=one,
        masks=tiling.cut(mask.astype(np.uint8)),
        tile=side,
        sizes=np.array([[height, width]]),
    )
    np.testing.assert_array_equal(images.picture(0), picture)
    np.testing.assert_array_equal(images.mask(0), mask)


def test_a_scratch_of_three_pixels_on_a_web_of_4096_survives_tiles_and_never_vanishes(tmp_path: Path) -> None:
    scratch = np.zeros((512, 4096), dtype=np.uint8)
    scratch[100:400, 1790:1793] = 255  # a tile begins in its middle, at 1792
    for name, mask in (("bad", scratch), ("fine", np.zeros_like(scratch))):
        Image.fromarray(100 + mask // 4).save(tmp_path / f"{name}.png")
        Image.fromarray(mask).save(tmp_path / f"{name}_mask.png")
    tiled = load_images(tmp_path, input=512, masks=True, tile=512)
    assert len(tiled.pixels) == 2 * len(Tiling.of(512, 4096, 512)) == 2 * 9
    np.testing.assert_array_equal(tiled.mask(0) * 255, scratch)
    assert np.count_nonzero(tiled.picture(0) == 163) == 900
    shrunk = load_images(tmp_path, input=64, masks=True)
    assert 1 <= np.count_nonzero(shrunk.mask(0)) < 100
    assert shrunk.marked.tolist() == tiled.marked.tolist() == [True, False]


def test_large_images_first_are_no_reason_to_refuse_small_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The room is that for the tiles there are, not for as many as the first images would let expect."""
    for number in range(40):
        side = 96 if number == 0 else 32
        Image.fromarray(np.full((side, side), number, dtype=np.uint8)).save(tmp_path / f"{number:02}.png")
        Image.fromarray(np.eye(side, dtype=np.uint8)).save(tmp_path / f"{number:02}_mask.png")
    tiles = len(Tiling.of(96, 96, 32)) + 39
    monkeypatch.setattr(pile.os, "sysconf", lambda name: {"SC_PAGE_SIZE": 32 * 32}.get(name, tiles))
    assert len(load_images(tmp_path, input=32, masks=True, tile=32, group="none").pixels) == tiles
    monkeypatch.setattr(pile.os, "sysconf", lambda name: {"SC_PAGE_SIZE": 32 * 32}.get(name, tiles - 1))
    with pytest.raises(DataError, match="do not fit into memory"):
        load_images(tmp_path, input=32, masks=True, tile=32, group="none")
