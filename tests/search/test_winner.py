from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from compressdefect.search.winner import DRAWS, TOLERANCE, Candidate, Choice, Measures, choose


def share(records: NDArray[np.float64], rows: NDArray[np.integer]) -> float:
    """The mean of the first column: with hits of 0 and 1, the accuracy."""
    assert len(records) == len(rows)
    return float(records[:, 0].mean())


def second(records: NDArray[np.float64], rows: NDArray[np.integer]) -> float:
    return float(records[:, 1].mean())


def candidate(number: int, netscore: float, *columns: Sequence[float]) -> Candidate:
    return Candidate(number, netscore, np.array(columns, dtype=float).T)


def measures(n: int, *, two: bool = False, groups: NDArray[np.integer] | None = None) -> Measures:
    figures = {"share": share, "second": second} if two else {"share": share}
    return Measures(figures, np.arange(n) if groups is None else groups)


def hits(n: int, wrong: Sequence[int]) -> NDArray[np.float64]:
    found = np.ones(n)
    found[list(wrong)] = 0
    return found


def pick(*candidates: Candidate, n: int, two: bool = False, groups: NDArray[np.integer] | None = None) -> Choice:
    choice = choose(candidates, measures(n, two=two, groups=groups))
    assert choice is not None
    return choice


def test_the_standard_error_is_that_of_a_mean_of_paired_differences() -> None:
    """Closed form: per image the difference of hits is 1, −1 or 0, so SE² = (share that differ − d²) / (n − 1)."""
    n, best, other = 1000, range(40), range(30, 77)  # 30 images only the first misses, 37 only the second
    choice = pick(candidate(0, 1.0, hits(n, best)), candidate(1, 2.0, hits(n, other)), n=n)
    gap = choice.gaps["share"]
    assert (choice.winner, choice.best, choice.competed) == (1, 0, 2)
    assert gap.difference == pytest.approx(0.007)
    assert gap.standard_error == pytest.approx(np.sqrt((0.067 - 0.007**2) / n), rel=0.08)


