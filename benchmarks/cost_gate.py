"""How fast the cost gate is on one core, and what share of random designs it admits before and after repair.

python benchmarks/cost_gate.py [--space lightdefectnet] [--budget-flops 100M] [--designs 20000]
"""

from __future__ import annotations

import argparse
import random
import time
from collections import Counter

from compressdefect.catalog import find_space
from compressdefect.models.templates import TEMPLATES
from compressdefect.search.constraints import Budgets
from compressdefect.search.gate import Gate
from compressdefect.search.repair import admit


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--space", default="lightdefectnet")
    parser.add_argument("--budget-flops", default="100M")
    parser.add_argument("--designs", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()

    space = find_space(options.space)
    size = space.input or 224
    gate = Gate(
        space,
        TEMPLATES[space.template],
        Budgets.parse(flops=options.budget_flops),
        input_shape=(3, size, size),
        heads={"image": ("a", "b")},
    )
    rng = random.Random(options.seed)
    flats = [space.sample(rng) for _ in range(options.designs)]

    start = time.process_time()
    verdicts = [gate.check(space.decode(flat)) for flat in flats]
    checked_s = time.process_time() - start
    start = time.process_time()
    admissions = [admit(gate, flat) for flat in flats]
    admitted_s = time.process_time() - start

    feasible = sum(verdict.feasible for verdict in verdicts) / len(flats)
    repaired = sum(admission.verdict.feasible for admission in admissions) / len(flats)
    print(f"{len(flats)} designs of {space.name} at {size}², flops ≤ {options.budget_flops}, seed {options.seed}")
    print(f"decode and check   {len(flats) / checked_s:8.0f} designs/s on one core   {feasible:6.1%} feasible")
    print(f"check and repair   {len(flats) / admitted_s:8.0f} designs/s on one core   {repaired:6.1%} feasible")
    print("violated:", ", ".join(f"{name} {count}" for name, count in broken(verdicts).most_common()) or "nothing")


def broken(verdicts: list) -> Counter[str]:
    return Counter(check.name for verdict in verdicts for check in verdict.violated)


if __name__ == "__main__":
    main()
