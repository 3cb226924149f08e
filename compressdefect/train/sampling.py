"""How often an epoch shows the images of each class."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


class Sampling:
    """Draws the order of an epoch's images; rare classes are shown more often than they occur.

    A class of n images gets a share in proportion to n^(1 − balance) of as many draws as there are images: 0 shows
    each image once, 1 every class equally often. Between them, 0.5 is what Mahajan et al., "Exploring the limits of
    weakly supervised pretraining" (2018), use: good parts are the most, and a network that never names a defect would
    be right most of the time. Within a class no image is shown twice before each was shown once.
    """

    def __init__(self, indices: NDArray[np.integer], classes: NDArray[np.integer] | None, balance: float) -> None:
        """Prepare for a training.

        Args:
            indices: the training images (n,).
            classes: the class of each of them (n,); None shows each once.
            balance: from 0 to 1.
        """
        assert 0 <= balance <= 1, balance
        self._indices = np.asarray(indices)
        found, of, sizes = np.unique(
            np.zeros(len(indices)) if classes is None else classes, return_inverse=True, return_counts=True
        )
        self._classes = [self._indices[of == number] for number in range(len(found))]
        self._draws = _shared_out(len(indices), sizes ** (1 - balance))
        self._each_once = bool((self._draws == sizes).all())

    def epoch(self, order: np.random.Generator) -> NDArray[np.integer]:
        """The images of one epoch (n,), in random order."""
        if self._each_once:
            return order.permutation(self._indices)
        drawn = [_drawn(images, count, order) for images, count in zip(self._classes, self._draws, strict=True)]
        return order.permutation(np.concatenate(drawn))


def _shared_out(total: int, weights: NDArray[np.floating]) -> NDArray[np.int64]:
    """Whole numbers in proportion to weights, whose sum is ``total``."""
    ends = np.rint(total * np.cumsum(weights) / weights.sum()).astype(np.int64)
    return np.diff(ends, prepend=0)


def _drawn(images: NDArray[np.integer], count: int, order: np.random.Generator) -> NDArray[np.integer]:
    """So many of these images, each as often as any other or once more."""
    rounds = [order.permutation(images) for _ in range(-(-count // len(images)))]
    return np.concatenate([images[:0], *rounds])[:count]
