from __future__ import annotations

import pytest
from promotion import RULES, worth

from tests.benchmarks.answers import AREA, LOSS, answer, world

SEEN = [
    answer("a", 900, short=0.90),
    answer("b", 100, short=0.88),
    answer("c", 400, short=0.89),
    answer("d", 500, short=0.80),
    answer("e", 50, short=0.20),
]


@pytest.mark.parametrize(
    ("rule", "order"),
    [
        ("score", "acbde"),
        ("half", "abcde"),  # of a, b and c b is the cheapest
        ("1 SE", "acbde"),  # with an error of 0.01 c has the best NetScore of a and c
        ("2 SE", "abcde"),
        ("layers", "acbed"),  # c beats d in both
    ],
)
def test_designs_climb_by_score_and_cost(rule: str, order: str) -> None:
    there = world()
    there.errors = {("rung0-half", AREA): 0.0101}
    assert "".join(a.fingerprint for a in RULES[rule](there, SEEN, "rung0-half", AREA)) == order


def test_a_loss_is_worth_the_probability_that_it_stands_for() -> None:
    one = answer("a", 900, short=1.0)
    assert worth(one, "rung0-half", LOSS) == one.netscore(1.0)
