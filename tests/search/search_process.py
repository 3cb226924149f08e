"""A slow search in a process of its own, to be killed: folder, trials, seed."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.search.fakes import run_search

if __name__ == "__main__":
    folder = Path(sys.argv[1])
    run_search(
        folder,
        resume=(folder / "manifest.json").exists(),
        trials=int(sys.argv[2]),
        seed=int(sys.argv[3]),
        evaluator={"sleep_s": 0.2},
    )
