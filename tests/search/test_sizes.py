from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from compressdefect.search.sizes import in_tiers, size_adjusted


@given(st.lists(st.tuples(st.floats(0, 1), st.integers(1, 1000)), max_size=20), st.integers(1, 1000))
def test_every_design_has_a_place_and_the_best_one_of_the_first(designs: list[tuple[float, int]], most: int) -> None:
    merits, macs = [merit for merit, _ in designs], [m for _, m in designs]
    order = in_tiers(merits, macs, most)
    assert sorted(order) == list(range(len(designs)))
    assert not designs or max(merits[index] for index in order[:3]) == max(merits)


@given(st.lists(st.tuples(st.floats(0, 1), st.integers(1, 10**7)), max_size=20))
def test_a_larger_design_of_the_same_score_is_expected_to_end_better(designs: list[tuple[float, int]]) -> None:
    scores, params = [score for score, _ in designs], [count for _, count in designs]
    found = size_adjusted(scores, params)
    assert all(0 <= value <= 1 for value in found)
    pairs = list(zip(scores, params, found, strict=True))
    assert all(a[2] >= b[2] - 1e-9 for a in pairs for b in pairs if a[0] >= b[0] and a[1] >= b[1])


def test_equal_sizes_keep_their_scores() -> None:
    assert size_adjusted([0.2, 0.9], [5, 5]) == [0.2, 0.9]
    assert size_adjusted([0.2], [5]) == [0.2]


def test_scores_near_1_keep_their_order() -> None:
    scores, params = [0.97, 0.985, 0.999, 0.8, 0.7, 0.6, 0.5], [10**5, 10**5, 10**5, 10**3, 10**3, 10**3, 10**3]
    found = size_adjusted(scores, params)
    assert found[0] < found[1] < found[2] == 1.0
