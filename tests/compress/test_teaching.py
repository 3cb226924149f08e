"""Learning from another network's answers."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from compressdefect.compress.teaching import Pupil, Teacher, soft_divergence, taught
from compressdefect.data.truth import Truth
from compressdefect.train.classify import Classify

TASK = Classify(("good", "scratch", "spot"), good=0)


@pytest.mark.parametrize("shape", [(5, 3), (2, 3, 4, 4)])
def test_the_divergence_is_hintons_of_softened_logits(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    student, teacher, temperature = torch.randn(shape), torch.randn(shape), 3.0
    expected = (
        F.kl_div((student / temperature).log_softmax(dim=1), (teacher / temperature).softmax(dim=1), reduction="none")
        .sum(dim=1)
        .mean()
    )
    found = soft_divergence(student.softmax(dim=1), teacher.softmax(dim=1), temperature)
    torch.testing.assert_close(found, temperature**2 * expected, rtol=1e-4, atol=1e-6)


def test_a_student_that_says_what_its_teacher_says_has_nothing_to_learn() -> None:
    torch.manual_seed(0)
    logits = torch.randn(4, 3, requires_grad=True)
    loss = soft_divergence(logits.softmax(dim=1), logits.detach().softmax(dim=1), 4.0)
    loss.backward()
    assert float(loss.detach()) == pytest.approx(0, abs=1e-6)
    assert logits.grad is not None
    assert float(logits.grad.abs().max()) < 1e-6


def test_a_pupil_hears_its_teacher_in_training_alone() -> None:
    torch.manual_seed(0)
    student, one, other = nn.Linear(4, 3), nn.Linear(4, 3), nn.Linear(4, 3)
    pupil = Pupil(student, Teacher([one, other], TASK))
    x = torch.rand(2, 4)
    outputs, heard = pupil.train()(x)
    torch.testing.assert_close(outputs, student(x))
    expected = (one(x).softmax(dim=1) + other(x).softmax(dim=1)) / 2
    torch.testing.assert_close(heard.answers["probabilities"], expected)
    torch.testing.assert_close(pupil.eval()(x), student(x))
    assert {id(parameter) for parameter in pupil.parameters()} == {id(parameter) for parameter in student.parameters()}
    truth = Truth(torch.tensor([0, 2]))
    task = taught(TASK, share=0.25, temperature=2.0)
    found = task.loss((outputs, heard), truth)
    apart = soft_divergence(outputs.softmax(dim=1), heard.answers["probabilities"], 2.0)
    torch.testing.assert_close(found, 0.75 * TASK.loss(outputs, truth) + 0.25 * apart)
    assert (task.name, task.metric, task.classes) == ("classify", "accuracy", TASK.classes)
    found.backward()
    assert one.weight.grad is None
