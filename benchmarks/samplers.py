"""Searches simulated on the evaluation table: samplers, the ladder and its rules, at equal numbers of passes.

python benchmarks/samplers.py [--seeds 20] [--samplers random,tpe,surrogate] [--rules] [--csv FILE] [--figure FILE.html]

A pass is one training image at full resolution; a short training counts as many as its seconds are worth beside a
whole one. Without a ladder every design takes a whole training, and the winner a final one; the ladder compares many by
short trainings for as much of the time as `search/ladder.py` says, and trains a few to the end. All begin with trial 0,
its half and its quarter. The portfolio comes from the other datasets alone. Designs cheaper than any of the table are
refused.

The winner is named as `search/winner.py` does: of the designs within min(SE, 1 point) of the best, in the metric and,
with a good class, in the area under the ROC curve, that of the best NetScore. Regret is in NetScore against the winner
of all designs that any search of that seed has seen; a metric more than a point below the best of them costs ``STEEP``
for each point, NetScore's own slope being about 0.2.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import optuna
from plotly.subplots import make_subplots
from portfolio import cover, ranks_of
from simulated import Answer, KnownCosts, World
from table_designs import BUDGET, gate_of
from table_figures import FOLDER, SCORES, datasets, designs

from compressdefect.search.draws import derive_seed, uniform
from compressdefect.search.generative import Generative
from compressdefect.search.ladder import LADDER
from compressdefect.search.proposal import Past, Proposer, SearchDimensions
from compressdefect.search.repair import Admission, admit, shrink
from compressdefect.search.samplers import SAMPLERS
from compressdefect.search.sizes import SIZE_WEIGHT, in_tiers, size_adjusted
from compressdefect.search.winner import TOLERANCE

PASSES = (96_000, 128_000, 192_000, 384_000)  # fewer do not pay for what a ladder trains to the end
README, LONG = 96_000, 384_000  # of two cores in six and in 25 minutes
TRIAL, FINAL, TABLE_END = 10_000, 20_000, 20_000  # passes of a trial without the ladder, a final training, the table's
FINISHING = 3  # designs besides trial 0
MOST = 64  # designs compared
PORTFOLIO = 12
GUIDED_ATTEMPTS, ATTEMPTS = 50, 200
STEEP = 2.0
NEEDED = {"half": 0.5, "quarter": 0.75}
DECIDES = 0.6  # least tau of the forest
NEW: Mapping[str, Callable[[SearchDimensions], Proposer]] = {
    "generative without probes": lambda dimensions: Generative(dimensions, probed=False),
}
PROPOSERS = {**SAMPLERS, **NEW}


class Setting(NamedTuple):
    """How a simulated search works.

    ``rule`` says which designs climb, ``needed`` what samplers are told that a winner needs on rung 0: to be in the
    better ``half`` or ``quarter``. ``size_weight`` adjusts scores.
    ``of_all_sizes`` is what samplers are asked for instead.
    """

    sampler: str
    ladder: bool = True
    portfolio: bool = True
    score: str = "area under ROC"
    rule: str = "tiers"
    needed: str = "quarter"
    size_weight: float = SIZE_WEIGHT
    of_all_sizes: bool = True

    @property
    def name(self) -> str:
        """In words."""
        how = "whole trainings"
        if self.ladder:
            sizes = "all sizes" if self.of_all_sizes else f"needs the better {self.needed}"
            how = f"ladder, {self.score}, {self.rule}, {sizes}, size weight {self.size_weight}"
        return f"{self.sampler}, {how}" + (", portfolio" if self.portfolio else "")


class Result(NamedTuple):
    """What a search came to with so many passes."""

    dataset: str
    setting: Setting
    seed: int
    passes: int
    designs: int
    winner: Answer


# A walk: designs in the order in which a sampler asks for them.


def walk(world: World, setting: Setting, queue: Sequence[Admission], count: int, seed: int) -> Iterator[Answer]:
    """Trial 0 and the others in the queue, then what the sampler proposes, which is told one figure of each."""
    first, gate = queue[0], world.gate
    directions = ("maximize",)
    spread = setting.ladder and setting.of_all_sizes
    dimensions = SearchDimensions(gate.space.dimensions, directions, first.flat, gate, of_all_sizes=spread)
    proposer = PROPOSERS[setting.sampler](dimensions)
    seen: list[Answer] = []
    while len(seen) < count:
        known = {answer.fingerprint for answer in seen}
        waiting = [a for a in queue if a.verdict.genotype.fingerprint not in known]
        admission = waiting[0] if waiting else ask(proposer, world, history(setting, seen), known, seed)
        seen.append(world.answer(admission.flat, admission.verdict, seed))
        yield seen[-1]


def told(setting: Setting, answer: Answer) -> float:
    """The figure in [0, 1] that samplers see of a design."""
    if not setting.ladder:
        return answer.metric
    score = answer.scores["rung0-half", setting.score]
    return math.exp(score) if "loss" in setting.score else score


def history(setting: Setting, seen: Sequence[Answer]) -> list[Past]:
    """What a search tells its sampler."""
    figures = [told(setting, answer) for answer in seen]
    floor = max(figures) - TOLERANCE
    if setting.ladder:
        figures = size_adjusted(figures, [answer.verdict.cost.params for answer in seen], setting.size_weight)
        floor = float(np.quantile(figures, NEEDED[setting.needed]))
    past = []
    for answer, figure in zip(seen, figures, strict=True):
        score = answer.netscore(figure)
        probes = answer.probes if setting.ladder else {}
        past.append(Past(answer.flat, "complete", (score,), score, max(floor - figure, -1.0), figure, probes))
    return past


def ask(proposer: Proposer, world: World, past: Sequence[Past], known: set[str], seed: int) -> Admission:
    """A proposal that keeps the budgets and is new, as `search/asking.py` finds it."""
    for attempt in range(ATTEMPTS):
        own = derive_seed(seed, len(past), 0, attempt)
        dimensions = world.gate.space.dimensions
        flat = proposer.propose(past, own) if attempt < GUIDED_ATTEMPTS else uniform(dimensions, own)
        admission = admit(world.gate, flat)
        if admission.verdict.feasible and admission.verdict.genotype.fingerprint not in known:
            return admission
    raise RuntimeError("the space is exhausted")


def starts(world: World) -> list[Admission]:
    """Trial 0, its half and its quarter."""
    space = world.gate.space
    first = admit(world.gate, space.flatten(next(iter(space.designs.values()))))
    smaller = (shrink(world.gate, first, share) for share in (0.5, 0.25))
    return [first, *(admission for admission in smaller if admission is not None)]


# What a search does with the designs.


def winner(answers: Sequence[Answer], world: World) -> Answer:
    """The design that `search/winner.py` names, the table's typical standard error taken for that of each pair."""
    figures = ["metric"] if world.data.good is None else ["metric", "area under ROC"]
    best = max(answers, key=lambda a: (*(a.scores["end", f] for f in figures), a.netscore(a.metric)))

    def close(answer: Answer, figure: str) -> bool:
        gap = best.scores["end", figure] - answer.scores["end", figure]
        return gap <= min(world.errors["end", figure], TOLERANCE) + 1e-9

    able = [answer for answer in answers if all(close(answer, figure) for figure in figures)]
    return max(able, key=lambda answer: answer.netscore(answer.metric))


