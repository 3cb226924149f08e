from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import table_figures
from scipy.stats import kendalltau
from table_figures import Dataset, Early, between_seeds, corrected, ended, failed, from_costs, taus

Answers = dict[tuple[str, int, str], Any]


def dataset(answers: Answers, labels: tuple[int, ...] = (0,), **given: Any) -> Dataset:
    """Answers are probabilities of the first of two classes, by image."""
    shown = {key: np.array([[p, 1 - p] for p in np.atleast_1d(answer)]) for key, answer in answers.items()}
    rows = {"good": None, "metric": "accuracy", "figures": {}, "seconds": {}, "parents": {}, **given}
    return Dataset("steel", np.array(labels), np.arange(len(labels)), answers=shown, **rows)


def test_tau_is_scipys_with_ties_and_with_designs_drawn_again() -> None:
    rng = np.random.default_rng(1)
    early, end = rng.integers(0, 6, (2, 15)) / 5, rng.integers(0, 6, (2, 15)) / 5
    expected = [kendalltau(a, b).statistic for a, b in zip(early, end, strict=True)]
    tau, low, high = taus(early, end)
    assert tau == pytest.approx(np.mean(expected))
    assert low < tau < high
    times = rng.integers(0, 4, (5, 15))
    again = [kendalltau(np.repeat(early[0], row), np.repeat(end[0], row)).statistic for row in times]
    assert table_figures._taus(early[0], end[0], times.astype(float)) == pytest.approx(again)


def test_tau_is_0_where_nothing_is_told_apart() -> None:
    assert taus(np.ones((1, 5)), np.arange(5.0)[None]) == (0, 0, 0)


def test_scores_are_higher_the_better() -> None:
    """Three images of a class and one of another: only the last is taken for the wrong one."""
    data = dataset({}, (0, 0, 0, 1), metric="balanced_accuracy", good=0)
    answer = np.array([[0.8, 0.2], [0.8, 0.2], [0.8, 0.2], [0.6, 0.4]], dtype=np.float32)
    assert data.score("metric", answer) == pytest.approx(0.5)
    assert data.score("log loss", answer) == pytest.approx((3 * math.log(0.8) + math.log(0.4)) / 4)
    assert data.score("balanced log loss", answer) == pytest.approx((math.log(0.8) + math.log(0.4)) / 2)
    assert data.log_loss(answer, balanced=True) == -data.score("balanced log loss", answer)
    assert data.score("area under ROC", answer) == 1
    assert data.score("metric", answer, np.array([0, 1])) == 1


def test_some_images_keep_the_classes_shares() -> None:
    rows = dataset({}, (0,) * 30 + (1,) * 10).some_images(20, seed=0)
    assert len(set(rows)) == len(rows) == 20
    assert sum(rows < 30) == 15


def test_a_child_is_corrected_by_what_the_clone_of_its_parent_gained() -> None:
    """log p: the child is better than the clone by log 0.9 - log 0.6, and its parent alone came to log 0.5."""
    answers = {("b", 0, "child"): 0.9, ("b", 0, "clone"): 0.6, ("a", 0, "rung0-half"): 0.5}
    data = dataset(answers, parents={"b": "a"})
    assert corrected(data, "b", "log loss") == pytest.approx(math.log(0.5 * 0.9 / 0.6))


def test_a_design_whose_training_failed_is_named_and_ranked_by_nothing() -> None:
    proxies = {"proxies": dict.fromkeys(("grad_norm", "naswot", "synflow"), 1.0)}
    figures = {("a", 0): proxies, ("b", 0): {"failed": "training diverged"}}
    data = dataset({("a", 0, "end"): 0.9}, figures=figures)
    assert failed(data) == {("b", 0): "training diverged"}
    assert ended(data) == ["a"]
    known = {name: {"params": 1, "macs": 2} for name in "ab"}
    assert all(list(early.designs) == ["a"] for early in from_costs(data, known))


def test_seeds_are_compared_pairwise() -> None:
    answers = {("a", seed, "end"): (p, 1 - p) for seed, p in enumerate((0.9, 0.8, 0.7))}
    answers |= {("b", 0, "end"): (0.5, 0.5)}  # with one seed
    early: Early = next(iter(between_seeds(dataset(answers, (0, 1)))))
    assert list(early.designs) == ["a"]
    assert early.ends is not None
    assert np.exp(early.values[:, 0]) == pytest.approx([0.9, 0.9, 0.8])
    assert np.exp(early.ends["log loss"][:, 0]) == pytest.approx([0.8, 0.7, 0.7])


def test_parents_are_good_as_they_are_and_for_their_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """log of the loss by log of the macs; a line leaves (-0.36, 0.48, 0.12, -0.24) of it."""
    losses = {"a": 0.9, "b": 1.4, "c": 0.7, "d": 0.0}
    data = dataset({(design, 0, "end"): math.exp(-math.exp(loss)) for design, loss in losses.items()})
    known = {design: {"macs": 10**number} for number, design in enumerate(losses)}
    monkeypatch.setattr(table_figures, "designs", lambda _: known | {"unmeasured": {"macs": 1}})
    monkeypatch.setattr(table_figures, "datasets", lambda _: [data])
    assert table_figures.good_designs(table_figures.FOLDER) == ["d", "a", "c", "b"]
