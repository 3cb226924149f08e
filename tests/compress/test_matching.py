"""Learning from another network's maps, across families and tasks."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from compressdefect.blocks.conv import Conv
from compressdefect.compress.lesson import METHODS, Further, TeacherLesson
from compressdefect.compress.matching import MapMatcher
from compressdefect.compress.taps import pairs_of, tapped, taps_of
from compressdefect.compress.teaching import Pupil, Teacher, soft_divergence
from compressdefect.data.images import Images
from compressdefect.data.truth import Truth
from compressdefect.errors import ModelError
from compressdefect.models.inspector import Inspector
from compressdefect.train.config import FitConfig
from compressdefect.train.fit import fit
from compressdefect.train.task import Aim
from compressdefect.train.tasks import task_kind
from compressdefect.train.training_form import training_form
from tests.compress.conftest import SIDE, trained

SHAPE = (1, SIDE, SIDE)
PAIRS = [  # student, teacher, task
    ("lightdefectnet", "timm:test_resnet", "classify"),
    ("lw@0.35", "lightdefectnet", "classify"),
    ("timm:test_efficientnet", "lw@0.35", "classify"),
    ("lw-seg@0.35", "timm:mobilenetv3_small_050", "segment"),
    ("timm:mobilenetv3_small_050", "lw-seg@0.35:join=sum", "segment"),
]
CONFIG = FitConfig(epochs=1, batch_size=12, augment="none", precision="fp32")


def task_on(images: Images, name: str) -> Any:
    return task_kind(name).on_images(images, Aim())


def heard(network: nn.Module, matcher: MapMatcher, images: Images) -> tuple[dict[int, torch.Tensor], Truth]:
    """A network's own maps of a few images, and what is true of these."""
    chosen = np.arange(4)
    with tapped(network, matcher.own) as maps, torch.no_grad():
        network.eval()(torch.from_numpy(images.pixels[chosen]))
    return maps, Truth.of(images, chosen, frozenset({"masks"}))


@pytest.mark.parametrize(("student", "teacher", "name"), PAIRS)
@pytest.mark.parametrize("method", METHODS)
def test_a_student_of_any_family_learns_by_any_method(
    plates: Images, student: str, teacher: str, name: str, method: str
) -> None:
    task = task_on(plates, name)
    _, network = trained(student, task)
    _, other = trained(teacher, task)
    known, weights = network.state_dict().keys(), copy.deepcopy(other.state_dict())
    lesson = TeacherLesson(Teacher([other], task), SHAPE, method, marks=frozenset({"masks"}))
    pupil = lesson.pupil(network)
    fit(pupil, plates, np.arange(24), None, lesson.task(task), CONFIG)
    assert network.state_dict().keys() == known
    for key, value in other.state_dict().items():
        torch.testing.assert_close(value, weights[key], rtol=0, atol=0)
    pixels = torch.from_numpy(plates.pixels[:2])
    with torch.no_grad():
        torch.testing.assert_close(pupil.eval()(pixels), network(pixels), rtol=0, atol=0)
    if pupil.matcher is not None:
        assert sum(pupil.matcher.weights.values.values()) == pytest.approx(len(pupil.matcher.weights.names))
        assert not any(module._forward_hooks for net in (network, other) for module in net.modules())


@pytest.mark.parametrize(("name", "task"), sorted({(one, task) for *both, task in PAIRS for one in both}))
@pytest.mark.parametrize("method", METHODS[1:])
def test_a_teacher_has_nothing_to_tell_itself(plates: Images, name: str, task: str, method: str) -> None:
    _, network = trained(name, task_on(plates, task))
    matcher = MapMatcher(network, network, SHAPE, method=method)
    assert all(isinstance(adapter, nn.Identity) for adapter in matcher.adapters)
    maps, truth = heard(network, matcher, plates)
    assert {term: float(value) for term, value in matcher.terms(maps, maps, truth).items()} == dict.fromkeys(
        matcher.weights.names, 0.0
    )


