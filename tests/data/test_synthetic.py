"""The embedded dataset is reproducible, fast to make, and hard for anything but a trained network."""

from __future__ import annotations

import hashlib
import time
from functools import partial

import numpy as np
import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from compressdefect.data import load
from compressdefect.data.images import Images
from compressdefect.data.load import load_images
from compressdefect.data.split import Split, make_split
from compressdefect.data.synthetic.defects import DEFECTS
from compressdefect.data.synthetic.plates import plates


@pytest.fixture(scope="module")
def embedded() -> Images:
    return load_images("synthetic")


def test_counts_and_classes_are_those_of_the_paper(embedded: Images) -> None:
    images, split = embedded, make_split(embedded)
    assert np.bincount(images.labels).tolist() == [400, 422]
    assert (images.classes, images.good, images.shape) == (("good", "defective"), 0, (1, 224, 224))
    assert (len(split.train), len(split.val), len(split.test)) == (205, 0, 617)
    assert len(set(images.hashes)) == 822


def test_each_plate_depends_on_its_seed_and_number_only() -> None:
    few, more = plates(2, 3), plates(4, 3)
    np.testing.assert_array_equal(few.pixels, more.pixels[:5])
    assert not (plates(2, 3, seed=1).pixels == few.pixels).all(axis=(1, 2, 3)).any()


def test_pixels_are_the_same_on_every_machine() -> None:
    digest = hashlib.sha256(plates(4, 4).pixels.tobytes()).hexdigest()
    assert digest[:16] == "06e64849b4952774"  # regression


def test_size_labels_and_good_can_be_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "plates", partial(plates, 3, 2))
    images = load_images("synthetic", input=16, labels="defective,good", good="defective")
    assert (images.classes, images.good, images.shape) == (("defective", "good"), 0, (1, 16, 16))
    assert np.bincount(images.labels).tolist() == [3, 2]


@pytest.mark.parametrize("name", DEFECTS)
def test_defects_are_small_and_visible(name: str) -> None:
    for seed in range(30):
        patch = DEFECTS[name](np.random.default_rng(seed), 25.0)
        touched = np.abs(patch) > 5
        assert patch.shape[0] == patch.shape[1] < 90
        assert 10 < touched.sum() < 600  # of 50176 pixels
        assert 15 < np.abs(patch).max() < 70


def _probe_accuracies(features: np.ndarray, images: Images) -> list[float]:
    """Test accuracies of L2-penalised logistic regressions on standardised features (N, D).

    The best weights are a combination of the training rows, so their products with all rows are all that is needed.
    """
    split = make_split(images)
    scaled = (features - features[split.train].mean(0)) / (features[split.train].std(0) + 1e-6)
    products = torch.from_numpy(scaled @ scaled[split.train].T)
    labels = torch.from_numpy(images.labels).float()
    return [_fit_probe(products, labels, split, penalty) for penalty in (1e-4, 1e-2, 1.0)]


def _fit_probe(products: torch.Tensor, labels: torch.Tensor, split: Split, penalty: float) -> float:
    weights = torch.zeros(len(split.train) + 1, requires_grad=True)  # one per training row, and the bias
    optimizer = torch.optim.LBFGS([weights], max_iter=200, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        scores = products[split.train] @ weights[:-1]
        loss = binary_cross_entropy_with_logits(scores + weights[-1], labels[split.train])
        loss = loss + penalty * (weights[:-1] @ scores)
        loss.backward()
        return loss

    optimizer.step(closure)
    predicted = (products[split.test] @ weights[:-1] + weights[-1] > 0).float()
    return float((predicted == labels[split.test]).float().mean())


@pytest.mark.long
def test_made_in_fifteen_seconds() -> None:
    started = time.process_time()
    plates()
    assert time.process_time() - started < 15


def test_linear_probes_stay_under_70_percent(embedded: Images) -> None:
    raw = embedded.pixels.reshape(len(embedded), -1).astype(np.float32)
    statistics = np.stack([raw.mean(axis=1), raw.std(axis=1)], axis=1)
    assert max(_probe_accuracies(raw, embedded)) < 0.7
    assert max(_probe_accuracies(statistics, embedded)) < 0.7
