"""The distiller's terms, beside the paper's formulas written out in loops."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from compressdefect.compress.attention import (
    AdaptiveWeights,
    Regions,
    attention_mask,
    feature_losses,
    free_attention,
    plain_feature_loss,
    regions_of,
    regions_of_boxes,
)

C, H, W, T = 3, 4, 5, 20.0


def maps(seed: int) -> Tensor:
    return 10 * torch.randn(2, C, H, W, generator=torch.Generator().manual_seed(seed))


def some_regions() -> Regions:
    masks = torch.zeros(2, 8, 10, dtype=torch.uint8)
    masks[0, 0:4, 0:4] = 1
    masks[0, 6, 9] = 2
    return regions_of(masks, (H, W), 2)


def test_a_place_counts_one_over_the_area_of_its_defect_or_of_the_background() -> None:
    found = some_regions()
    assert found.mask[0].sum() == 4 + 1
    assert found.mask[1].sum() == 0
    for i in range(H):
        for j in range(W):
            expected = 1 / 4 if i < 2 and j < 2 else 1.0 if (i, j) == (3, 4) else 1 / (H * W - 5)
            assert found.scale[0, i, j] == pytest.approx(expected)
    assert found.scale[1] == pytest.approx(1 / (H * W))
    nothing = regions_of(None, (H, W), 2)
    assert torch.equal(nothing.mask, torch.zeros(2, H, W))
    assert nothing.scale.sum(dim=(1, 2)).tolist() == pytest.approx([1, 1])


def test_an_image_that_is_all_defect_has_no_background() -> None:
    found = regions_of(torch.ones(1, 8, 10), (H, W), 1)
    assert found.scale.tolist() == [[[pytest.approx(1 / (H * W))] * W] * H]


def test_of_overlapping_boxes_the_smallest_counts() -> None:
    boxes = [torch.tensor([[0.0, 0, 30, 40, 0], [0, 0, 10, 10, 1]]), torch.zeros(0, 5)]
    found = regions_of_boxes(boxes, (4, 5), (40, 50))
    assert found.mask[0].tolist() == [[1, 1, 1, 0, 0]] * 4
    assert found.scale[0, 0, 0] == 1
    assert found.scale[0, 0, 1] == pytest.approx(1 / 12)
    assert found.scale[0, 0, 4] == pytest.approx(1 / 8)
    assert found.mask[1].sum() == 0
    tiny = regions_of_boxes([torch.tensor([[49.0, 39.5, 49.5, 39.9, 0]])], (4, 5), (40, 50))
    assert tiny.mask[0].nonzero().tolist() == [[3, 4]]


@pytest.mark.parametrize("whole", [False, True])
def test_the_attention_mask_is_a_softmax_of_mean_one(whole: bool) -> None:
    x = maps(0)
    found = attention_mask(x, T, whole=whole)
    for n in range(2):
        for c in range(C):
            pool = x[n] if whole else x[n, c]
            total = sum(math.exp(float(v) / T) for v in pool.flatten())
            for i in range(H):
                for j in range(W):
                    expected = pool.numel() * math.exp(float(x[n, c, i, j]) / T) / total
                    assert float(found[n, c, i, j]) == pytest.approx(expected, rel=1e-4)


def test_free_attention_is_fgds() -> None:
    x = maps(1) / 10
    found = free_attention(x)
    for n in range(2):
        channel = [float(x[n, c].abs().mean()) for c in range(C)]
        place = [[float(x[n, :, i, j].abs().mean()) for j in range(W)] for i in range(H)]
        channels = sum(math.exp(v / 0.5) for v in channel)
        places = sum(math.exp(v / 0.5) for row in place for v in row)
        for c in range(C):
            for i in range(H):
                for j in range(W):
                    of_channel = C * math.exp(channel[c] / 0.5) / channels
                    of_place = H * W * math.exp(place[i][j] / 0.5) / places
                    expected = (of_channel + of_place) * float(x[n, c, i, j])
                    assert float(found[n, c, i, j]) == pytest.approx(expected, rel=1e-4, abs=1e-6)


def test_every_term_is_the_papers() -> None:
    student, teacher, regions = maps(2), maps(3), some_regions()
    found = feature_losses(student, teacher, regions)
    looked, own = (attention_mask(free_attention(x), T) for x in (teacher, student))
    attended, mine = free_attention(teacher), free_attention(student)
    foreground = background = alike = whole = plain = 0.0
    for n in range(2):
        for c in range(C):
            for i in range(H):
                for j in range(W):
                    apart = float(teacher[n, c, i, j] - student[n, c, i, j]) ** 2
                    weight = float(regions.scale[n, i, j] * looked[n, c, i, j])
                    foreground += float(regions.mask[n, i, j]) * weight * apart
                    background += (1 - float(regions.mask[n, i, j])) * weight * apart
                    step = abs(float(looked[n, c, i, j] - own[n, c, i, j]))
                    alike += 0.5 * step**2 if step < 1 else step - 0.5
                    whole += float(attended[n, c, i, j] - mine[n, c, i, j]) ** 2
                    plain += apart
    assert float(found.foreground) == pytest.approx((foreground + background) / (2 * C), rel=1e-4)
    assert float(found.attention) == pytest.approx(alike / (2 * C * H * W), rel=1e-4)
    assert float(found.attended) == pytest.approx(whole / (2 * C * H * W), rel=1e-4)
    assert float(plain_feature_loss(student, teacher)) == pytest.approx(plain / (2 * C * H * W), rel=1e-4)


def test_a_student_that_is_its_teacher_has_nothing_to_learn_and_the_teacher_never_has() -> None:
    same, teacher = maps(4).requires_grad_(), maps(4).requires_grad_()
    found = feature_losses(same, teacher, some_regions())
    assert [float(loss.detach()) for loss in found] == [0, 0, 0]
    other = maps(5).requires_grad_()
    torch.stack([*feature_losses(other, teacher, some_regions()), plain_feature_loss(other, teacher)]).sum().backward()
    assert teacher.grad is None
    assert other.grad is not None
    assert torch.isfinite(other.grad).all()


def test_equal_losses_have_equal_weights_and_the_printed_form_is_there() -> None:
    weights = AdaptiveWeights(("a", "b"))
    weights.update({"a": 3.0, "b": 0.1})
    assert weights.values == pytest.approx({"a": 1, "b": 1})  # both are as they began
    weights.update({"a": 3.0, "b": 0.05})
    raw = [math.exp(1.0), math.exp(0.5)]
    assert weights.values == pytest.approx({"a": 2 * raw[0] / sum(raw), "b": 2 * raw[1] / sum(raw)})
    literal = AdaptiveWeights(("a", "b"), literal=True)
    for _ in range(2):
        literal.update({"a": 1.0, "b": 0.0})
    share = math.e / (math.e + 1)
    assert literal.values == pytest.approx({"a": (2 * share) ** 2, "b": (2 * (1 - share)) ** 2})


@given(st.lists(st.tuples(st.floats(0, 1e300), st.floats(0, 1e300), st.floats(0, 1e-300)), min_size=1, max_size=50))
def test_weights_keep_their_sum_whatever_the_losses_are(rounds: list[tuple[float, float, float]]) -> None:
    weights = AdaptiveWeights(("a", "b", "c"))
    for _ in range(20):
        for losses in rounds:
            weights.update(dict(zip("abc", losses, strict=True)))
            assert sum(weights.values.values()) == pytest.approx(3)
            assert all(0 < value < 3 for value in weights.values.values())