@pytest.mark.parametrize("name", ["lightdefectnet", "lw@0.35"])
def test_maps_are_read_where_blocks_are_exchanged_for_the_training(plates: Images, name: str) -> None:
    _, network = trained(name, task_on(plates, "classify"))
    taps = taps_of(network, SHAPE)
    pixels = torch.from_numpy(plates.pixels[:8])
    seen = []
    with training_form(network), tapped(network, taps) as maps:
        network.train()(pixels)
        seen.append(maps)
    with tapped(network, taps) as maps:
        network(pixels)
        seen.append(maps)
    assert seen[0].keys() == seen[1].keys() == taps.keys()
    for level, tap in taps.items():
        assert seen[0][level].shape == (8, tap.channels, *tap.size)
        torch.testing.assert_close(seen[0][level], seen[1][level], rtol=1e-3, atol=1e-4)


def test_maps_are_those_of_feature_info(plates: Images) -> None:
    _, network = trained("timm:test_resnet", task_on(plates, "classify"))
    taps = taps_of(network, SHAPE)
    info = network.network.feature_info
    assert [(tap.module, tap.channels) for tap in taps.values()] == [
        (f"network.{one['module']}", one["num_chs"])
        for one in info
        if 4 <= one["reduction"] <= 16  # type: ignore[union-attr]
    ]
    with tapped(network, taps) as maps:
        network(torch.from_numpy(plates.pixels[:2]))
    bare = network.network
    features = bare.forward_intermediates(  # type: ignore[operator]
        network.normalize(torch.from_numpy(plates.pixels[:2])), indices=[1, 2, 3], intermediates_only=True
    )
    for found, expected in zip(maps.values(), features, strict=True):
        torch.testing.assert_close(found, expected)


def test_the_plain_loss_is_of_adapted_and_resized_maps(plates: Images) -> None:
    _, student = trained("lw@0.35", task_on(plates, "classify"))
    _, teacher = trained("timm:test_resnet", task_on(plates, "classify"))
    matcher = MapMatcher(student, teacher, SHAPE)
    ((own, theirs), *_), adapter = matcher.pairs, matcher.adapters[0]
    matcher.pairs, matcher.adapters = [(own, theirs)], nn.ModuleList([adapter])
    torch.manual_seed(0)
    assert isinstance(adapter, nn.Conv2d)
    nn.init.normal_(adapter.weight)
    maps = {own: torch.randn(3, matcher.own[own].channels, 4, 4)}
    wanted = {theirs: 5 * torch.randn(3, matcher.theirs[theirs].channels, 6, 6)}
    adapted = F.interpolate(adapter(maps[own]), (6, 6), mode="bilinear", antialias=True)
    expected = (adapted - wanted[theirs]).square().mean() / wanted[theirs].square().mean()
    found = matcher.terms(maps, wanted, Truth(torch.zeros(3, dtype=torch.long)))
    torch.testing.assert_close(found["feature"], expected)


def test_weights_follow_the_terms_of_an_epoch(plates: Images) -> None:
    task = task_on(plates, "segment")
    _, student = trained("lw-seg@0.35", task)
    _, teacher = trained("lw-seg@0.35:join=sum", task)
    matcher = MapMatcher(student, teacher, SHAPE, method="attention")
    own, truth = heard(student, matcher, plates)
    theirs = {level: value + 1 for level, value in own.items()}
    first = matcher.loss(own, theirs, truth)
    torch.testing.assert_close(first, torch.stack([*matcher.terms(own, theirs, truth).values()]).mean())
    matcher.end_epoch()
    matcher.loss(own, {level: value + 0.5 for level, value in own.items()}, truth)
    matcher.end_epoch()
    values = matcher.weights.values
    assert sum(values.values()) == pytest.approx(3)
    assert len({round(value, 6) for value in values.values()}) > 1


