"""Learning from another network's answers (Hinton et al., 2015), as a network and a task that ``train.fit`` takes.

A ``Pupil`` shows each batch to its teacher too, and a ``taught`` task adds to the task's loss how far the two answers
are apart. What the teacher says are probabilities, so that it can be anything: a larger network, several, a graph.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from compressdefect.data.truth import Truth
from compressdefect.models.inspector import Inspector
from compressdefect.train.task import Answers, Outputs, Task

TEMPERATURE = 4.0
SHARE = 0.7  # of the teacher in the loss
_TINY = 1e-8


@dataclass(frozen=True)
class AnswersLesson:
    """Learning from a teacher's answers; see ``deploy.assignment.Lesson``."""

    teacher: Teacher
    share: float = SHARE
    temperature: float = TEMPERATURE

    def pupil(self, network: Inspector) -> Pupil:
        """The network, hearing the teacher."""
        return Pupil(network, self.teacher)

    def task(self, task: Task) -> Task:
        """The task, listening to it."""
        return taught(task, self.share, self.temperature)


class Pupil(nn.Module):
    """A network that hears its teacher in training: pixels → its outputs, and behind them the teacher's answers.

    The teacher is no part of it: it is neither trained nor counted nor saved.
    """

    def __init__(self, student: nn.Module, teacher: Teacher) -> None:
        super().__init__()
        self.student = student
        self._teacher = (teacher,)  # not a submodule

    def forward(self, pixels: Tensor) -> Any:
        """Raw pixels (N, C, H, W) → outputs, in training (outputs, answers)."""
        outputs = self.student(pixels)
        return (outputs, self._teacher[0](pixels)) if self.training else outputs


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


def taught(task: Task, share: float = SHARE, temperature: float = TEMPERATURE) -> Task:
    """A task whose loss listens to the teacher of a ``Pupil``; in all else it is that task."""
    return cast(Task, _TaughtTask(task, share, temperature))


class _TaughtTask:
    """See ``taught``.

    Attributes:
        task: what is to be learned.
        share: of the teacher in the loss, from 0 to 1.
        temperature: by which both answers are softened.
    """

    def __init__(self, task: Task, share: float, temperature: float) -> None:
        self.task, self.share, self.temperature = task, share, temperature

    def __getattr__(self, name: str) -> Any:
        """What else a task has is the task's own."""
        return getattr(self.task, name)

    def loss(self, outputs: tuple[Outputs, Answers], truth: Truth) -> Tensor:
        """(1 − share) · the task's loss + share · T² · KL(teacher ‖ student), both softened by T."""
        own, heard = outputs
        said = self.task.predict(own)
        apart = torch.stack([soft_divergence(said[name], heard[name], self.temperature) for name in heard]).sum()
        return (1 - self.share) * self.task.loss(own, truth) + self.share * apart


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