def compared(passes: float, cost: float, most: int) -> int:
    """How many designs a ladder compares."""
    return max(FINISHING + 1, min(most, int(LADDER.rungs[0].until * passes / cost)))


def climb(world: World, setting: Setting, seen: Sequence[Answer]) -> list[Answer]:
    """The designs that a ladder trains to the end, trial 0 among them."""
    if setting.rule == "tiers":
        figures = [told(setting, answer) for answer in seen]
        merits = size_adjusted(figures, [answer.verdict.cost.params for answer in seen], setting.size_weight)
        order = in_tiers(merits[1:], [answer.macs for answer in seen[1:]], seen[0].macs)
        return [seen[0], *(seen[1:][index] for index in order[:FINISHING])]
    return [seen[0], *RULES[setting.rule](world, seen[1:], "rung0-half", setting.score)[:FINISHING]]


def worth(answer: Answer, measure: str, kind: str) -> float:
    """NetScore of a rung's score."""
    score = answer.scores[measure, kind]
    return answer.netscore(math.exp(score) if "loss" in kind else score)


def by_score(world: World, answers: Sequence[Answer], measure: str, kind: str) -> list[Answer]:
    """The best score first."""
    return sorted(answers, key=lambda answer: -answer.scores[measure, kind])


def by_half(world: World, answers: Sequence[Answer], measure: str, kind: str) -> list[Answer]:
    """In turn the best score, and the best NetScore of the better half by score."""
    ranked = by_score(world, answers, measure, kind)
    return _in_turn(ranked, ranked[: (len(ranked) + 1) // 2], measure, kind)


def by_error(errors: float) -> Rule:
    """In turn the best score, and the best NetScore within so many standard errors of the best score."""

    def rule(world: World, answers: Sequence[Answer], measure: str, kind: str) -> list[Answer]:
        ranked = by_score(world, answers, measure, kind)
        least = ranked[0].scores[measure, kind] - errors * world.errors[measure, kind]
        return _in_turn(ranked, [a for a in ranked if a.scores[measure, kind] >= least], measure, kind)

    return rule


def by_layers(world: World, answers: Sequence[Answer], measure: str, kind: str) -> list[Answer]:
    """Layers that no other design beats in score and macs, the best score of each first."""
    left, found = by_score(world, answers, measure, kind), []
    while left:
        layer: list[Answer] = []
        for answer in left:
            if all(answer.macs < better.macs for better in layer):
                layer.append(answer)
        found += layer
        left = [answer for answer in left if answer not in layer]
    return found


def _in_turn(ranked: Sequence[Answer], able: Sequence[Answer], measure: str, kind: str) -> list[Answer]:
    cheap = sorted(able, key=lambda answer: -worth(answer, measure, kind))
    mixed = [answer for pair in zip(ranked, cheap, strict=False) for answer in pair] + list(ranked)
    return list({answer.fingerprint: answer for answer in mixed}.values())


Rule = Callable[[World, Sequence[Answer], str, str], list[Answer]]
RULES: Mapping[str, Rule] = {
    "score": by_score,
    "half": by_half,
    "1 SE": by_error(1.0),
    "2 SE": by_error(2.0),
    "layers": by_layers,
}


def results(
    world: World, settings: Sequence[Setting], queue: Sequence[Admission], seed: int, most: int
) -> tuple[list[Result], list[Answer]]:
    """What searches that ask for the same designs came to, and all the designs that they saw."""
    cost, ladder = cost_of(world), settings[0].ladder
    counts = {
        passes: compared(passes, cost, most) if ladder else min(most, max(1, (passes - FINAL) // TRIAL))
        for passes in PASSES
    }
    seen = list(walk(world, settings[0], queue, max(counts.values()), seed))
    found = []
    for each in settings:
        for passes, count in counts.items():
            trained = climb(world, each, seen[:count]) if ladder else seen[:count]
            found.append(Result(world.data.name, each, seed, passes, count, winner(trained, world)))
    return found, seen


# Many of them.


@cache
def worlds(folder: Path) -> dict[str, World]:
    known = designs(folder)
    gate = KnownCosts(gate_of(BUDGET), known.values())
    return {data.name: World(data, known, gate) for data in datasets(folder)}


def cost_of(world: World) -> float:
    """Passes of a short training."""
    short, whole = (
        np.median([seconds for (_, _, name), seconds in world.data.seconds.items() if name == measure])
        for measure in ("rung0-half", "end")
    )
    return float(TABLE_END * short / whole)


def simulate(
    folder: Path, dataset: str, seed: int, groups: Sequence[Sequence[Setting]], most: int
) -> list[dict[str, Any]]:
    """All searches of one dataset and seed, as rows with their regret."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    everything = worlds(folder)
    world = everything[dataset]
    known = designs(folder)
    shipped = [admit(world.gate, known[d]["flat"]) for d in cover(ranks_of(folder, [dataset]), PORTFOLIO)]
    found, pool = [], {}
    for group in groups:
        queue = starts(world) + (shipped if group[0].portfolio else [])
        came, seen = results(world, group, queue, seed, most)
        found += came
        pool |= {answer.fingerprint: answer for answer in seen}
    for flat in world.flats.values():
        answer = world.answer(flat, world.gate.cheap(world.gate.space.decode(flat)), seed)
        pool[answer.fingerprint] = answer
    ideal, best = winner(list(pool.values()), world), max(answer.metric for answer in pool.values())
    return [row(result, ideal, best) for result in found]


def row(result: Result, ideal: Answer, best: float) -> dict[str, Any]:
    """A result as a line of the CSV."""
    found = result.winner
    below = max(0.0, best - TOLERANCE - found.metric)
    regret = max(0.0, ideal.netscore(ideal.metric) - found.netscore(found.metric)) + STEEP * 100 * below
    return {
        "dataset": result.dataset,
        "setting": result.setting.name,
        **result.setting._asdict(),
        "seed": result.seed,
        "passes": result.passes,
        "designs": result.designs,
        "winner": found.fingerprint,
        "params": found.verdict.cost.params,
        "macs": found.macs,
        "metric": round(found.metric, 4),
        "netscore": round(found.netscore(found.metric), 3),
        "regret": round(regret, 3),
        "regret_netscore": round(ideal.netscore(ideal.metric) - found.netscore(found.metric), 3),
        "regret_points": round(100 * (best - found.metric), 2),
    }


def interval(values: Sequence[float]) -> tuple[float, float, float]:
    """A mean and its 95 % bootstrap interval."""
    shown = np.array(values)
    drawn = np.random.default_rng(0).choice(shown, (2000, len(shown))).mean(axis=1)
    return float(shown.mean()), *(float(q) for q in np.quantile(drawn, (0.025, 0.975)))


def show(rows: Sequence[Mapping[str, Any]], against: str) -> None:
    """Print mean regrets and, paired by dataset and seed, how much less they are than one setting's."""
    names, keys = list(dict.fromkeys(row["setting"] for row in rows)), ("dataset", "seed", "passes")
    base = {tuple(row[k] for k in keys): row for row in rows if row["setting"] == against}
    for passes in (README, LONG):
        print(f"\n{passes:,} passes: regret [95 %] · less than “{against}” [95 %] · NetScore · points below · designs")
        for name in names:
            own = [row for row in rows if row["setting"] == name and row["passes"] == passes]
            mean, low, high = interval([row["regret"] for row in own])
            gain = interval([base[tuple(row[k] for k in keys)]["regret"] - row["regret"] for row in own])
            plain = [np.mean([row[key] for row in own]) for key in ("netscore", "regret_points", "designs")]
            print(
                f"{name:66} {mean:6.2f} [{low:5.2f}, {high:5.2f}] · {gain[0]:6.2f} [{gain[1]:6.2f}, {gain[2]:6.2f}]"
                f" · {plain[0]:6.2f} · {plain[1]:5.2f} · {plain[2]:3.0f}"
            )


def show_parts(rows: Sequence[Mapping[str, Any]]) -> None:
    """Print mean regrets by each part of a setting, over all others."""
    for passes, part in itertools.product((README, LONG), ("sampler", "rule", "needed", "size_weight")):
        own = [row for row in rows if row["passes"] == passes]
        means = {value: interval([r["regret"] for r in own if r[part] == value]) for value in {r[part]: 0 for r in own}}
        said = (f"{value} {mean:.2f} [{low:.2f}, {high:.2f}]" for value, (mean, low, high) in means.items())
        print(f"{passes:,} passes, regret by {part}: " + " · ".join(said))


def draw(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Regret against passes with 95 % bands, a panel for each dataset."""
    names, shown = list(dict.fromkeys(r["setting"] for r in rows)), list(dict.fromkeys(r["dataset"] for r in rows))
    figure = make_subplots(1, len(shown), subplot_titles=shown, shared_yaxes=True)
    for number, name in enumerate(names):
        colour = f"hsl({360 * number // len(names)}, 65%, 45%)"
        for column, dataset in enumerate(shown, 1):
            own = [r for r in rows if r["setting"] == name and r["dataset"] == dataset]
            bands = np.array([interval([r["regret"] for r in own if r["passes"] == p]) for p in PASSES])
            common = {"legendgroup": name, "line": {"color": colour}}
            around = [*bands[:, 2], *bands[::-1, 1]]
            figure.add_scatter(
                x=[*PASSES, *PASSES[::-1]],
                y=around,
                fill="toself",
                opacity=0.2,
                mode="none",
                fillcolor=colour,
                legendgroup=name,
                showlegend=False,
                hoverinfo="skip",
                row=1,
                col=column,
            )
            figure.add_scatter(x=PASSES, y=bands[:, 0], name=name, showlegend=column == 1, row=1, col=column, **common)
    figure.update_xaxes(type="log", title="passes")
    figure.update_yaxes(title="regret in NetScore", col=1)
    figure.update_layout(legend={"orientation": "h", "y": -0.2}, height=700)
    path.write_text(figure.to_html(include_plotlyjs=True), encoding="utf-8")


def groups_of(names: Sequence[str], score: str, *, rules: bool) -> list[list[Setting]]:
    """Settings that share a walk, together."""
    if rules:
        ways = itertools.product(names, (score,), NEEDED, (0.0, SIZE_WEIGHT))
        return [
            [
                Setting(name, score=kind, rule=rule, needed=need, size_weight=weight, of_all_sizes=False)
                for rule in (*RULES, "tiers")
            ]
            for name, kind, need, weight in ways
        ]
    found = [[Setting(name, ladder=False, portfolio=False)] for name in names]
    found += [[Setting(name, ladder=False)] for name in names]
    found += [[Setting(name, portfolio=False, score=score)] for name in names]
    return found + [[Setting(name, score=score)] for name in names]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=FOLDER)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--samplers", default=",".join(PROPOSERS))
    parser.add_argument("--score", default="area under ROC", choices=SCORES)
    parser.add_argument("--rules", action="store_true", help="compare rules and scores of promotion instead")
    parser.add_argument("--datasets", help="some only")
    parser.add_argument("--most", type=int, default=MOST, help="designs on rung 0")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--csv", type=Path)
    parser.add_argument("--figure", type=Path)
    options = parser.parse_args()

    everything = worlds(options.folder)
    for name, world in everything.items():
        taus = {
            column: world.taus[column]
            for column in (("rung0-half", options.score), ("end", "log loss"), ("end", "metric"))
        }
        said = ", ".join(f"{measure} {score} {tau:.2f}" for (measure, score), tau in taus.items())
        verdict = "" if min(list(taus.values())[:2]) >= DECIDES else f": below {DECIDES}, so that it decides nothing"
        print(f"{name}: {len(world.known)} designs; cross-validated tau of the forest: {said}{verdict}")
        print(f"  passes of a short training: {cost_of(world):.0f}")
    groups = groups_of(options.samplers.split(","), options.score, rules=options.rules)
    with ProcessPoolExecutor(options.workers) as pool:
        asked = [
            pool.submit(simulate, options.folder, name, seed, groups, options.most)
            for name in (options.datasets.split(",") if options.datasets else everything)
            for seed in range(options.seeds)
        ]
        rows = []
        for done, future in enumerate(asked, 1):
            rows += future.result()
            print(f"{done}/{len(asked)} of datasets × seeds", file=sys.stderr, flush=True)
    if options.rules:
        show_parts(rows)
    else:
        show(rows, groups[0][0].name)
    if options.csv:
        with options.csv.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
    if options.figure:
        draw(rows, options.figure)


if __name__ == "__main__":
    main()
