from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from compressdefect.data.images import Images
from compressdefect.errors import TrainingError
from compressdefect.train.classify import Classify
from compressdefect.train.predict import predict


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


def test_broken_weights_are_an_error(network: Any, images: Images) -> None:
    torch.nn.init.constant_(network.head.bias, float("nan"))
    with pytest.raises(TrainingError, match="diverged"):
        predict(network, images, np.arange(2), Classify(images.classes))