def test_defects_count_where_they_are_known(plates: Images) -> None:
    task = task_on(plates, "segment")
    _, network = trained("lw-seg@0.35", task)
    matcher = MapMatcher(network, network, SHAPE, method="attention")
    maps, truth = heard(network, matcher, plates)
    other = {level: value + torch.linspace(0, 1, value.shape[-1]) for level, value in maps.items()}
    unknown = Truth(truth.labels)
    boxes = Truth(truth.labels, boxes=tuple(torch.tensor([[0.0, 0.0, 4.0, 4.0, 0.0]]) for _ in range(4)))
    found = {float(matcher.terms(maps, other, known)["foreground"]) for known in (truth, unknown, boxes)}
    assert len(found) == 3


def test_the_deepest_common_levels_are_compared() -> None:
    tap: Any = None
    assert pairs_of(dict.fromkeys([2, 3, 4, 5], tap), dict.fromkeys([2, 3, 4, 5, 6], tap)) == [(3, 3), (4, 4), (5, 5)]
    assert pairs_of({3: tap}, {2: tap, 4: tap}) == [(3, 4)]
    with pytest.raises(ModelError, match="the teacher has no maps to compare; use --method answers"):
        pairs_of({3: tap}, {})
    assert taps_of(Inspector.from_statistics(Conv(1, 4, 3), [0.0], [1.0]), SHAPE) == {}


def test_a_scoring_does_not_ask_the_teacher() -> None:
    class Silent(Teacher):
        def __call__(self, pixels: torch.Tensor) -> Any:
            raise AssertionError("nobody learns")

    task = task_kind("classify").on_heads({"image": ("good", "spot")}, 0)
    with torch.no_grad():
        assert Pupil(nn.Linear(4, 2), Silent([nn.Linear(4, 2)], task)).train()(torch.rand(3, 4)).shape == (3, 2)


@pytest.mark.parametrize("name", ["classify", "segment"])
def test_further_images_join_a_step_by_the_answers_to_them_alone(plates: Images, name: str) -> None:
    task = task_on(plates, name)
    design = {"classify": "lw@0.35", "segment": "lw-seg@0.35"}[name]
    (_, network), (_, other) = trained(design, task), trained(design, task)
    teacher = Teacher([other], task)
    further = Further(plates.subset(np.arange(30, 40)), 4, "none", seed=0)
    lesson = TeacherLesson(teacher, SHAPE, "feature", share=0.25, maps_weight=0.0, further=further)
    truth = Truth.of(plates, np.arange(6), task.needs)
    pixels = torch.from_numpy(plates.pixels[:6])
    outputs, heard = lesson.pupil(network).train()(pixels)
    assert len(outputs) == len(heard.answers["probabilities"]) == 6 + 5
    extra = next(further.batches())
    assert {one.numpy().tobytes() for one in extra} <= {one.tobytes() for one in plates.pixels[30:40]}
    together = torch.cat([pixels, extra])
    apart = soft_divergence(task.predict(outputs)["probabilities"], teacher(together)["probabilities"], 4.0)
    expected = 0.75 * task.loss(outputs[:6], truth) + 0.25 * apart
    torch.testing.assert_close(lesson.task(task).loss((outputs, heard), truth), expected)


def test_every_further_image_is_shown_before_any_is_shown_again(plates: Images) -> None:
    batches = Further(plates.subset(np.arange(10)), 5, "none", seed=1).batches()
    for _ in range(3):
        shown = torch.cat([next(batches), next(batches)])
        assert sorted(one.numpy().tobytes() for one in shown) == sorted(one.tobytes() for one in plates.pixels[:10])


def test_a_teachers_scale_does_not_matter(plates: Images) -> None:
    _, network = trained("timm:test_resnet", task_on(plates, "classify"))
    matcher = MapMatcher(network, network, SHAPE, method="attention")
    maps, truth = heard(network, matcher, plates)
    nothing = {level: torch.zeros_like(value) for level, value in maps.items()}
    found = [matcher.terms(nothing, {level: k * value for level, value in maps.items()}, truth) for k in (1, 30)]
    for name in matcher.weights.names:
        torch.testing.assert_close(found[0][name], found[1][name])
    torch.testing.assert_close(found[0]["attended"], torch.tensor(1.0))
