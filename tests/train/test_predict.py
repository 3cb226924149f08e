from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from compressdefect.data.images import Images
from compressdefect.errors import TrainingError
from compressdefect.train.classify import Classify
from compressdefect.train.predict import answers, predict
from compressdefect.train.segment import Segment


def test_batches_do_not_matter_and_the_mode_is_kept(network: Any, images: Images) -> None:
    task, indices = Classify(images.classes), np.array([5, 1, 40, 7, 2])
    network.train()
    whole = predict(network, images, indices, task)
    assert network.training
    assert whole.shape == (5, 3)
    assert whole.dtype == np.float32
    np.testing.assert_allclose(whole.sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(predict(network, images, indices, task, batch_size=2), whole, rtol=1e-5)


def test_nothing_to_predict(network: Any, images: Images) -> None:
    assert predict(network, images, np.array([], dtype=np.int64), Classify(images.classes)).shape == (0, 3)


class Pointwise(nn.Module):
    """Logits of each pixel from its own brightness alone: the same in a tile as in the whole image."""

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        far = pixels.float() / 100 - 1
        return torch.cat([torch.full_like(far, 0.3), far, -far], dim=1)


@pytest.mark.parametrize("batch_size", [None, 1, 4])
def test_figures_of_tiled_images_are_those_of_whole_ones(webs: tuple[Images, Images], batch_size: int | None) -> None:
    task, indices = Segment(("background", "scratch", "spot")), np.array([7, 1, 0, 3, 5, 10])
    (tiles, labels), (whole, same) = (
        (predict(Pointwise(), images, indices, task, batch_size), task.labels(images, indices)) for images in webs
    )
    assert labels.tolist() == same.tolist()
    for counted in ("hit", "predicted", "labelled"):
        np.testing.assert_array_equal(tiles[counted], whole[counted])
    assert tiles["labelled"].sum(axis=1).tolist() == [24 * 40] * 6
    np.testing.assert_allclose(tiles["scores"], whole["scores"], atol=1e-6)
    found, expected = task.metrics(tiles, labels), task.metrics(whole, same)
    near = [{**choice, "threshold": pytest.approx(choice["threshold"])} for choice in expected["choices"]]
    assert found == {**expected, "threshold": pytest.approx(expected["threshold"]), "choices": near}
    assert found["dice"] == 1.0


def test_answers_of_tiles_are_joined_to_one_of_the_image(webs: tuple[Images, Images], tiny_decoder: Any) -> None:
    task, network = Segment(("background", "scratch", "spot")), tiny_decoder().eval()
    whole = answers(network, webs[0], np.array([3]), task)["probabilities"]
    assert whole.shape == (1, 3, 24, 40)
    torch.testing.assert_close(whole.sum(dim=1), torch.ones(1, 24, 40))
    inside = answers(network, webs[0].pieces, np.array([3 * len(webs[0].tiling(3))]), task)["probabilities"]
    torch.testing.assert_close(whole[..., :4, :4], inside[..., :4, :4])  # where only the first tile is


def test_no_tiled_image_to_predict(webs: tuple[Images, Images]) -> None:
    none = predict(Pointwise(), webs[0], np.array([], dtype=np.int64), Segment(("background", "scratch", "spot")))
    assert len(none) == 0


def test_broken_weights_are_an_error(network: Any, images: Images) -> None:
    torch.nn.init.constant_(network.head.bias, float("nan"))
    with pytest.raises(TrainingError, match="diverged"):
        predict(network, images, np.arange(2), Classify(images.classes))
