"""What a training is for: the part of it that knows what outputs and targets mean."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from compressdefect.data.images import Images

Records = NDArray[Any]


class Task(Protocol):
    """Turns a network's outputs into a loss, into probabilities, and into the figures that decide.

    The life of one batch:

    1. ``targets`` says what is true of some images, in the form that ``loss`` compares with: class numbers (N,) or
       masks (N, H, W). ``fit`` gathers their uint8 pixels (N, C, H, W) and augments both.
    2. The network normalises the pixels and returns raw outputs, for classification logits (N, K) or (N, heads, K), for
       segmentation logits (N, K, H, W).
    3. ``loss`` compares outputs and targets; its gradient trains the network.
    4. Outside training, ``predict`` turns outputs into probabilities. The exported graph ends in the same function, so
       the figures measured in training are those of the model that ships. Images that were cut into tiles are trained
       on tile by tile; their tiles' probabilities are joined here, so what follows is of whole images.
    5. ``record`` keeps of each image's probabilities and target what figures need, and no more: one small entry per
       image, in a numpy array of any dtype. Whole sets are held as records, never as probability maps.
    6. When a whole set is predicted, ``score`` gives the one number that decisions are made on, and ``metrics`` the
       full account that commands print. Both read the records and the images' ``labels``.

    A task is immutable and holds no data; the same object serves training, validation, test and export.
    """

    @property
    def name(self) -> str:
        """Name on the command line: ``classify``, ``segment``."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the outputs, in order."""

    @property
    def good(self) -> int | None:
        """Which class is a good part; None where there is no such class."""

    @property
    def metric(self) -> str:
        """Name of the figure that ``score`` returns."""

    def targets(self, images: Images, indices: NDArray[np.integer]) -> Tensor:
        """What is true of these images, for ``loss``; masks (n, H, W) move with the pixels in augmentation."""

    def labels(self, images: Images, indices: NDArray[np.integer]) -> NDArray[np.int64]:
        """The class of each image as a whole (n,): ``good`` where nothing is wrong with the part."""

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Mean loss of a batch, a scalar in float32 whatever the outputs' precision."""

    def predict(self, outputs: Tensor) -> Tensor:
        """Probabilities from outputs, in float32."""

    def record(self, probabilities: Tensor, targets: Tensor) -> Records:
        """One entry per image of a batch (n, …); both tensors are on one device, and n may be 0."""

    def image_probabilities(self, records: Records) -> NDArray[np.float32]:
        """How much speaks for each class in each image as a whole (n, K); 1 − that of ``good`` is its defect score."""

    def score(self, records: Records, labels: NDArray[np.integer]) -> float:
        """The deciding figure in [0, 1], higher is better."""

    def metrics(
        self,
        records: Records,
        labels: NDArray[np.integer],
        *,
        threshold: float | None = None,
        groups: NDArray[np.integer] | None = None,
        choose: bool = True,
    ) -> dict[str, Any]:
        """All figures as JSON-able data.

        On validation images ``threshold`` is left out and chosen on them. On test images the validation's is given and
        ``choose`` is false: where there is no threshold, there are no figures that need one.
        """
