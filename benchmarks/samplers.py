"""Searches simulated on the evaluation table: samplers, the ladder and its rules, at equal numbers of passes.

python benchmarks/samplers.py [--seeds 20] [--samplers random,tpe,surrogate] [--rules] [--csv FILE] [--figure FILE.html]

NNI's samplers need the extra `nni` and are compared where `--samplers` names them. The portfolio comes from the other
datasets alone. Designs cheaper than any of the table are refused.

The winner is named as `search/winner.py` does: of the designs within min(SE, 1 point) of the best, in the metric and,
with a good class, in the area under the ROC curve, that of the best NetScore. Regret is in NetScore against the winner
of all designs that any search of that seed has seen; a metric more than a point below the best of them costs ``STEEP``
for each point, NetScore's own slope being about 0.2.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import sys
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from plotly.subplots import make_subplots
from portfolio import cover, ranks_of
from promotion import RULES
from simulated import Answer, KnownCosts, World
from simulated_search import NEEDED, PROPOSERS, Result, Setting, cost_of, results, winner
from table_designs import BUDGET, gate_of, starts
from table_figures import FOLDER, SCORES, dataset_names, datasets, designs

from compressdefect.errors import MissingExtraError, known_names
from compressdefect.search.proposal import SearchDimensions
from compressdefect.search.repair import admit
from compressdefect.search.sizes import SIZE_WEIGHT
from compressdefect.search.winner import TOLERANCE

PASSES = (96_000, 128_000, 192_000, 384_000)  # fewer do not pay for what a ladder trains to the end
README, LONG = 96_000, 384_000  # of two cores in six and in 25 minutes
MOST = 64  # designs compared
PORTFOLIO = 12
STEEP = 2.0
DECIDES = 0.6  # least tau of the forest
OWN = tuple(name for name in PROPOSERS if not name.startswith("nni:"))


@cache
def worlds(folder: Path) -> dict[str, World]:
    known = designs(folder)
    gate = KnownCosts(gate_of(BUDGET), known.values())
    return {data.name: World(data, known, gate) for data in datasets(folder)}


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
        queue = starts(world.gate) + (shipped if group[0].portfolio else [])
        came, seen = results(world, group, queue, seed, PASSES, most)
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


def refuse_unknown(parser: argparse.ArgumentParser, option: str, asked: Sequence[str], known: Collection[str]) -> None:
    """End in one line where an option names what there is not."""
    for name in asked:
        if name not in known:
            parser.error(f"{option} names what is not known: got {name}; {known_names(name, known)}")


def refuse_missing(parser: argparse.ArgumentParser, samplers: Sequence[str]) -> None:
    """End in one line where a sampler's package is not installed."""
    dimensions = SearchDimensions(gate_of(BUDGET).space.dimensions, ("maximize",), {})
    try:
        for name in samplers:
            PROPOSERS[name](dimensions)
    except MissingExtraError as error:
        parser.error(str(error))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=FOLDER)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--samplers", default=",".join(OWN))
    parser.add_argument("--score", default="area under ROC", choices=SCORES)
    parser.add_argument("--rules", action="store_true", help="compare rules and scores of promotion instead")
    parser.add_argument("--datasets", help="some only")
    parser.add_argument("--most", type=int, default=MOST, help="designs on rung 0")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--csv", type=Path)
    parser.add_argument("--figure", type=Path)
    options = parser.parse_args()
    known, samplers = dataset_names(options.folder), options.samplers.split(",")
    shown = options.datasets.split(",") if options.datasets else known
    refuse_unknown(parser, "--samplers", samplers, PROPOSERS)
    refuse_unknown(parser, "--datasets", shown, known)
    refuse_missing(parser, samplers)

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
    groups = groups_of(samplers, options.score, rules=options.rules)
    with ProcessPoolExecutor(options.workers) as pool:
        asked = [
            pool.submit(simulate, options.folder, name, seed, groups, options.most)
            for name in shown
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
