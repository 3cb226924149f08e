"""Learning from another network's answers (Hinton et al., 2015), as a network and a task that ``train.fit`` takes.

A ``Pupil`` shows each batch to its teacher too, and a ``taught`` task adds to the task's loss how far the two answers
are apart. What the teacher says are probabilities, so that it can be anything: a larger network, several, a graph.
With a ``MapMatcher`` their maps are compared too. Answers need no labels, so further images can join in each step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from compressdefect.compress.matching import MapMatcher
from compressdefect.compress.taps import tapped
from compressdefect.data.truth import NOTHING, Needs, Truth
from compressdefect.train.task import Answers, Outputs, Task

TEMPERATURE = 4.0
SHARE = 0.7  # of the teacher in the loss
MAPS_WEIGHT = 1.0
_TINY = 1e-8


class Heard(NamedTuple):
    """What a pupil hears of a batch: the teacher's answers (N, …) and, where maps are compared, how far those are."""

    answers: Answers
    maps_apart: Callable[[Truth], Tensor] | None = None


class Pupil(nn.Module):
    """A network that hears its teacher while it learns: pixels → its outputs, and behind them what it hears.

    It is shown further images in each step where there are any, behind those of the batch. The teacher is no part of
    it: it is neither trained nor counted nor saved. The matcher's adapters are trained with it.
    """

    def __init__(
        self,
        student: nn.Module,
        teacher: Teacher,
        *,
        matcher: MapMatcher | None = None,
        further: Iterator[Tensor] | None = None,
    ) -> None:
        """Put a student before its teacher.

        Args:
            student: what learns.
            teacher: what it hears.
            matcher: compares their maps.
            further: pixels (M, C, H, W) that are shown in the next step beside the batch.
        """
        super().__init__()
        self.student, self.matcher, self._further = student, matcher, further
        self._teacher = (teacher,)  # not a submodule

    def forward(self, pixels: Tensor) -> Any:
        """Raw pixels (N, C, H, W) → outputs, while it learns (outputs, ``Heard``), both (N + M, …)."""
        if not (self.training and torch.is_grad_enabled()):
            return self.student(pixels)
        if self._further is not None:
            pixels = torch.cat([pixels, next(self._further).to(pixels.device)])
        (teacher,), matcher = self._teacher, self.matcher
        if matcher is None:
            return self.student(pixels), Heard(teacher(pixels))
        with tapped(self.student, matcher.own) as own, tapped(teacher.networks[0], matcher.theirs) as theirs:
            outputs, answers = self.student(pixels), teacher(pixels)
        return outputs, Heard(answers, partial(matcher.loss, own, theirs))

    def end_epoch(self) -> None:
        """See ``train.fit``."""
        if self.matcher is not None:
            self.matcher.end_epoch()


class Teacher:
    """Networks for one task, each in evaluation mode: pixels → the mean of their answers."""

    def __init__(self, networks: list[nn.Module], task: Task) -> None:
        assert networks, "a teacher is at least one network"
        self.networks, self.task = [network.eval() for network in networks], task

    @torch.no_grad()
    def __call__(self, pixels: Tensor) -> Answers:
        """Raw pixels (N, C, H, W) → answers (N, …) on their device."""
        said = [self.task.predict(network.to(pixels.device)(pixels)) for network in self.networks]
        return {name: torch.stack([one[name] for one in said]).mean(dim=0) for name in said[0]}


def taught(
    task: Task,
    share: float = SHARE,
    temperature: float = TEMPERATURE,
    *,
    maps_weight: float = MAPS_WEIGHT,
    marks: Needs = NOTHING,
) -> Task:
    """A task whose loss listens to the teacher of a ``Pupil``; in all else it is that task."""
    return cast(Task, _TaughtTask(task, share, temperature, maps_weight, marks))


class _TaughtTask:
    """See ``taught``.

    Attributes:
        task: what is to be learned.
        share: of the teacher in the loss, from 0 to 1.
        temperature: by which both answers are softened.
        maps_weight: of the maps in the loss.
        needs: the annotations that are needed, those that say where maps matter included.
    """

    def __init__(self, task: Task, share: float, temperature: float, maps_weight: float, marks: Needs) -> None:
        self.task, self.share, self.temperature = task, share, temperature
        self.maps_weight, self.needs = maps_weight, task.needs | marks

    def __getattr__(self, name: str) -> Any:
        """What else a task has is the task's own."""
        return getattr(self.task, name)

    def loss(self, outputs: tuple[Outputs, Heard], truth: Truth) -> Tensor:
        """(1 − share) · the task's loss + share · T² · KL(teacher ‖ student) + weight · how far the maps are apart.

        The answers are softened by T, and compared on all images; the rest is of those that the truth is known of.
        """
        own, heard = outputs
        said = self.task.predict(own)
        apart = [soft_divergence(said[name], answer, self.temperature) for name, answer in heard.answers.items()]
        loss = (1 - self.share) * self.task.loss(_first(own, len(truth)), truth)
        loss = loss + self.share * torch.stack(apart).sum()
        return loss if heard.maps_apart is None else loss + self.maps_weight * heard.maps_apart(truth)


def _first(outputs: Outputs, count: int) -> Outputs:
    return outputs[:count] if isinstance(outputs, Tensor) else tuple(one[:count] for one in outputs)


def soft_divergence(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """T² · KL(p ‖ q), p and q the answers p^(1/T) and q^(1/T) scaled to a sum of 1: softmax(z/T) of any logits z.

    Args:
        student: probabilities q (N, K, …), with a gradient.
        teacher: probabilities p (N, K, …).
        temperature: T; T² keeps the gradient's size (Hinton et al., 2015, section 2.1).

    Returns:
        A scalar, the mean over images and pixels; 0 where both say the same.
    """
    log_p, log_q = (((x.clamp_min(_TINY)).log() / temperature).log_softmax(dim=1) for x in (teacher, student))
    return temperature**2 * (log_p.exp() * (log_p - log_q)).sum(dim=1).mean()
