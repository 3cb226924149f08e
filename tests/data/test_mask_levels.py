"""Every class of a mask counts, however it is written, and no soft edge and no noise does."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter
from scipy.ndimage import binary_dilation, binary_erosion

from compressdefect.data.load import load_images
from compressdefect.data.marks.levels import is_copy, marked, marking
from compressdefect.errors import DataError
from tests.data import layouts

SQUARES = (4, 20, 36, 52)  # corners of four squares of 12 pixels


def squares(levels: tuple[int, ...]) -> np.ndarray:
    mask = np.zeros((72, 72), dtype=np.uint8)
    for corner, level in zip(SQUARES, levels, strict=False):
        mask[corner : corner + 12, corner : corner + 12] = level
    return mask


def jpeg(picture: Image.Image | np.ndarray, quality: int) -> np.ndarray:
    buffer = io.BytesIO()
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    image.save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer))


def drawn(seed: int, side: int) -> np.ndarray:
    """One defect with soft edges: a line and an ellipse, drawn large and made smaller."""
    rng = np.random.default_rng(seed)
    picture = Image.new("L", (512, 512))
    pen = ImageDraw.Draw(picture)
    pen.line([tuple(map(int, rng.integers(0, 512, 2))) for _ in range(4)], 255, width=int(rng.integers(2, 24)))
    pen.ellipse((100, 100, 300 + int(rng.integers(99)), 220), fill=255)
    return np.asarray(picture.resize((side, side), Image.Resampling.BICUBIC))


@pytest.mark.parametrize(
    "levels", [(50, 100, 150, 200), (100, 255), (20, 40, 60, 80), (10, 20, 30, 200), (127, 255), (85, 170, 255)]
)
def test_classes_that_are_spread_out_all_count(levels: tuple[int, ...]) -> None:
    mask = squares(levels)
    np.testing.assert_array_equal(marked(mask), mask > 0)
    assert marking(mask).classes == levels


@pytest.mark.parametrize("quality", [60, 75, 90, 98])
def test_so_they_do_when_compressed_or_with_soft_edges(quality: int) -> None:
    mask = np.kron(squares((50, 100, 150, 200)), np.ones((3, 3), dtype=np.uint8))
    soft = np.asarray(Image.fromarray(mask).filter(ImageFilter.GaussianBlur(0.7)))
    for found in (marked(jpeg(mask, quality)), marked(soft), marked(jpeg(soft, quality))):
        assert found[binary_erosion(mask > 0)].all()
        assert not found[~binary_dilation(mask > 0, iterations=3)].any()


@pytest.mark.parametrize("levels", [(1,), (1, 2, 3), (1, 2, 255), (3, 255), (7, 11, 19)])
def test_numbered_classes_do_not_vanish(levels: tuple[int, ...]) -> None:
    mask = squares(levels)
    np.testing.assert_array_equal(marked(mask), mask > 0)
    mask[70, 3:60] = 1  # a hairline of another class or the same
    np.testing.assert_array_equal(marked(mask), mask > 0)


@pytest.mark.parametrize("seed", range(24))
def test_one_defect_counts_from_half_of_white(seed: int) -> None:
    levels = drawn(seed, (256, 128, 90, 57)[seed % 4])
    for mask in (levels, jpeg(levels, 35 + 5 * (seed % 12)), jpeg((levels >= 128).astype(np.uint8) * 255, 95)):
        assert marking(mask) == (128, ())


def test_noise_beside_black_and_white_is_neither() -> None:
    mask = squares((255, 255))
    mask[mask == 0] = 1
    mask[60:70, 2:12] = 3
    mask[4:10, 4:16] = 254
    np.testing.assert_array_equal(marked(mask), squares((255, 255)) > 0)


def texture(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(40, 220, (12, 12, 3), dtype=np.uint8))
    return np.asarray(coarse.resize((64, 64), Image.Resampling.BICUBIC))


@pytest.mark.parametrize("quality", [40, 75, 95])
def test_a_copy_of_the_image_is_told(quality: int) -> None:
    pixels = texture(quality)
    compressed = jpeg(pixels, quality)
    assert is_copy(pixels.max(axis=2), compressed)
    assert is_copy(pixels[..., 0], jpeg(pixels[..., 0], quality)[..., None])
    assert not is_copy(texture(1 + quality).max(axis=2), compressed)


def test_a_mask_of_a_bright_defect_on_black_is_no_copy() -> None:
    soft = drawn(3, 128)
    assert not is_copy(jpeg(soft, 90), soft[..., None])
    black = np.zeros((32, 32), dtype=np.uint8)
    assert not is_copy(black, black[..., None])


def test_a_training_sees_every_class_and_says_so(tmp_path: Path) -> None:
    for number in range(3):
        layouts.picture(tmp_path / f"{number}.bmp")
        mask = np.zeros((layouts.HEIGHT, layouts.WIDTH), dtype=np.uint8)
        for level, left in ((50, 2), (100, 9), (150, 16), (200, 23)):
            mask[4:9, left : left + 5] = level if number else 0
        Image.fromarray(mask).save(tmp_path / f"{number}_mask.png")
    images = load_images(tmp_path, input=60, group="none", masks=True)  # of 20 × 30
    assert images.masks is not None
    assert (images.masks > 0).sum(axis=(1, 2)).tolist() == [0, 5 * 3 * 20 * 2, 5 * 3 * 20 * 2]
    assert images.remarks == ("masks with several levels (50, 100, 150, 200), all of which count as the defect: 2",)


def test_boxes_alone_are_said_to_be_filled(tmp_path: Path) -> None:
    layouts.neu_det(tmp_path)
    remark = "images with boxes alone, so that all that lies in a box counts as the defect: 4"
    assert load_images(tmp_path, input=16, group="none", masks=True).remarks == (remark,)
    assert load_images(tmp_path, input=16, group="none").remarks == ()


def _copies(root: Path, *names: str) -> None:
    for number, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        image = Image.fromarray(texture(number))
        image.save(root / f"{name}.jpg")
        image.save(root / f"{name}.png")


def test_copies_of_images_with_a_class_are_no_masks(tmp_path: Path) -> None:
    _copies(tmp_path, "a/0", "a/1", "b/0", "b/1")
    images = load_images(tmp_path, input=16, group="none")
    assert (images.names, images.good) == (("a/0.jpg", "a/1.jpg", "b/0.jpg", "b/1.jpg"), None)
    assert set(images.skipped) == {(f"the mask of {name}", "it is a copy of the image") for name in images.names[::2]}


def test_copies_of_images_without_one_are_refused(tmp_path: Path) -> None:
    _copies(tmp_path, "0", "1", "2")
    with pytest.raises(DataError, match=r"3 of 3 images .* got 0\.jpg \(it is a copy of the image\)"):
        load_images(tmp_path, input=16)
