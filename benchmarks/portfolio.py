"""Choose the portfolio of a space from the evaluation table: the designs that a search should ask first.

python benchmarks/portfolio.py [--designs 12] [--without neu_det] [--out search_spaces/lightdefectnet.portfolio.json]

Of every dataset and budget the table's designs are ranked by their balanced log loss at the end. Designs are then
taken one by one, always the one that raises most the mean over datasets and budgets of the best rank that fits: so the
first ones are good everywhere, later ones where the others are not. `--without` leaves a dataset out, for searches on
it that should not know its figures.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from table_designs import SPACE
from table_figures import FOLDER, dataset_names, datasets, designs

from compressdefect.catalog import find_space
from compressdefect.errors import known_names
from compressdefect.runs import atomic_write

BUDGETS = (100e6, 50e6, 25e6, 15e6)  # FLOPs
OUT = Path(__file__).parents[1] / "search_spaces" / f"{SPACE}.portfolio.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--designs", type=int, default=12)
    parser.add_argument("--without", action="append", default=[], help="a dataset to leave out")
    parser.add_argument("--folder", type=Path, default=FOLDER)
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()

    known = designs(options.folder)
    names = dataset_names(options.folder)
    for name in options.without:
        if name not in names:
            parser.error(f"--without names no dataset of the table: got {name}; {known_names(name, names)}")
    ranks = ranks_of(options.folder, options.without)
    chosen = cover(ranks, options.designs)
    space = find_space(SPACE).for_task("classify")
    rows = []
    for design in chosen:
        genotype = space.decode(known[design]["flat"])
        assert genotype.fingerprint == design
        rows.append({"macs": known[design]["macs"], "params": known[design]["params"], "genotype": genotype.to_json()})
        places = {name: round(float(rank[design]), 2) for name, rank in ranks.items() if design in rank}
        print(f"{design} {known[design]['macs'] / 1e6:5.1f} M MACs", places)
    found = {"space": SPACE, "datasets": sorted({name.split("@")[0] for name in ranks}), "designs": rows}
    atomic_write(options.out, json.dumps(found, indent=1) + "\n")
    print(f"{len(rows)} designs of {len(known)} in {options.out}")


def ranks_of(folder: Path, without: Sequence[str]) -> dict[str, Mapping[str, float]]:
    """From 0 (worst) to 1 (best) for every design that fits, by dataset and budget."""
    known, found = designs(folder), {}
    for data in datasets(folder):
        if data.name in without:
            continue
        ended = [design for design in known if (design, 0, "end") in data.answers]
        for budget in BUDGETS:
            fitting = [design for design in ended if 2 * known[design]["macs"] <= budget]
            losses = np.array([_loss(data, design) for design in fitting])
            places = np.argsort(np.argsort(-losses)) / max(len(fitting) - 1, 1)
            found[f"{data.name}@{budget / 1e6:.0f}M"] = dict(zip(fitting, places.tolist(), strict=True))
    return found


def _loss(data, design: str) -> float:
    """The balanced log loss at the end, over the seeds that there are."""
    seeds = [answer for (name, _, measure), answer in data.answers.items() if name == design and measure == "end"]
    return float(np.mean([data.log_loss(answer, balanced=True) for answer in seeds]))


def cover(ranks: Mapping[str, Mapping[str, float]], count: int) -> list[str]:
    """Designs that together have a good rank in every place, greedily."""
    names = sorted({design for rank in ranks.values() for design in rank})
    table: NDArray[np.float64] = np.array([[rank.get(name, 0.0) for rank in ranks.values()] for name in names])
    chosen: list[int] = []
    best = np.zeros(len(ranks))
    for _ in range(min(count, len(names))):
        gains = [np.maximum(best, row).mean() + 1e-6 * row.mean() for row in table]
        left = [index for index in range(len(names)) if index not in chosen]
        chosen.append(max(left, key=lambda index: gains[index]))
        best = np.maximum(best, table[chosen[-1]])
    return [names[index] for index in chosen]


if __name__ == "__main__":
    main()
