from __future__ import annotations

from dataclasses import replace

import numpy as np

from compressdefect.data.shrink import at_side
from compressdefect.data.synthetic.plates import plates


def test_pixels_are_averaged_and_marks_follow() -> None:
    images = plates(2, 2, 32)
    masks = np.zeros((4, 32, 32), dtype=np.uint8)
    masks[1, 8:16, 4:12] = 1
    boxes = tuple(np.array([[4, 8, 12, 16, 0]], dtype=np.float32) for _ in range(4))
    small = at_side(replace(images, masks=masks, boxes=boxes), 16)
    assert small.shape == (1, 16, 16)
    assert abs(float(small.pixels.mean()) - float(images.pixels.mean())) < 1
    assert small.masks is not None
    assert small.masks[1, 4:8, 2:6].all()
    assert small.masks.sum() == 16
    assert small.boxes is not None
    assert small.boxes[0].tolist() == [[2, 4, 6, 8, 0]]
    assert small.labels is images.labels


def test_images_of_that_size_stay_what_they_are() -> None:
    images = plates(1, 1, 32)
    assert at_side(images, 32) is images