def test_whole_groups_are_drawn() -> None:
    """Closed form: with every image there five times, the error is that of a fifth of the images."""
    n, copies = 2000, 5
    groups = np.repeat(np.arange(n // copies), copies)
    best, other = hits(n, np.flatnonzero(groups < 8)), hits(n, np.flatnonzero((groups >= 8) & (groups < 19)))
    gap = pick(candidate(0, 1.0, best), candidate(1, 2.0, other), n=n, groups=groups).gaps["share"]
    assert gap.difference == pytest.approx(3 / 400)
    assert gap.standard_error == pytest.approx(np.sqrt((19 / 400 - (3 / 400) ** 2) / 400), rel=0.08)


def test_groups_of_any_size_are_drawn_as_often_as_there_are_groups() -> None:
    found = list(measures(6, groups=np.array([7, 7, 3, 3, 3, 9])).draws())
    assert len(found) == DRAWS
    assert {len(draw) for draw in found} <= {3, 4, 5, 6, 7, 8, 9}
    for draw in found[:50]:
        counts = np.bincount(draw, minlength=6)
        assert counts[0] == counts[1]
        assert counts[2] == counts[3] == counts[4]
        assert counts[0] + counts[2] + counts[5] == 3


def test_the_cheaper_of_two_that_cannot_be_told_apart_wins() -> None:
    assert pick(candidate(0, 50.0, hits(500, [1, 2])), candidate(1, 60.0, hits(500, [3, 4, 5])), n=500).winner == 1


@pytest.mark.parametrize("n", [120, 180, 500])
def test_one_image_is_no_reason_for_a_dearer_design(n: int) -> None:
    best = candidate(0, 50.0, hits(n, [0]))
    assert {pick(best, candidate(1, 60.0, hits(n, [0, image])), n=n).winner for image in range(1, 20)} == {1}


def test_a_point_is_the_most_that_is_given_away_however_few_the_images() -> None:
    """On 60 images the standard error is larger than two points, and one image more is 1.7."""
    choice = pick(candidate(0, 50.0, hits(60, [1, 2])), candidate(1, 90.0, hits(60, [3, 4, 5])), n=60)
    assert (choice.winner, choice.gaps["share"]) == (0, (0.0, 0.0))


def test_a_small_difference_that_is_certain_is_not_given_away() -> None:
    """The one misses what the other misses and eight of 1,000 more: SE = √(0.008 · 0.992 / 1,000) is 0.3 points."""
    n = 1000
    best, other = hits(n, range(2)), hits(n, range(10))
    assert pick(candidate(0, 50.0, best), candidate(1, 90.0, other), n=n).winner == 0


def test_every_figure_has_to_pass() -> None:
    same = hits(400, range(20))
    blurred = candidate(1, 90.0, same, hits(400, range(5, 50)))
    assert pick(candidate(0, 50.0, same, hits(400, range(5))), blurred, n=400, two=True).winner == 0
    assert pick(candidate(0, 50.0, same, hits(400, range(5))), blurred, n=400).winner == 1


def test_of_equal_metrics_the_best_is_that_of_the_better_second_figure() -> None:
    a, b = candidate(0, 90.0, hits(100, [1]), hits(100, range(30))), candidate(1, 50.0, hits(100, [2]), hits(100, [3]))
    assert pick(a, b, n=100, two=True).best == 1
    assert pick(a, b, n=100, two=True).winner == 1


def test_a_figure_that_the_images_do_not_give_decides_nothing() -> None:
    never = replace(measures(9), figures={"share": share, "never": lambda records, rows: float("nan")})
    choice = choose([candidate(0, 1.0, hits(9, [])), candidate(1, 2.0, hits(9, []))], never)
    assert choice is not None
    assert (choice.winner, list(choice.gaps)) == (1, ["share"])


def test_draws_that_do_not_give_a_figure_are_left_out() -> None:
    def of_first(records: NDArray[np.float64], rows: NDArray[np.integer]) -> float:
        return float(records[rows == 0].mean()) if (rows == 0).any() else float("nan")

    choice = choose(
        [candidate(0, 1.0, hits(5, [])), candidate(1, 2.0, hits(5, [3]))], Measures({"first": of_first}, np.arange(5))
    )
    assert choice is not None
    assert (choice.winner, choice.gaps["first"]) == (1, (0.0, 0.0))


def test_nothing_wins_among_none() -> None:
    assert choose([], measures(3)) is None


def test_the_choice_is_json() -> None:
    choice = pick(candidate(0, 1.0, [1, 1]), candidate(1, 2.0, [1, 1]), n=2)
    gap = {"difference": 0.0, "standard_error": 0.0}
    assert choice.to_json() == {"winner": 1, "best": 1, "competed": 2, "gaps": {"share": gap}, "left_out": []}


many = st.lists(
    st.tuples(st.integers(0, 50), st.lists(st.booleans(), min_size=40, max_size=40)), min_size=1, max_size=5
).map(lambda found: [candidate(i, score, answers) for i, (score, answers) in enumerate(found)])


@given(many, st.randoms())
def test_the_winner_is_what_the_rule_says(candidates: list[Candidate], chance: object) -> None:
    choice = pick(*candidates, n=40)
    metric = {c.number: c.records[:, 0].mean() for c in candidates}
    netscore = {c.number: c.netscore for c in candidates}
    assert metric[choice.best] == max(metric.values())
    assert metric[choice.best] - metric[choice.winner] <= TOLERANCE + 1e-9
    assert netscore[choice.winner] >= netscore[choice.best]
    equals = [c for c in candidates if (c.records == candidates[choice.winner].records).all()]
    assert netscore[choice.winner] == max(c.netscore for c in equals)
    shuffled = list(candidates)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    assert pick(*shuffled, n=40) == choice


@given(many, st.integers(0, 100))
def test_a_design_that_is_too_bad_changes_nothing(candidates: list[Candidate], score: int) -> None:
    choice = pick(*candidates, n=40)
    if max(c.records.mean() for c in candidates) > TOLERANCE:
        blind = candidate(99, score, np.zeros(40))
        assert replace(pick(*candidates, blind, n=40), competed=choice.competed) == choice
