"""What a training is for: the one place that knows what a network's outputs mean and what their figures are called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Protocol, Self

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from compressdefect.data.images import Images
from compressdefect.data.sample import Sample
from compressdefect.data.truth import Needs, Truth
from compressdefect.errors import DataError, known_names
from compressdefect.models.graph import Heads
from compressdefect.train.operating_point import OVERKILL

Outputs = Tensor | tuple[Tensor, ...]  # what a network returns: one tensor, or one for each head in their order
Answers = dict[str, Tensor]  # what the exported graph returns, by the names of its outputs
Records = NDArray[Any]


class Figure(NamedTuple):
    """A figure of ``metrics`` that tables show: its key, and the title of its column."""

    key: str
    title: str


@dataclass(frozen=True)
class Aim:
    """What a user may choose of a task; what is None is the task's default.

    Attributes:
        metric: the figure that decides.
        overkill: share of good parts that may be rejected where the threshold is chosen.
        criterion: the loss.
    """

    metric: str | None = None
    overkill: float = OVERKILL
    criterion: str | None = None


def check_metric(metric: str | None, known: Sequence[str]) -> None:
    """Refuse a metric that a task does not have; None is its default.

    Raises:
        DataError: it is unknown.
    """
    if metric is not None and metric not in known:
        raise DataError("unknown metric", got=metric, fix=known_names(metric, known))


def check_one_loss(criterion: str | None) -> None:
    """Refuse to choose the loss of a task that has but one.

    Raises:
        DataError: one was chosen.
    """
    if criterion is not None:
        raise DataError("the task has one loss only", got=criterion, fix="leave --loss out")


class Task(Protocol):
    """Turns a network's outputs into a loss, into answers, and into the figures that decide.

    A new task is one file with a class like ``classify.Classify``, and one entry in ``tasks.TASKS``. What the class
    says of itself before there is any data:

    - ``name`` is what ``--task`` takes, and ``metric_names`` what ``--metric`` takes, the default first;
    - ``head_names`` are the heads that its networks have, in the order of their outputs;
    - ``needs`` are the annotations that are loaded: nothing beside the images' classes, masks, boxes;
    - ``suits`` tells whether the annotations of a folder are made for it; the first task that says so is the default;
    - ``space`` is where a search looks by default, ``recipe`` where its training differs from ``FitConfig``;
    - ``outputs`` are the outputs of the exported graph with their shapes, ``figures`` the columns of its tables;
    - ``claim`` and ``basis`` put the first figure in words, ``fine_title`` names what ``fine_score`` is.

    ``on_images`` and ``on_heads`` make the task: from the images that it is trained on, or from what a trained model
    says of itself. Then the life of one batch is:

    1. ``fit`` gathers the images' uint8 pixels (N, C, H, W) and their ``Truth``, as much of it as ``needs`` says, and
       augments both.
    2. The network normalises the pixels and returns one tensor for each of ``heads``.
    3. ``loss`` compares them with the truth; its gradient trains the network.
    4. Outside training, ``predict`` turns outputs into answers. The exported graph ends in the same function, so the
       figures measured in training are those of the model that ships. Images that were cut into tiles are trained on
       tile by tile; their tiles' answers are joined here, so what follows is of whole images.
    5. ``record`` keeps of each image's answers and truth what figures need, and no more: one small entry per image, in
       a numpy array of any dtype. Whole sets are held as records, never as maps.
    6. When a whole set is predicted, ``score`` gives the one number that decisions are made on, and ``metrics`` the
       full account that commands print. Both read the records and the images' ``labels``.

    A task is immutable and holds no data; the same object serves training, validation, test and export.
    """

    name: ClassVar[str]
    metric_names: ClassVar[tuple[str, ...]]
    head_names: ClassVar[tuple[str, ...]]
    needs: ClassVar[Needs]
    space: ClassVar[str]
    recipe: ClassVar[Mapping[str, Any]]
    outputs: ClassVar[Mapping[str, str]]
    figures: ClassVar[tuple[Figure, ...]]
    tiled: ClassVar[bool]  # whether the answers are maps, so that those of an image's tiles can be joined
    notes: ClassVar[str]  # what a reader of the figures should know, a sentence or none
    claim: ClassVar[str]  # what a model does, {} for the first figure: "names the right class for {} of the images"
    basis: ClassVar[str]  # what is counted: "by the most probable class of each image"
    fine_title: ClassVar[str]  # what ``fine_score`` is: "area under the ROC curve"

    @classmethod
    def suits(cls, samples: Sequence[Sample]) -> bool:
        """Whether these annotations are made for the task."""

    @classmethod
    def check(cls, aim: Aim) -> None:
        """Refuse a metric or a loss that the task does not have, before any image is loaded.

        Raises:
            DataError: it is unknown, or there is no choice.
        """

    @classmethod
    def on_images(cls, images: Images, aim: Aim) -> Self:
        """The task of telling these images apart.

        Raises:
            DataError: they lack annotations that it needs, or the aim is not one of the task.
        """

    @classmethod
    def on_heads(cls, heads: Heads, good: int | None) -> Self:
        """The task of a network with these heads, as a bundle describes it."""

    @property
    def heads(self) -> Heads:
        """The heads that a network for the task has, with the names of their outputs."""

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes of whole images, in the order of ``image_probabilities``."""

    @property
    def decided_by(self) -> str:
        """What of an image is compared with the threshold, in words: "1 − p(`good`)"."""

    @property
    def good(self) -> int | None:
        """Which class is a good part; None where there is no such class."""

    @property
    def metric(self) -> str:
        """Name of the figure that ``score`` returns."""

    @property
    def overkill(self) -> float:
        """Share of good parts that may be rejected where the threshold is chosen."""

    def summary(self, images: Images) -> str:
        """How many images there are, and what is to be told apart in them."""

    def absent(self, images: Images, indices: NDArray[np.integer]) -> list[str]:
        """The names of what none of these images shows, of all that the task tells apart."""

    def labels(self, images: Images, indices: NDArray[np.integer]) -> NDArray[np.int64]:
        """The class of each image as a whole (n,): ``good`` where nothing is wrong with the part."""

    def loss(self, outputs: Outputs, truth: Truth) -> Tensor:
        """Mean loss of a batch, a scalar in float32 whatever the outputs' precision."""

    def predict(self, outputs: Outputs) -> Answers:
        """What is answered, by the names in ``outputs``, in float32."""

    def marks(self, answers: Answers, threshold: float | None) -> NDArray[np.bool_] | None:
        """The pixels (n, H, W) that are called defective; None where the task does not say where a defect is."""

    def record(self, answers: Answers, truth: Truth) -> Records:
        """One entry per image of a batch (n, …); all tensors are on one device, and n may be 0."""

    def image_probabilities(self, records: Records) -> NDArray[np.float32]:
        """How much speaks for each class in each image as a whole (n, K); 1 − that of ``good`` is its defect score."""

    def score(self, records: Records, labels: NDArray[np.integer]) -> float:
        """The deciding figure in [0, 1], higher is better."""

    def fine_score(self, records: Records, labels: NDArray[np.integer]) -> float:
        """A figure in [0, 1] that every answer moves, higher is better, by which short trainings are compared.

        After a few steps networks differ in how sure they are before they differ in how often they are right.
        """

    def mean_loss(self, records: Records, labels: NDArray[np.integer]) -> float:
        """How wrong the answers are, how sure of it included where that is known: at least 0, lower is better."""

    def check_labels(self, labels: NDArray[np.integer]) -> None:
        """Refuse images that have no score whatever is answered, such as escapes where no image has a defect.

        Raises:
            DataError: images of these ``labels`` are such.
        """

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

        Tables, card and report read from them:

        - ``n``, how many images they are of;
        - every key of ``figures``, a rate in [0, 1] or None, and ``interval``, the 95 % interval of the first one as
          [low, high] or None; a key that ends in ``interval`` is of that form;
        - all that ``operating_point.figures`` gives: ``threshold``, ``escape``, ``overkill``, ``escape_interval``,
          ``overkill_interval``, and as ``choices`` the thresholds for other overkills;
        - ``classes``, where there are classes of pixels: ``dice`` and ``iou`` of each by its name.

        On validation images ``threshold`` is left out and chosen on them. On test images the validation's is given and
        ``choose`` is false: where there is no threshold, there are no figures that need one.
        """
